//go:build linux

package apart

import (
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// TestOnHost: without namespaces there is still a work folder of its own, a listener
// that others do not know the path of, and an end.
func TestOnHost(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("SECRET_OF_THE_CALLER", "x")
	server := ""
	s, err := StartOnHost(Config{
		Files:      []File{{Name: "a/b.txt", Mode: 0o644, Data: []byte("hello\n")}},
		Kubeconfig: func(to string) []byte { server = to; return []byte("server: " + to + "\n") },
	})
	if err != nil {
		t.Fatal(err)
	}
	sh := watched(t, s)
	home, code := sh.run("echo ~")
	if code != 0 || !strings.HasPrefix(home, os.TempDir()) {
		t.Fatalf("home is %q, code %d", home, code)
	}
	if shown, _ := sh.run("cat a/b.txt ~/.kube/config; echo ${SECRET_OF_THE_CALLER-none}"); shown != "hello\nserver: "+server+"\nnone" {
		t.Errorf("shows %q", shown)
	}
	u, err := url.Parse(server)
	if err != nil || u.Path != s.Prefix || len(s.Prefix) < 20 || !strings.HasPrefix(u.Host, "127.0.0.1:") {
		t.Errorf("the server is %q, the prefix %q", server, s.Prefix)
	}
	if err := s.Run("sleep 1000"); err != nil {
		t.Fatal(err)
	}
	// The sleep may not have begun: an interrupt before it does nothing.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); ; {
		if err := s.Interrupt(); err != nil {
			t.Fatal(err)
		}
		select {
		case code, ok := <-s.Ends:
			if !ok || code != 130 {
				t.Errorf("code %d, %v", code, ok)
			}
		case <-tick.C:
			continue
		case <-limit:
			t.Fatal("the command goes on")
		}
		break
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("the work folder is left: %v", err)
	}
	if _, err := StartOnHost(Config{Files: []File{{Name: "../x"}}, Kubeconfig: func(string) []byte { return nil }}); err == nil {
		t.Error("a file beside the work folder is written")
	}
}
