//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReplacedPrograms replaces the programs under a running cluster, as a build
// or an update does: what starts after that runs as before.
func TestReplacedPrograms(t *testing.T) {
	h := newHome(t, t.TempDir())
	h.bin = copyPrograms(t)
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	h.must("up")
	for _, name := range []string{"netdojo", "netdojo-cluster", "netdojo-coredns", "netdojo-cilium"} {
		program, built := filepath.Join(h.bin, name), filepath.Join(h.bin, name+".new")
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(built, data, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(built, program); err != nil {
			t.Fatal(err)
		}
	}
	dns := func(verb string, args ...string) string {
		return h.must(append([]string{"kubectl", "-n", "kube-system", verb, "pod", "-l", "k8s-app=kube-dns"}, args...)...)
	}
	dns("delete", "--wait")
	dns("wait", "--for=condition=Ready", "--timeout=120s")
	if out := dns("get", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"); strings.Trim(out, "0 ") != "" {
		t.Errorf("restarts of cluster DNS: %s", out)
	}
	h.must("run", "04")
}
