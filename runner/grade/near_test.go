package grade

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/trial"
)

// mistaken lets cilium.io be reached while an answer has the mistake in it, and says
// nothing of other connections.
type mistaken struct {
	mistake string
	refused string
	err     error
}

func (m mistaken) Compare(_ context.Context, c trial.Comparison) ([]trial.Compared, error) {
	out := make([]trial.Compared, len(c.Sets))
	for i, set := range c.Sets {
		if out[i].Refused = m.refused; m.refused != "" {
			continue // nothing is said then
		}
		for _, q := range c.Ask {
			wrong := strings.Contains(string(set[0].Data), m.mistake) && q.To == "cilium.io"
			out[i].Said = append(out[i].Said, trial.Said{Known: wrong, Allowed: wrong})
		}
	}
	return out, m.err
}

// The field is named that a change could mend, with its place in what was handed in,
// and nothing where the engine does not know what went wrong.
func TestSuspects(t *testing.T) {
	l := lab(t, "04")
	r, err := rulesOf(l)
	if err != nil {
		t.Fatal(err)
	}
	objects := parse(t, `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: mine}
spec:
  endpointSelector:
    matchLabels:
      app: backnd
  egress: [{toFQDNs: [{matchName: kubernetes.io}]}]
`)
	const named = "file1.yaml:7: spec.endpointSelector.matchLabels.app of CiliumNetworkPolicy mine: a change there would bring all checks of task 4.1 to pass"
	for name, tc := range map[string]struct {
		engine trial.Engine
		failed []string
		want   string // the first that is named
	}{
		"the field":                  {mistaken{mistake: "backnd"}, []string{"cilium-io"}, named},
		"one of two checks":          {mistaken{mistake: "backnd"}, []string{"cilium-io", "kubernetes-io"}, strings.Replace(named, "all checks", "cilium-io", 1)},
		"no change helps":            {mistaken{mistake: "CiliumNetworkPolicy"}, []string{"cilium-io"}, ""},
		"refused":                    {mistaken{refused: "no such field"}, []string{"cilium-io"}, ""},
		"the engine sees no fault":   {mistaken{mistake: "nowhere"}, []string{"cilium-io"}, ""},
		"another check failed":       {mistaken{mistake: "backnd"}, []string{"kubernetes-io"}, ""},
		"the engine does not answer": {mistaken{err: errors.New("gone")}, []string{"cilium-io"}, ""},
		"no engine":                  {nil, []string{"cilium-io"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j := &judge{o: Options{Lab: l, Engine: tc.engine, Log: slog.New(slog.DiscardHandler)}, rules: r}
			run := record.Run{Tasks: []record.Task{{ID: "4.1"}}}
			for _, id := range []string{"kubernetes-io", "cilium-io"} {
				run.Tasks[0].Checks = append(run.Tasks[0].Checks, record.Check{ID: id, Phase: checks.After, Passed: !slices.Contains(tc.failed, id)})
			}
			got := ""
			if found := j.suspects(t.Context(), run, answer{handed{lab: l, rules: r}, objects}); len(found) > 0 {
				got = found[0].String()
			}
			if got != tc.want {
				t.Errorf("named is %q, want %q", got, tc.want)
			}
		})
	}
}

// counting counts what an engine is asked.
type counting struct {
	trial.Engine
	asked *int
}

func (c counting) Compare(ctx context.Context, q trial.Comparison) ([]trial.Compared, error) {
	*c.asked++
	return c.Engine.Compare(ctx, q)
}

// What is the same is looked at once, and what earned all points, or was not judged, not
// at all.
func TestAdvise(t *testing.T) {
	l := lab(t, "04")
	r, err := rulesOf(l)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	j := &judge{o: Options{Lab: l, Engine: counting{mistaken{mistake: "backnd"}, &asked}, Log: slog.New(slog.DiscardHandler)}, rules: r}
	what := answer{handed{lab: l, rules: r}, parse(t, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: mine}\nspec: {endpointSelector: {matchLabels: {app: backnd}}, egress: [{}]}\n")}
	failed := record.Run{Tasks: []record.Task{{ID: "4.1", Checks: []record.Check{{ID: "cilium-io", Phase: checks.After}}}}}
	a := &adviser{known: map[string][]result.Suspect{}}
	for i, tc := range []struct {
		digest string
		status result.Status
		points int
		asked  int // by then
		told   bool
	}{
		{"a", result.Graded, 1, 0, false}, {"a", result.Failed, 0, 0, false},
		{"a", result.Graded, 0, 1, true}, {"a", result.Graded, 0, 1, true}, {"b", result.Graded, 0, 2, true},
	} {
		r := result.Record{Status: tc.status, Points: tc.points, Max: 1, Run: failed, Submission: result.Submission{Digest: tc.digest}}
		a.advise(t.Context(), j, &r, what)
		if asked != tc.asked || len(r.Suspects) > 0 != tc.told {
			t.Errorf("%d: asked %d times, told %v", i, asked, r.Suspects)
		}
	}
}
