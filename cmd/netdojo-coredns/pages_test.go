package main

import (
	"os"
	"testing"
)

// The process goes on after its own code was taken out from under it, and is
// smaller.
func TestReleaseProgram(t *testing.T) {
	before := residentMiB(t, os.Getpid())
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	after := residentMiB(t, os.Getpid())
	t.Logf("%d MiB resident before, %d after", before, after)
	if after >= before {
		t.Errorf("%d MiB resident before, %d after", before, after)
	}
}
