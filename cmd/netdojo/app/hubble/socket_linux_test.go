package hubble

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAddressOfDeepSocket: a state folder may lie deeper than a socket's name can be long.
func TestAddressOfDeepSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/hubble.sock", open.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server, err := address(filepath.Join(dir, "hubble.sock"))
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(server, "unix://")
	if !ok {
		t.Fatalf("%s is no address of a unix socket", server)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := address(filepath.Join(dir, "missing", "hubble.sock")); err == nil {
		t.Error("a folder that is not there is no error")
	}
}
