package netmap

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/runner/record"
)

// TestFromChecks: what each kind of probe asks, and of whom.
func TestFromChecks(t *testing.T) {
	for name, tc := range map[string]struct {
		to      string
		command []string
		names   Names
		node    Node
		line    string // request, without the path
		path    string
	}{
		"a Service":        {"http://backend:8080/a?b=c", []string{"curl", "-s"}, Names{}, Node{"svc/shop/backend", Service, "shop", "backend"}, "8080/TCP GET", "/a?b=c"},
		"posted":           {"http://backend/a", []string{"curl", "-X", "POST"}, Names{}, Node{"svc/shop/backend", Service, "shop", "backend"}, "80/TCP POST", "/a"},
		"its whole name":   {"https://db.far.svc.cluster.local./", []string{"curl"}, Names{}, Node{"svc/far/db", Service, "far", "db"}, "443/TCP GET", "/"},
		"of a namespace":   {"db.far:53", []string{"nc", "-z", "-u"}, Names{Namespaces: []string{"far"}}, Node{"svc/far/db", Service, "far", "db"}, "53/UDP", ""},
		"nothing is known": {"db.far:53", []string{"timeout", "5", "bash"}, Names{}, Node{"db.far", Name, "", "db.far"}, "53/TCP", ""},
		"the world":        {"https://Example.com", []string{"curl"}, Names{World: []string{"example.com"}}, Node{"example.com", World, "", "example.com"}, "443/TCP GET", "/"},
		"an address":       {"http://[2001:db8::1]:81/", []string{"curl"}, Names{}, Node{"2001:db8::1", Address, "", "2001:db8::1"}, "81/TCP GET", "/"},
		"a bare address":   {"2001:db8::1", []string{"ping"}, Names{}, Node{"2001:db8::1", Address, "", "2001:db8::1"}, "ICMP", ""},
		"a question":       {"", []string{"dig", "+tries=1", "kubernetes.io", "A"}, Names{}, Node{"svc/kube-system/kube-dns", Service, "kube-system", "kube-dns"}, "53/DNS", "kubernetes.io"},
		"of a server":      {"10.0.0.1", []string{"dig", "@10.0.0.1", "-p", "54", "a.b"}, Names{}, Node{"10.0.0.1", Address, "", "10.0.0.1"}, "53/DNS", "a.b"},
		"a command":        {"", []string{"true"}, Names{}, Node{}, "", ""},
		"no command":       {"backend:1", nil, Names{}, Node{"svc/shop/backend", Service, "shop", "backend"}, "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := FromChecks([]Check{{From: "shop/app=web", To: tc.to, Command: tc.command, Verdict: "allowed"}}, tc.names)
			if tc.node == (Node{}) {
				if len(g.Lines) != 0 {
					t.Fatalf("a line to nobody: %+v", g)
				}
				return
			}
			if len(g.Nodes) != 2 || len(g.Lines) != 1 {
				t.Fatalf("%+v", g)
			}
			if g.Nodes[0] != (Node{"shop/web", Pods, "shop", "web"}) || g.Nodes[1] != tc.node {
				t.Errorf("nodes %+v, want %+v", g.Nodes, tc.node)
			}
			if l := g.Lines[0]; l.what(false) != tc.line || l.Path != tc.path || l.To != tc.node.ID || l.Verdict != "allowed" {
				t.Errorf("line %+v, want %s %s", l, tc.line, tc.path)
			}
		})
	}
}

// TestFromRecord: a phase's checks, without those of objects; a verdict that is none of
// a connection is none.
func TestFromRecord(t *testing.T) {
	g := FromRecord(record.Task{Checks: []record.Check{
		{ID: "a", Phase: checks.Before, From: "shop/app=web", To: "http://db.far/", Command: []string{"curl"}, Verdict: checks.Allowed},
		{
			ID: "a", Phase: checks.After, From: "shop/app=web", To: "http://db.far/", Command: []string{"curl"}, Verdict: checks.Denied,
			Evidence: checks.Evidence{Control: &checks.Control{Subject: checks.Subject{Service: &checks.Service{Namespace: "far"}}}},
		},
		{ID: "b", Phase: checks.After, From: "shop/app=web,tier=front", To: "db:1", Command: []string{"nc"}, Verdict: checks.Met},
		{ID: "c", Phase: checks.After, To: "pods", Command: []string{"kubectl"}, Verdict: checks.Met},
	}}, checks.After)
	want := []Line{
		{From: "shop/web", To: "svc/far/db", Protocol: "TCP", Port: 80, Method: "GET", Path: "/", Verdict: "denied"},
		{From: "shop/app=web,tier=front", To: "svc/shop/db", Protocol: "TCP", Port: 1, Verdict: Unjudged},
	}
	if !slices.Equal(g.Lines, want) {
		t.Errorf("%+v", g.Lines)
	}
}

func TestFromMatrix(t *testing.T) {
	g := FromMatrix(&explain.Matrix{
		From: []string{"shop/web", "world"}, To: []string{"shop/web", "world"}, Notes: []string{"a note"},
		Cells:    []explain.Cell{{From: "world", To: "shop/web", Protocol: "TCP", Port: 80, Outcome: explain.Denied}},
		Services: []explain.ServicePort{{Name: "shop/front", Protocol: "TCP", Port: 8080, To: []string{"shop/web"}}},
	})
	got := said(g)
	want := parsed{
		nodes: []string{"pods shop/web", "world world"}, lines: []string{"world world -> pods shop/web 80/TCP  denied false"},
		services: []string{"shop/front:8080/TCP -> pods shop/web"},
	}
	if !slices.Equal(got.nodes, want.nodes) || !slices.Equal(got.lines, want.lines) || !slices.Equal(got.services, want.services) {
		t.Errorf("%+v", got)
	}
}

// TestSVG: the picture is XML with every line's sentence, whatever the names are; no
// name becomes an element, and nothing is fetched.
func TestSVG(t *testing.T) {
	evil := "</text><script>alert(1)</script><image href='http://x'/>\x00\x1b\ufffe\"'&]]>"
	g := Graph{
		Nodes:    []Node{{ID: "a", Kind: Pods, Namespace: evil, Name: evil}, {ID: "b", Kind: Service, Namespace: "x", Name: "b"}, {ID: "c", Kind: Pods, Name: "alone"}},
		Lines:    []Line{{From: "a", To: "b", Port: 80, Protocol: "TCP", Method: evil, Path: evil, Verdict: "denied"}, {From: "a", To: "a", Verdict: "allowed"}},
		Services: []Link{{Service: evil, Port: 1, Protocol: "TCP", To: "a"}}, Notes: []string{evil},
	}
	picture, err := SVG(g, evil)
	if err != nil {
		t.Fatal(err)
	}
	elements := map[string]int{}
	var said strings.Builder
	for dec := xml.NewDecoder(strings.NewReader(picture)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, picture)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("attribute %s", a.Name.Local)
				}
			}
		case xml.CharData:
			said.Write(token)
		}
	}
	for name := range elements {
		if !slices.Contains([]string{"svg", "title", "style", "rect", "g", "path", "text", "tspan"}, name) {
			t.Errorf("element %s", name)
		}
	}
	for _, want := range []string{"✗ denied", "✓ allowed", "80/TCP", "alone", "Service </text>"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the picture does not say %q\n%s", want, picture)
		}
	}
	if strings.Contains(picture, "url(") || strings.Contains(picture, "@import") {
		t.Error("the picture fetches something")
	}
}
