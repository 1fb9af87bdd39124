//go:build linux

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/trial"
	"github.com/netdojo/netdojo/runner/trial/format"
)

// TestCatalogue tries every lab of the catalogue on one cluster, as `netdojo lab test`
// does: with nothing, with the solution, with each known wrong answer and, where there
// are points, with policies that deny or allow everything.
func TestCatalogue(t *testing.T) {
	h, _ := sharedCluster(t)
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(l *labs.Lab) bool { return l.NeedsIPv6() || l.NeedsNodes() })
	rec, err := trial.Run(t.Context(), trial.Options{
		Target: runner.Target{
			Provider: embedded.New(embedded.Config{StateDir: h.state, Daemon: filepath.Join(binDir, "netdojo-cluster")}),
			Spec:     cluster.Spec{Name: cluster.DefaultName}, Keep: true,
		},
		Labs: all,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range rec.Labs {
		t.Run(lab.ID, func(t *testing.T) {
			var text strings.Builder
			if err := format.Line(&text, lab); err != nil {
				t.Fatal(err)
			}
			t.Log(text.String())
			if !lab.OK() {
				t.Error("the lab is not as it declares")
			}
		})
	}
}

// TestLabOfIPv6: a lab that needs IPv6 has its cluster brought up with it, and is there as
// it declares by both families. One that runs without is refused, and the cure leaves it alone.
func TestLabOfIPv6(t *testing.T) {
	needIPv6(t)
	h, _ := sharedCluster(t)
	wantTold(t, h.run("check", "20"), 3, "lab 20 needs IPv6 beside IPv4", "netdojo up --ip-family dual --name dual")
	home := newHome(t, t.TempDir())
	t.Cleanup(func() { home.must("down", "--purge", "--name", "dual") })
	if out := home.must("lab", "test", "--no-mutants", "--name", "dual", "--keep", "20"); !strings.Contains(out, "ok    20") {
		t.Errorf("the test says\n%s", out)
	}
}

// TestLabOfNodes: a lab that needs two nodes has its cluster brought up with them, and is
// there as it declares. One node is refused, and the cure leaves that cluster alone.
func TestLabOfNodes(t *testing.T) {
	h, _ := sharedCluster(t)
	wantTold(t, h.run("check", "19"), 3, "lab 19 needs two nodes", "it has one", "netdojo up --nodes 2 --name two")
	home := newHome(t, t.TempDir())
	t.Cleanup(func() { home.must("down", "--purge", "--name", "two") })
	out := home.must("run", "19", "--name", "two", "--keep", "--output", "json")
	allowed := 0
	for _, f := range findings(t, out) {
		if f.Phase == checks.After && f.Check == "reach.meter-a.press-b" && f.Verdict == checks.Allowed {
			allowed++
		}
	}
	if allowed != 1 {
		t.Errorf("the node does not reach the other one's pod:\n%s", out)
	}
	if out := home.must("lab", "test", "--no-mutants", "--name", "two", "--keep", "19"); !strings.Contains(out, "ok    19") {
		t.Errorf("the test says\n%s", out)
	}
}

// TestNewLab tests a new lab as its author does, by the commands alone: what is
// scaffolded passes, mutants included, and one word that is wrong in it is told.
func TestNewLab(t *testing.T) {
	h, _ := sharedCluster(t)
	dir := filepath.Join(t.TempDir(), "first")
	h.must("lab", "new", dir)
	h.must("lab", "lint", dir)
	out := h.must("lab", "test", "--name", cluster.DefaultName, dir)
	if !strings.Contains(out, "ok    first") || !strings.Contains(out, "mutants: ") {
		t.Errorf("the test says\n%s", out)
	}
	file := filepath.Join(dir, labs.FileName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(right, wrong string) {
		t.Helper()
		if !strings.Contains(string(text), right) {
			t.Fatalf("the lab has no %q", right)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), right, wrong, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	replace("{check: reach.stranger.web, verdict", "{check: reach.strange.web, verdict")
	if r := h.run("lab", "lint", dir); r.code != 1 || !strings.Contains(r.stdout, file+":") || !strings.Contains(r.stdout, "stranger.web") {
		t.Errorf("a check that there is not: %d\n%s", r.code, r.stdout)
	}
	replace(`web: {web: "-", desk: allowed}`, `web: {web: "-", desk: denied}`)
	r := h.run("lab", "test", "--no-mutants", "--name", cluster.DefaultName, dir)
	if r.code != 1 || !strings.Contains(r.stdout, "answer solution, check reach.web.desk, after the answer") || !strings.Contains(r.stdout, file+":") {
		t.Errorf("a check that the solution fails: %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestCatalogueFitsOneNode: who does one lab after the other has the pods of all of them
// on the cluster's node.
func TestCatalogueFitsOneNode(t *testing.T) {
	h, _ := sharedCluster(t)
	room, err := strconv.Atoi(h.must("kubectl", "get", "nodes", "-o", "jsonpath={.items[0].status.allocatable.pods}"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	pods := 0
	for _, lab := range all {
		for _, name := range lab.Workloads {
			text, err := fs.ReadFile(lab.FS, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objectsOf(t, string(text)) {
				if n, scaled, err := unstructured.NestedInt64(o.Object, "spec", "replicas"); err != nil {
					t.Fatal(err)
				} else if scaled {
					pods += int(n)
				}
			}
		}
	}
	if reserve := 20; pods < 100 || pods+reserve > room {
		t.Errorf("the labs have %d pods, the node has room for %d", pods, room)
	}
}
