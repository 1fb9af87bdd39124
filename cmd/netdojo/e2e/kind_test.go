//go:build linux && kind

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
)

// kindBin is where `make kind-image` leaves kind, and the stock kubectl.
var kindBin = filepath.Join(filepath.Dir(binDir), ".kind")

// finding is what two runs of a check must agree on: all but names that differ
// from run to run, and times.
type finding struct {
	Check, To string
	Phase     checks.Phase
	Verdict   checks.Kind
	Cause     checks.Cause
	ExitCode  string
	Status    int
	Control   bool
	Drop      string // direction, reason and policies
}

func findings(t *testing.T, out string) []finding {
	t.Helper()
	var run record.Run
	if err := json.Unmarshal([]byte(out), &run); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var all []finding
	for _, task := range run.Tasks {
		for _, c := range task.Checks {
			f := finding{
				Check: c.ID, To: c.To, Phase: c.Phase, Verdict: c.Verdict, Cause: c.Cause, ExitCode: "null",
				Status: c.HTTPStatus, Control: c.Evidence.Control != nil,
			}
			if c.ExitCode != nil {
				f.ExitCode = strconv.Itoa(*c.ExitCode)
			}
			if d := c.Evidence.Drop; d != nil {
				f.Drop = d.Direction + " " + d.Reason
				for _, p := range d.Policies {
					f.Drop += " " + p.Kind + "/" + p.Name
				}
			}
			all = append(all, f)
		}
	}
	return all
}

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
	}{{"explain", explainAcrossNodes}, {"cilium", toolsAcrossNodes}, {"load balancer", balanceAcrossNodes}} {
		t.Run(tc.name, func(t *testing.T) {
			mine := h.in("e2e-across")
			mine.t = t
			tc.test(t, mine)
		})
	}
}

// acrossNodes runs the lab across on a cluster e2e-across of two nodes, which it
// brings up, and gives the drops after the policy by check.
func acrossNodes(t *testing.T, h *home, args ...string) map[string]string {
	t.Helper()
	h.must(append([]string{"up", "--nodes", "2", "--name", "e2e-across"}, args...)...)
	lab, err := filepath.Abs("testdata/across")
	if err != nil {
		t.Fatal(err)
	}
	out := h.must("run", lab, "--keep", "--name", "e2e-across", "--output", "json")
	drops := map[string]string{}
	for _, f := range findings(t, out) {
		if f.Phase == checks.After {
			drops[f.Check] = f.Drop
		}
	}
	pods := h.in("e2e-across").must("kubectl", "get", "pods", "-n", "across", "-o", "custom-columns=A:.metadata.labels.app,N:.spec.nodeName", "--no-headers")
	where := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(pods), "\n") {
		if f := strings.Fields(line); len(f) == 2 {
			where[f[0]] = f[1]
		}
	}
	if where["friend"] == "" || where["friend"] == where["server"] || where["stranger"] == where["server"] {
		t.Errorf("pods are on these nodes: %v", where)
	}
	return drops
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
