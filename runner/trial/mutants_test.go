package trial

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
)

// fakeEngine says of lab 08's checks what the lab declares, but for mutants that the
// test tells of by a part of their text.
type fakeEngine struct {
	lab     *labs.Lab
	refuse  string          // of these, a policy is refused
	quiet   string          // of these, it says the same as of the solution
	same    string          // of these, nothing differs over all pods
	opinion map[string]bool // "FROM TO" → allowed, against what the lab declares
	asked   []Comparison
}

func (e *fakeEngine) Compare(_ context.Context, c Comparison) ([]Compared, error) {
	e.asked = append(e.asked, c)
	var out []Compared
	for i, set := range c.Sets {
		text := ""
		for _, f := range set {
			text += string(f.Data)
		}
		has := func(mark string) bool { return mark != "" && i > 0 && strings.Contains(text, mark) }
		var one Compared
		switch {
		case has(e.refuse):
			one.Refused = "no"
		case c.Survey && i > 0 && !has(e.same):
			one.Differs = []Difference{{From: "a", To: "b", What: "TCP 80", First: "denied", Here: "allowed", Unseen: true}}
		}
		for _, q := range c.Ask {
			allowed := q.DNS != "" || q.From == "app=scanner" && q.Namespace == "readers" && q.To == "svc/catalog.library"
			if i > 0 && q.DNS == "" && !has(e.quiet) {
				allowed = !allowed
			}
			if v, ok := e.opinion[q.From+" "+q.To]; ok {
				allowed = v
			}
			one.Said = append(one.Said, Said{Known: true, Allowed: allowed})
		}
		out = append(out, one)
	}
	return out, nil
}

