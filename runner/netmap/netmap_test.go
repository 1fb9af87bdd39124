package netmap

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// random is a graph of so many workloads: some in one namespace, some in several,
// with the world, with Services, and lines between them.
func random(r *rand.Rand, workloads int) Graph {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	g := Graph{Schema: Schema}
	spaces := []string{"default", "shop", "a-namespace-with-a-long-name"}[:1+r.IntN(3)]
	for i := range workloads {
		name := pick("web", "db", "a", "frontend-of-the-shop", "payments-service-with-a-very-long-name") + strconv.Itoa(i)
		ns := pick(spaces...)
		g.add(Node{ID: ns + "/" + name, Kind: Pods, Namespace: ns, Name: name})
	}
	if r.IntN(2) == 0 {
		g.add(Node{ID: "world", Kind: World, Name: "world"})
	}
	if r.IntN(3) == 0 {
		ns := pick(spaces...)
		g.add(Node{ID: "svc/" + ns + "/front", Kind: Service, Namespace: ns, Name: "front"})
		g.add(Node{ID: "10.0.0.1", Kind: Address, Name: "10.0.0.1"})
		g.add(Node{ID: "example.com", Kind: Name, Name: "example.com"})
	}
	dense := r.Float64()
	for _, from := range g.Nodes {
		for _, to := range g.Nodes {
			if from.Kind != Pods && to.Kind != Pods || r.Float64() > dense {
				continue
			}
			for range 1 + r.IntN(2) {
				l := Line{
					From: from.ID, To: to.ID, Port: uint16(1 + r.IntN(65535)), Protocol: pick("TCP", "TCP", "UDP", "SCTP"),
					Verdict: pick("allowed", "allowed", "denied", "denied-l7", "broken", "inconclusive", Running, Unjudged), Stale: r.IntN(5) == 0,
				}
				if r.IntN(3) == 0 {
					l.Method, l.Path = pick("GET", "POST", "OPTIONS"), pick("/public", "/a/rather/long/path/of/a/request")
				}
				g.Lines = append(g.Lines, l)
			}
		}
	}
	for range r.IntN(4) {
		if i := r.IntN(len(g.Nodes)); g.Nodes[i].Kind == Pods {
			g.Services = append(g.Services, Link{Service: pick(spaces...) + "/" + pick("web", "api", "a-service-with-a-rather-long-name"), Port: uint16(80 + r.IntN(2)), Protocol: "TCP", To: g.Nodes[i].ID})
		}
	}
	slices.SortFunc(g.Services, func(a, b Link) int { return strings.Compare(a.words(""), b.words("")) })
	return g
}

// TestParsedBack: whatever is drawn says what the graph says, in any width, and no
// line is wider. Up to 8 workloads stand in boxes on a screen that is wide enough.
func TestParsedBack(t *testing.T) {
	boxes, all := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 15))
		g := random(r, 1+r.IntN(mostBoxes))
		want := said(g)
		width, ascii := 60+r.IntN(141), r.IntN(2) == 0
		d := Draw(g, Options{Width: width, ASCII: ascii})
		for _, line := range d.Lines {
			if w := ansi.StringWidth(line); w > width {
				t.Fatalf("seed %d: %d cells of %d: %q\n%s", seed, w, width, line, d)
			}
		}
		if ascii && strings.IndexFunc(d.String(), func(r rune) bool { return r > 0x7f }) >= 0 {
			t.Fatalf("seed %d is not ASCII\n%s", seed, d)
		}
		got := parse(t, d, ascii)
		if !slices.Equal(got.nodes, want.nodes) || !slices.Equal(got.lines, want.lines) || !slices.Equal(got.services, want.services) {
			t.Fatalf("seed %d, %d wide: the drawing says\n%q\n%q\n%q\nthe graph\n%q\n%q\n%q\n%s", seed, width,
				got.nodes, got.lines, got.services, want.nodes, want.lines, want.services, d)
		}
		for _, s := range d.Spans {
			if text := d.Lines[s.Line][s.From:s.To]; !strings.HasSuffix(text, " "+s.Verdict) {
				t.Fatalf("seed %d: a span is %q, not %s", seed, text, s.Verdict)
			}
		}
		if width >= 100 && len(g.Lines) > 0 {
			all++
			if title.MatchString(d.Lines[0]) {
				boxes++
			}
		}
	}
	if boxes < all*95/100 {
		t.Errorf("%d of %d wide drawings have boxes", boxes, all)
	}
}

