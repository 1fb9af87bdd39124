//go:build linux && kind

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
)

// TestKindCatalogue tries the labs of the catalogue on kind with netdojo's datapath, those
// of two nodes on a cluster that has them: each answer is judged as on an embedded cluster.
// Left out are those that a kind cluster lacks something for: IPv6, and the metadata service.
func TestKindCatalogue(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	for _, lab := range all {
		if !lab.NeedsIPv6() && !asksMetadata(lab) {
			tried = append(tried, lab.ID)
		}
	}
	nothingLeft(t)
	h := newHome(t, t.TempDir())
	out := h.must(append([]string{"lab", "test", "--no-mutants", "--provider", "kind", "--datapath", "netdojo"}, tried...)...)
	for _, id := range tried {
		if !strings.Contains(out, "ok    "+id) {
			t.Errorf("lab %s was not tried:\n%s", id, out)
		}
	}
}

func asksMetadata(lab *labs.Lab) bool {
	return slices.ContainsFunc(lab.Tasks, func(task labs.Task) bool {
		return slices.ContainsFunc(task.Checks, func(c checks.Check) bool { return strings.Contains(c.To, "169.254.169.254") })
	})
}