func TestMutants(t *testing.T) {
	lab := lab(t, "08")
	made := func(e *fakeEngine, prove func(attempt, *record.Task)) (Mutants, Lab) {
		t.Helper()
		e.lab = lab
		rec, err := Run(t.Context(), Options{Labs: []*labs.Lab{lab}, Engine: e, prove: func(ctx context.Context, l *labs.Lab, task labs.Task, all []attempt) ([]record.Task, error) {
			got, err := faithful(func(string, *record.Task) {})(ctx, l, task, all)
			for i, a := range all {
				if a.kind == mutantKind && prove != nil {
					prove(a, &got[i])
				}
			}
			return got, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		return *rec.Labs[0].Mutants(), rec.Labs[0]
	}

	all, l := made(&fakeEngine{}, nil)
	if all.Made < 35 || all.Engine != all.Made || !l.OK() || all.Score() != 100 {
		t.Errorf("all noticed by the engine: %+v", all)
	}

	const mark = `"matchLabels":{"app":"guest"}` // two: of the catalog's readers, and of the catalog itself
	e := &fakeEngine{quiet: mark}
	survivors, _ := made(e, nil)
	if n := len(survivors.Survivors); n == 0 || survivors.Engine != all.Made-n || survivors.Live != 0 {
		t.Fatalf("quiet mutants on a faithful cluster: %+v", survivors)
	}
	s := survivors.Survivors[0]
	if s.File != "08/solution/library.yaml" || s.Line == 0 || !strings.Contains(s.Change, "guest") || !strings.Contains(s.Missing, "from a to b, TCP 80: denied with the solution, allowed with this; the lab has no such pod") {
		t.Errorf("the survivor is %+v", s)
	}
	if len(e.asked) != 2 || !e.asked[1].Survey || len(e.asked[1].Sets) != len(survivors.Survivors)+1 {
		t.Errorf("the engine was asked %d times", len(e.asked))
	}

	killed, _ := made(&fakeEngine{quiet: mark}, func(_ attempt, got *record.Task) { got.Checks[1].Passed = false })
	if killed.Live != len(survivors.Survivors) || len(killed.Survivors) != 0 {
		t.Errorf("noticed on the cluster: %+v", killed)
	}
	refused, _ := made(&fakeEngine{quiet: mark}, func(_ attempt, got *record.Task) { got.Checks[1].Cause = checks.CausePolicyRejected })
	if refused.Refused != len(survivors.Survivors) {
		t.Errorf("refused by the cluster: %+v", refused)
	}
	if got, _ := made(&fakeEngine{refuse: mark}, nil); got.Refused != len(survivors.Survivors) || got.Counted() != all.Made-got.Refused {
		t.Errorf("refused by the engine: %+v", got)
	}
	if got, _ := made(&fakeEngine{quiet: mark, same: mark}, nil); got.Equivalent != len(survivors.Survivors) || len(got.Survivors) != 0 {
		t.Errorf("the same: %+v", got)
	}
	// An engine that is wrong about the solution is not believed about mutants.
	wrong, l := made(&fakeEngine{opinion: map[string]bool{"app=scanner svc/catalog.library": false, "app=guest svc/catalog.library": true, "app=scanner svc/shelf.library": true, "app=guest svc/shelf.library": true}}, nil)
	if wrong.Engine != 0 || wrong.Score() >= LeastScore || l.OK() {
		t.Errorf("an engine that is wrong: %+v", wrong)
	}
	last := l.Failures()[len(l.Failures())-1]
	if last.Attempt != "mutants" || last.Expected != "at least 95 %" || last.Line == 0 {
		t.Errorf("the failure is %+v", last)
	}
}

// TestDeclaredSurvivors takes a reason in place of a check, for what survives only.
func TestDeclaredSurvivors(t *testing.T) {
	e := &fakeEngine{quiet: `"policyTypes"`}
	declared := *lab(t, "08")
	e.lab = &declared
	run := func(unnoticed []labs.Unnoticed) Lab {
		t.Helper()
		declared.Tasks = slices.Clone(declared.Tasks)
		declared.Tasks[0].Unnoticed = unnoticed
		rec, err := Run(t.Context(), Options{Labs: []*labs.Lab{&declared}, Engine: e, prove: faithful(func(string, *record.Task) {})})
		if err != nil {
			t.Fatal(err)
		}
		return rec.Labs[0]
	}
	bare := run(nil)
	m := bare.Mutants()
	if len(m.Survivors) == 0 || m.Score() >= LeastScore || bare.OK() {
		t.Fatalf("without a reason: %+v", m)
	}
	var all []labs.Unnoticed
	for _, s := range m.Survivors {
		all = append(all, labs.Unnoticed{Object: s.Object, Path: s.Path, Change: s.Change, Because: "nobody\nasks"})
	}
	if l := run(all); !l.OK() || l.Mutants().Score() != m.Score() || l.Mutants().Survivors[0].Because != "nobody asks" {
		t.Errorf("all with a reason: %+v, %+v", l.Failures(), l.Mutants())
	}
	if l := run(all[1:]); l.OK() {
		t.Error("one without a reason passes")
	}
	idle := run(append(slices.Clone(all), labs.Unnoticed{Object: "NetworkPolicy a/b", Path: "spec", Change: "gone", Because: "it is"}))
	if f := idle.Failures(); len(f) != 1 || f[0].What != "NetworkPolicy a/b spec" || f[0].File != "08/lab.yaml" || f[0].Line == 0 {
		t.Errorf("a reason for nothing: %+v", f)
	}
}

func TestMutantsOfNoSolution(t *testing.T) {
	e := &fakeEngine{}
	rec, err := Run(t.Context(), Options{Labs: []*labs.Lab{lab(t, "08")}, Engine: e, prove: faithful(func(a string, got *record.Task) {
		if a == "solution" {
			got.Checks[1].Passed = false
		}
	})})
	if err != nil || rec.Labs[0].Mutants() != nil || len(e.asked) != 0 {
		t.Errorf("%v, %+v", err, rec.Labs[0].Mutants())
	}
}

func TestQuestions(t *testing.T) {
	services := map[string]bool{"a/web": true, "kube-system/kube-dns": true}
	from := checks.From{Namespace: "a", App: "x"}
	lookup := "a app=x svc/kube-dns.kube-system 53 UDP dns=web.a.svc.cluster.local; "
	for name, tc := range map[string]struct {
		check checks.Check
		want  string
	}{
		"the default":         {checks.Check{To: "https://cilium.io/x"}, "a app=x cilium.io 443 TCP sni=cilium.io"},
		"a Service by name":   {checks.Check{To: "http://web:80/p"}, lookup + "a app=x svc/web.a 80 TCP HEAD /p web"},
		"its full name":       {checks.Check{To: "web.a.svc.cluster.local:80", Probe: checks.Spec{Probe: &checks.TCP{}}}, lookup + "a app=x svc/web.a 80 TCP"},
		"UDP to an address":   {checks.Check{To: "192.0.2.1:53", Probe: checks.Spec{Probe: &checks.UDP{}}}, "a app=x 192.0.2.1 53 UDP"},
		"a ping":              {checks.Check{To: "192.0.2.1", Probe: checks.Spec{Probe: &checks.ICMP{}}}, "a app=x 192.0.2.1 0 ICMP"},
		"a DNS question":      {checks.Check{Probe: checks.Spec{Probe: &checks.DNS{Name: "cilium.io.", Protocol: "tcp"}}}, "a app=x svc/kube-dns.kube-system 53 TCP dns=cilium.io"},
		"a method":            {checks.Check{To: "http://192.0.2.1/p", Probe: checks.Spec{Probe: &checks.Curl{Args: []string{"-s", "-X", "PUT"}}}}, "a app=x 192.0.2.1 80 TCP PUT /p 192.0.2.1"},
		"data":                {checks.Check{To: "http://192.0.2.1/p", Probe: checks.Spec{Probe: &checks.Curl{Args: []string{"-s", "-d", "x"}}}}, "a app=x 192.0.2.1 80 TCP POST /p 192.0.2.1"},
		"somebody else":       {checks.Check{To: "http://192.0.2.1/", Probe: checks.Spec{Probe: &checks.Curl{Args: []string{"--connect-to", "::web"}}}}, ""},
		"a command":           {checks.Check{To: "192.0.2.1:1", Probe: checks.Spec{Probe: &checks.Command{Run: []string{"x"}}}}, ""},
		"an object":           {checks.Check{Probe: checks.Spec{Probe: &checks.Kubectl{Get: "pod/x"}}}, ""},
		"a host that is none": {checks.Check{To: "nobody:80", Probe: checks.Spec{Probe: &checks.TCP{}}}, ""},
	} {
		tc.check.From = from
		var got []string
		for _, q := range questionsOf(tc.check, services) {
			text := fmt.Sprintf("%s %s %s %d %s", q.Namespace, q.From, q.To, q.Port, q.Protocol)
			if q.HTTP != nil {
				text += fmt.Sprintf(" %s %s %s", q.HTTP.Method, q.HTTP.Path, q.HTTP.Host)
			}
			if q.DNS != "" {
				text += " dns=" + q.DNS
			}
			if q.SNI != "" {
				text += " sni=" + q.SNI
			}
			got = append(got, text)
		}
		if strings.Join(got, "; ") != tc.want {
			t.Errorf("%s is asked as %q, want %q", name, strings.Join(got, "; "), tc.want)
		}
	}
}

func TestVerdictOfSaid(t *testing.T) {
	yes, no := Said{Known: true, Allowed: true}, Said{Known: true}
	for name, tc := range map[string]struct {
		said []Said
		want checks.Expect
	}{
		"both allowed":    {[]Said{yes, yes}, checks.ExpectAllowed},
		"no lookup":       {[]Said{no, yes}, unclear},
		"denied":          {[]Said{yes, no}, checks.ExpectDenied},
		"refused":         {[]Said{yes, {Known: true, L7: true}}, checks.ExpectDeniedL7},
		"no name":         {[]Said{yes, {Known: true, Name: true}}, unclear},
		"nothing is said": {[]Said{yes, {}}, ""},
	} {
		a := asked{questions: make([]Question, 2), check: checks.Check{After: checks.ExpectAllowed}}
		if got := verdict(a, tc.said); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		if got := noticed(a, tc.said); got != (tc.want != "" && tc.want != checks.ExpectAllowed) {
			t.Errorf("%s: noticed is %v", name, got)
		}
		a.check.After = checks.ExpectDenied
		if noticed(a, tc.said) && tc.want == unclear {
			t.Errorf("%s: a deny of which it is unclear how is noticed", name)
		}
	}
}
