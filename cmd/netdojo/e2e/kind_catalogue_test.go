//go:build linux && kind

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
)

// TestKindCatalogue tries the labs of the catalogue on kind with netdojo's datapath: each
// answer is judged as on an embedded cluster.
func TestKindCatalogue(t *testing.T) { tryCatalogue(t, cluster.DatapathNetdojo, "ipv6") }

// TestCiliumCatalogue does the same on real Cilium, which makes no difference to a lab. The
// node image has no Envoy, so that what it enforces is left out.
func TestCiliumCatalogue(t *testing.T) {
	tryCatalogue(t, cluster.DatapathCilium, "ipv6", "http", "tls")
}

// tryCatalogue tries the labs that need nothing of what the clusters lack, which is the
// metadata service beside what is named. Those of two nodes have a cluster of two.
func tryCatalogue(t *testing.T, datapath cluster.Datapath, lacks ...string) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var tried []string
	for _, lab := range all {
		lacking := slices.ContainsFunc(lab.Needs, func(n string) bool { return slices.Contains(lacks, n) })
		if !lacking && !lab.AsksMetadata() {
			tried = append(tried, lab.ID)
		}
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
