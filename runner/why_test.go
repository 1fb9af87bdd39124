package runner

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/datapath/explain"
)

// TestWhy: a check that differs has the policy engine's reasons for what was seen, a
// check that is as expected has none, and an engine that sees it otherwise is not
// quoted.
func TestWhy(t *testing.T) {
	allowed := &explain.Answer{Connections: []explain.Connection{{
		Outcome: explain.Allowed, Directions: []explain.Direction{{Direction: "egress", Endpoint: "default/backend", Outcome: explain.Allowed, Reason: explain.NoPolicy}},
	}}}
	denied := &explain.Answer{Connections: []explain.Connection{{
		Outcome: explain.Denied, Directions: []explain.Direction{{Direction: "egress", Endpoint: "default/backend", Outcome: explain.Denied}},
	}}}
	for name, c := range map[string]struct {
		answer *explain.Answer
		want   []string
	}{
		"as seen":    {allowed, []string{"no policy selects default/backend for egress"}},
		"other view": {denied, nil},
		"no engine":  {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				if c.answer != nil {
					f.explain = func(explain.Request) *explain.Answer { return c.answer }
				}
				o := f.options()
				o.Lab, o.Wrong = lab04(t), "wrong-selector"
				run, err := runLab(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				differs := 0
				for _, r := range run.Tasks[0].Checks {
					want := c.want
					if r.Passed {
						want = nil
					} else {
						differs++
					}
					if !slices.Equal(r.Why, want) {
						t.Errorf("%s %s: why is %q, want %q", r.Phase, r.ID, r.Why, want)
					}
				}
				if differs != 1 || f.asked("explain default/app=backend cilium.io:443") != true {
					t.Errorf("%d checks differ; asked %q", differs, f.asks())
				}
			})
		})
	}
}

func TestQuestion(t *testing.T) {
	from := checks.From{Namespace: "shop", App: "web"}
	for _, c := range []struct {
		check checks.Check
		want  *explain.Request
	}{
		{checks.Check{To: "https://cilium.io/a"}, &explain.Request{To: "cilium.io", Port: "443"}},
		{checks.Check{To: "http://api:8080/a?b"}, &explain.Request{To: "svc/api", Port: "8080", HTTP: &explain.HTTP{Method: "HEAD", Path: "/a?b", Host: "api"}}},
		{checks.Check{To: "db:5432", Probe: checks.Spec{Probe: &checks.TCP{}}}, &explain.Request{To: "svc/db", Port: "5432"}},
		{checks.Check{To: "10.0.0.1:53", Probe: checks.Spec{Probe: &checks.UDP{}}}, &explain.Request{To: "10.0.0.1", Port: "53", Protocol: "UDP"}},
		{checks.Check{To: "api", Probe: checks.Spec{Probe: &checks.ICMP{}}}, &explain.Request{To: "svc/api", Protocol: "ICMP"}},
		{checks.Check{Probe: checks.Spec{Probe: &checks.DNS{Name: "cilium.io"}}}, &explain.Request{Port: "53", Protocol: "UDP", DNS: "cilium.io"}},
		{checks.Check{To: "http://api:8080/a", Probe: checks.Spec{Probe: checks.Curl{Args: []string{"-s", "-X", "PUT"}}}}, &explain.Request{To: "svc/api", Port: "8080", HTTP: &explain.HTTP{Method: "PUT", Path: "/a", Host: "api"}}},
		{checks.Check{To: "10.0.0.1:53", Probe: checks.Spec{Probe: checks.Command{Run: []string{"nc", "-z"}}}}, &explain.Request{To: "10.0.0.1", Port: "53"}},
		{checks.Check{To: "deploy/a", Probe: checks.Spec{Probe: &checks.Kubectl{}}}, nil},
	} {
		c.check.From = from
		got, ok := Question(c.check)
		if ok != (c.want != nil) {
			t.Errorf("%s: a question %v", c.check.To, ok)
		}
		if c.want == nil {
			continue
		}
		c.want.From, c.want.Namespace = "app=web", "shop"
		if got.HTTP != nil && c.want.HTTP != nil {
			if got.HTTP.Method != c.want.HTTP.Method || got.HTTP.Path != c.want.HTTP.Path || got.HTTP.Host != c.want.HTTP.Host {
				t.Errorf("%s: %+v", c.check.To, got.HTTP)
			}
			got.HTTP, c.want.HTTP = nil, nil
		}
		if got != *c.want {
			t.Errorf("%s: %+v, want %+v", c.check.To, got, *c.want)
		}
	}
}
