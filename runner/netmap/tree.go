package netmap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/internal/printable"
)

// The room for names in a tree, at most: the kind stands after them.
const (
	treeIndent  = 6
	leastInTree = 12
	kindWidth   = len(" (Service)")
)

// Tree draws a graph as a tree: below each source its destinations, below those
// the lines; then the Services, and what they lead to.
func Tree(g Graph, o Options) Drawing {
	k := pens[o.ASCII]
	n := g.names(func(string) int { return max(o.Width-treeIndent-kindWidth, leastInTree) }, o.ASCII)
	title := func(id string) string {
		return n.short[id] + " (" + string(g.node(id).Kind) + ")"
	}
	var d Drawing
	lines := g.ordered()
	linked := map[string]bool{}
	for _, from := range runs(lines, func(l Line) string { return l.From }) {
		d.Lines = append(d.Lines, title(from[0].From))
		linked[from[0].From] = true
		all := runs(from, func(l Line) string { return l.To })
		for i, to := range all {
			branch, bar := k.branches(i == len(all)-1)
			d.Lines = append(d.Lines, branch+title(to[0].To))
			linked[to[0].To] = true
			for j, l := range to {
				twig, _ := k.branches(j == len(to)-1)
				head := bar + twig
				d.Spans = append(d.Spans, l.span(len(d.Lines), len(head), o.ASCII))
				line := head + l.symbol(o.ASCII) + " " + l.Verdict + " " + l.request(o.ASCII)
				d.Lines = append(d.Lines, cut(strings.TrimRight(line, " "), o.Width, o.ASCII))
			}
		}
	}
	for _, node := range g.Nodes {
		if !linked[node.ID] {
			d.Lines = append(d.Lines, title(node.ID))
		}
	}
	if len(g.Services) > 0 {
		d.Lines = append(d.Lines, "Services")
	}
	home := g.home()
	all := runs(g.Services, func(l Link) string { return l.words(home) })
	ports := make([]string, len(all))
	for i, s := range all {
		ports[i] = spelt(s[0].words(home), o.ASCII)
	}
	n.cutServices(ports, max(o.Width-len("|- "), leastInTree), o.ASCII)
	for i, s := range all {
		branch, bar := k.branches(i == len(all)-1)
		d.Lines = append(d.Lines, branch+ports[i])
		for j, l := range s {
			twig, _ := k.branches(j == len(s)-1)
			d.Lines = append(d.Lines, bar+twig+title(l.To))
		}
	}
	d.Lines = append(d.Lines, g.under(n, o)...)
	return d
}

// branches are how a line of a tree begins, and those below it.
func (k pen) branches(last bool) (own, below string) {
	if last {
		return k.last, "   "
	}
	return k.branch, k.down + "  "
}

// runs splits a list where a key changes.
func runs[T any](all []T, key func(T) string) [][]T {
	var out [][]T
	for i, one := range all {
		if i == 0 || key(one) != key(all[i-1]) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], one)
	}
	return out
}

// Sentences are the lines of a graph in words, for a screen reader.
func Sentences(g Graph) []string {
	var out []string
	home := g.home()
	name := func(id string) string {
		n := g.node(id)
		whole := g.whole(n, home, false)
		if n.Kind == Service {
			whole = "the Service " + whole
		}
		return whole
	}
	for _, l := range g.ordered() {
		text := "From " + name(l.From) + " to " + name(l.To)
		if l.Port != 0 {
			text += fmt.Sprintf(", port %d", l.Port)
		}
		if l.Protocol != "" && (l.Protocol != "TCP" || l.Port == 0) {
			text += ", " + printable.Line(l.Protocol)
		}
		if what := strings.TrimSpace(printable.Line(l.Method) + " " + printable.Line(l.Path)); what != "" {
			text += ", " + what
		}
		text += ": " + l.Verdict
		if l.Stale {
			text += ", and something changed since"
		}
		out = append(out, text+".")
	}
	for _, s := range runs(g.Services, func(l Link) string { return l.words(home) }) {
		var to []string
		for _, l := range s {
			if who := name(l.To); !slices.Contains(to, who) {
				to = append(to, who)
			}
		}
		out = append(out, "The Service "+printable.Line(s[0].words(home))+" leads to "+strings.Join(to, " and ")+".")
	}
	return out
}
