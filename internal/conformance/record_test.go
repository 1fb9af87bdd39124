//go:build conformance

package conformance

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

const conformanceDoc = "../../docs/conformance.md"

// podsByCIDR is why the specs below cannot pass on a cluster that judges as Cilium
// does: the suite's ipBlocks are addresses of pods.
const podsByCIDR = "it selects pods by their addresses; with Cilium's default options a CIDR never selects pods (policy-cidr-match-mode is empty; with pods, which its documentation advises against, it has CIDR identities for pods)"

// known are the specs that fail, with the reason. One that passes after all is a
// failure: its line is to go.
var known = map[string]string{
	"should allow egress access to server in CIDR block":                              podsByCIDR,
	"should enforce except clause while egress access to server in CIDR block":        podsByCIDR,
	"should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is allowed": podsByCIDR,
}

// result is the suite's report, once it has run.
var result types.Report

var _ = ginkgo.ReportAfterSuite("remember what came out", func(r ginkgo.Report) { result = r })

// recorder hears that something failed and does nothing: judge says whether that is
// news.
type recorder struct{}

func (*recorder) Fail() {}

// judge holds the report against what is known, and writes the record when every
// spec was asked for.
func judge(t *testing.T, focused bool) {
	t.Helper()
	tally := make([]counts, len(groups))
	var failed []string
	skipped := map[string][]string{} // by reason
	for _, s := range result.SpecReports {
		if s.LeafNodeType != types.NodeTypeIt {
			if s.Failed() {
				t.Errorf("%s: %s", s.LeafNodeType, s.Failure.Message)
			}
			continue
		}
		g := slices.IndexFunc(groups, func(g group) bool { return g.is(s.FullText()) })
		if g < 0 {
			continue
		}
		name, _, _ := strings.Cut(s.LeafNodeText, " [Feature:")
		reason, expected := known[name]
		expected = expected && !strings.Contains(s.FullText(), "SCTPConnectivity")
		switch {
		case s.Failed() && !expected:
			t.Errorf("%s: %s", s.FullText(), s.Failure.Message)
		case s.State == types.SpecStatePassed && expected:
			t.Errorf("%s passes: it is no longer to be known as failing", name)
		case s.Failed():
			tally[g].failed++
			failed = append(failed, fmt.Sprintf("| %s | %s |", name, reason))
		case s.State == types.SpecStateSkipped:
			tally[g].skipped++
			why := whySkipped(s)
			if why == "" && !focused {
				t.Errorf("%s was not run, and nothing says why", s.FullText())
			}
			skipped[why] = append(skipped[why], strings.TrimPrefix(s.FullText(), "[sig-network] "))
		default:
			tally[g].passed++
		}
	}
	var table strings.Builder
	for i, g := range groups {
		fmt.Fprintf(&table, "| %s | %d | %d | %d |\n", g.title, tally[i].passed, tally[i].failed, tally[i].skipped)
	}
	t.Log("passed, failed as known, skipped:\n" + table.String())
	if focused || t.Failed() {
		return
	}
	slices.Sort(failed)
	var left strings.Builder
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		slices.Sort(skipped[why])
		fmt.Fprintf(&left, "\n%s:\n\n- %s\n", why, strings.Join(skipped[why], "\n- "))
	}
	doc := fmt.Sprintf(conformanceText, table.String(), strings.Join(failed, "\n"), left.String())
	if err := os.WriteFile(conformanceDoc, []byte(doc), 0o644); err != nil {
		t.Error(err)
	}
}

// counts are the outcomes of a group.
type counts struct{ passed, failed, skipped int }

// whySkipped is our reason for a spec that was left out, or the spec's own.
func whySkipped(s types.SpecReport) string {
	for _, o := range leftOut() {
		if regexp.MustCompile(o.specs).MatchString(s.FullText()) {
			return o.reason
		}
	}
	if s.Failure.Message == "" {
		return ""
	}
	return "the spec itself says: " + strings.TrimSpace(s.Failure.Message)
}

const conformanceText = `# Kubernetes' own end-to-end tests

Made by ` + "`make conformance`" + `: specs of k8s.io/kubernetes/test/e2e/network, from their own
code, against the embedded cluster. Their pods run agnhost, built from the image's own
packages, beside this machine's curl, dig and the like.

| | pass | fail | skipped |
| --- | --- | --- | --- |
%s
| spec that fails | reason |
| --- | --- |
%s

## Skipped
%s`
