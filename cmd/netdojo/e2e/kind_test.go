//go:build linux && kind

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// kindBin is where `make kind-image` leaves kind, and the stock kubectl.
var kindBin = filepath.Join(filepath.Dir(binDir), ".kind")

// TestKindMainJob compares a lab on kind with the same on the embedded cluster,
// with one node and with two.
func TestKindMainJob(t *testing.T) {
	embedded := newHome(t, t.TempDir())
	want := embedded.must("run", "04", "--wait-timeout", "--output", "json")
	proveSeedLab(t, []byte(want))
	for _, nodes := range []string{"1", "2"} {
		t.Run(nodes+" nodes", func(t *testing.T) {
			before := containers(t)
			h := newHome(t, t.TempDir())
			got := h.must("run", "04", "--provider", "kind", "--datapath", "netdojo", "--nodes", nodes, "--name", "e2e",
				"--wait-timeout", "--output", "json")
			proveSeedLab(t, []byte(got))
			if w, g := findings(t, want), findings(t, got); !reflect.DeepEqual(w, g) {
				t.Errorf("embedded finds\n%+v\nkind finds\n%+v", w, g)
			}
			if after := containers(t); !reflect.DeepEqual(before, after) {
				t.Errorf("the run leaves something: before\n%v\nafter\n%v", before, after)
			}
		})
	}
}

// TestKindAcrossNodes has client and server on different nodes.
func TestKindAcrossNodes(t *testing.T) {
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.must("down", "--name", "e2e-across") })
	drops := acrossNodes(t, h, "--provider", "kind")
	for check, policy := range map[string]string{"stranger": "CiliumNetworkPolicy/server-from-friend", "friend-other-path": "CiliumNetworkPolicy/friend-to-server"} {
		if !strings.Contains(drops[check], policy) {
			t.Errorf("%s: dropped by %q, want %s", check, drops[check], policy)
		}
	}
	for _, tc := range []struct {
		name string
		test func(*testing.T, *home)
	}{{"explain", explainAcrossNodes}, {"cilium", func(t *testing.T, h *home) { toolsAcrossNodes(t, h, "e2e-across-control-plane", "e2e-across-worker") }}, {"load balancer", balanceAcrossNodes}} {
		t.Run(tc.name, func(t *testing.T) {
			mine := h.in("e2e-across")
			mine.t = t
			tc.test(t, mine)
		})
	}
}

// TestKindScripts shows what a user of kind sees of netdojo's clusters.
func TestKindScripts(t *testing.T) {
	tools := t.TempDir()
	for name, program := range map[string]string{
		"netdojo": filepath.Join(binDir, "netdojo"), "kind": filepath.Join(kindBin, "bin", "kind"),
		"kubectl": filepath.Join(kindBin, "bin", "kubernetes"),
	} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("%v: run `make kind-image` first", err)
		}
		if err := os.Symlink(program, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	nothingLeft(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/kind",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", tools+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NETDOJO_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			e.Setenv("KUBECONFIG", filepath.Join(e.WorkDir, "kubeconfig"))
			return nil
		},
	})
}

// containers lists what Docker has but images: containers, networks, volumes.
func containers(t *testing.T) map[string][]string {
	t.Helper()
	have := map[string][]string{}
	for what, args := range map[string][]string{
		"containers": {"ps", "--all", "--format", "{{.Names}}"},
		"networks":   {"network", "ls", "--format", "{{.Name}}"},
		"volumes":    {"volume", "ls", "--format", "{{.Name}}"},
	} {
		out, err := exec.Command("docker", args...).Output()
		if err != nil {
			t.Fatalf("docker %v: %v", args, err)
		}
		names := strings.Fields(string(out))
		sort.Strings(names)
		have[what] = names
	}
	return have
}
