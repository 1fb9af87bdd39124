//go:build linux && kind

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster"
)

// TestKindCatalogue tries the labs of which docs/labs.md says that a kind cluster with
// netdojo's datapath can do them: each answer is judged as on an embedded cluster.
func TestKindCatalogue(t *testing.T) { tryCatalogue(t, "kind", cluster.DatapathNetdojo) }

// TestCiliumCatalogue does the same on real Cilium.
func TestCiliumCatalogue(t *testing.T) { tryCatalogue(t, "Cilium", cluster.DatapathCilium) }

// tryCatalogue tries the labs whose row in the catalogue's table names the clusters. Those of
// two nodes have a cluster of two.
func tryCatalogue(t *testing.T, named string, datapath cluster.Datapath) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "labs.md"))
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) > 10 && slices.Contains(strings.Split(cells[len(cells)-1], ", "), named) {
			tried = append(tried, cells[0])
		}
	}
	if len(tried) < 12 {
		t.Fatalf("the table says it of %d labs: %v", len(tried), tried)
	}
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	out := h.must(append([]string{"lab", "test", "--no-mutants", "--provider", "kind", "--datapath", string(datapath)}, tried...)...)
	for _, id := range tried {
		if !strings.Contains(out, "ok    "+id) {
			t.Errorf("lab %s was not tried:\n%s", id, out)
		}
	}
	t.Logf("%d labs: %s", len(tried), strings.Join(tried, ", "))
}