// TestTree: more workloads, and a narrow screen, have a tree, which says the same.
func TestTree(t *testing.T) {
	for name, tc := range map[string]struct{ workloads, width int }{"many": {mostBoxes + 1, 200}, "narrow": {3, narrow}, "narrower": {12, 40}} {
		t.Run(name, func(t *testing.T) {
			g := random(rand.New(rand.NewPCG(7, 15)), tc.workloads)
			for _, ascii := range []bool{false, true} {
				d := Draw(g, Options{Width: tc.width, ASCII: ascii})
				if title.MatchString(d.Lines[0]) {
					t.Errorf("boxes, not a tree\n%s", d)
				}
				got, want := parse(t, d, ascii), said(g)
				if !slices.Equal(got.lines, want.lines) || !slices.Equal(got.nodes, want.nodes) || !slices.Equal(got.services, want.services) {
					t.Errorf("the tree does not say what the graph says\n%s", d)
				}
			}
		})
	}
}

// TestHostileNames: what a terminal obeys is written out, and words stay where they are.
func TestHostileNames(t *testing.T) {
	evil := "a\x1b]0;owned\x07\u202e<script>&\n日本"
	g := Graph{
		Nodes:    []Node{{ID: evil, Kind: Pods, Namespace: evil, Name: evil}, {ID: "world", Kind: World, Name: "world"}},
		Lines:    []Line{{From: evil, To: "world", Protocol: evil, Port: 1, Method: evil, Path: evil, Verdict: "allowed"}},
		Services: []Link{{Service: evil, Port: 1, Protocol: "TCP", To: evil}}, Notes: []string{evil},
	}
	for _, o := range []Options{{Width: 300}, {Width: 80}, {Width: 50}, {Width: 80, ASCII: true}, {Width: 300, ASCII: true}} {
		d := Draw(g, o)
		for _, line := range d.Lines {
			if ansi.StringWidth(line) > o.Width || strings.ContainsAny(line, "\x1b\x07\u202e\n") || o.ASCII && strings.ContainsRune(line, '日') {
				t.Errorf("%d wide: %q", o.Width, line)
			}
		}
	}
	for _, s := range Sentences(g) {
		if strings.ContainsAny(s, "\x1b\x07\u202e\n") {
			t.Errorf("%q", s)
		}
	}
}

func TestSentences(t *testing.T) {
	g := Graph{
		Nodes: []Node{{ID: "shop/web", Kind: Pods, Namespace: "shop", Name: "web"}, {ID: "svc/shop/db", Kind: Service, Namespace: "shop", Name: "db"}, {ID: "world", Kind: World, Name: "world"}},
		Lines: []Line{
			{From: "shop/web", To: "svc/shop/db", Protocol: "TCP", Port: 80, Method: "GET", Path: "/a", Verdict: "denied-l7"},
			{From: "shop/web", To: "world", Protocol: "ICMP", Verdict: "allowed", Stale: true},
		},
		Services: []Link{{Service: "shop/db", Port: 80, Protocol: "TCP", To: "shop/web"}},
	}
	want := []string{
		"From web to the Service db, port 80, GET /a: denied-l7.", "From web to world, ICMP: allowed, and something changed since.",
		"The Service db:80/TCP leads to web.",
	}
	if got := Sentences(g); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
