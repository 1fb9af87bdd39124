package tui

import (
	"os"
	"testing"
	"time"
)

// TestMain has the screens tell times in UTC, wherever the tests run. A test that did
// it for itself would race with the timers of the tests before it.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}
