package lesson

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/netmap"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/progress"
)

// TestGraph: a name is of a Service where the lab has its namespace, and a verdict the
// last that there is.
func TestGraph(t *testing.T) {
	check := func(id, to string) checks.Check {
		return checks.Check{ID: id, From: checks.From{Namespace: "default", App: "web"}, To: to}
	}
	lab := &labs.Lab{
		ID: "04", Namespace: "default", Workloads: []string{"w.yaml", "missing.yaml"}, World: labs.World{Names: []string{"cilium.io"}},
		FS:    fstest.MapFS{"w.yaml": {Data: []byte("kind: Service\nmetadata: {name: gateway, namespace: edge}\n")}},
		Tasks: []labs.Task{{ID: "4.1", Checks: []checks.Check{check("a", "http://gateway.edge:8080/"), check("b", "https://cilium.io"), check("c", "https://other.io")}}},
	}
	store, err := progress.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := New(lab, "4.1", store)
	l.Rows[0].Before, l.Rows[0].Now, l.Rows[0].Stale = &record.Check{Verdict: checks.Allowed}, &record.Check{Verdict: checks.Denied}, true
	l.Rows[1].Before = &record.Check{Verdict: checks.Allowed}
	g := l.Graph()
	want := []netmap.Line{
		{From: "default/web", To: "svc/edge/gateway", Protocol: "TCP", Port: 8080, Method: "HEAD", Path: "/", Verdict: "denied", Stale: true},
		{From: "default/web", To: "cilium.io", Protocol: "TCP", Port: 443, Method: "HEAD", Path: "/", Verdict: "allowed"},
		{From: "default/web", To: "other.io", Protocol: "TCP", Port: 443, Method: "HEAD", Path: "/", Verdict: netmap.Unjudged},
	}
	if !slices.Equal(g.Lines, want) {
		t.Errorf("%+v", g.Lines)
	}
	if n := g.Nodes[len(g.Nodes)-2]; n.Kind != netmap.World {
		t.Errorf("%+v is not of the world", n)
	}
}
