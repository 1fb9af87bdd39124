package netmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/internal/printable"
)

// Options are how a graph is drawn as text.
type Options struct {
	Width int // in cells
	ASCII bool
}

// A verdict is told by a word and a symbol; the symbols are one cell wide.
type sign struct{ unicode, ascii string }

var signs = map[string]sign{
	"allowed":      {"✓", "+"},
	"denied":       {"✗", "x"},
	"denied-l7":    {"⊘", "%"},
	"broken":       {"!", "!"},
	"inconclusive": {"?", "?"},
	Running:        {"●", "*"},
	Unjudged:       {"·", "."},
}

// stale is the symbol of a verdict since which something changed.
var stale = sign{"○", "o"}

func (s sign) in(ascii bool) string {
	if ascii {
		return s.ascii
	}
	return s.unicode
}

// word is a verdict, or Unjudged for what is none of a connection.
func word(verdict string) string {
	if _, ok := signs[verdict]; ok {
		return verdict
	}
	return Unjudged
}

// symbol is a line's verdict as a symbol.
func (l Line) symbol(ascii bool) string {
	if l.Stale {
		return stale.in(ascii)
	}
	return signs[l.Verdict].in(ascii)
}

// stops says whether the verdict is that nothing gets through.
func (l Line) stops() bool {
	return l.Verdict == "denied" || l.Verdict == "denied-l7" || l.Verdict == "broken"
}

// port is PORT/PROTOCOL as far as they are known, "" for neither.
func (l Line) port() string {
	switch {
	case l.Port == 0:
		return l.Protocol
	case l.Protocol == "":
		return strconv.Itoa(int(l.Port))
	}
	return fmt.Sprintf("%d/%s", l.Port, l.Protocol)
}

// what is the port and the method, which are never cut.
func (l Line) what(ascii bool) string {
	return strings.TrimSpace(spelt(l.port(), ascii) + " " + spelt(l.Method, ascii))
}

// request is that and the path.
func (l Line) request(ascii bool) string {
	return strings.TrimSpace(l.what(ascii) + " " + spelt(l.Path, ascii))
}

// least is the room that a request needs, where its path is cut.
func (l Line) least(ascii bool) int {
	what := ansi.StringWidth(l.what(ascii))
	return min(ansi.StringWidth(l.request(ascii)), what+2)
}

// cut is a text in a width, with a mark where its end is missing.
func cut(text string, width int, ascii bool) string {
	return ansi.Truncate(text, max(width, 0), ellipsis(ascii))
}

func ellipsis(ascii bool) string {
	if ascii {
		return "~"
	}
	return "…"
}

// meanings are the words of verdicts that do not tell all by themselves, explained.
var meanings = []struct{ word, meaning string }{
	{"denied-l7", "the connection is allowed, what is asked in it is refused"},
	{"broken", "it fails, and no policy is why"},
	{"inconclusive", "nothing shows that it worked without a policy"},
	{Unjudged, "there is no verdict yet"},
}

// meaning explains the words that a graph has.
func (g *Graph) meaning(ascii bool) []string {
	var out []string
	for _, m := range meanings {
		if slices.ContainsFunc(g.Lines, func(l Line) bool { return l.Verdict == m.word }) {
			out = append(out, signs[m.word].in(ascii)+" "+m.word+": "+m.meaning)
		}
	}
	if slices.ContainsFunc(g.Lines, func(l Line) bool { return l.Stale }) {
		out = append(out, stale.in(ascii)+": something changed since")
	}
	return out
}

// names are the nodes' names as they are drawn, by their IDs, and what was cut of
// them.
type names struct {
	short  map[string]string
	cuts   map[string]string // of Services
	legend []string          // SHORT = WHOLE
}

// whole is a node's name, with its namespace unless that is home.
func (g *Graph) whole(n Node, home string, ascii bool) string {
	name := n.Name
	if n.Namespace != "" && n.Namespace != home {
		name = n.Namespace + "/" + name
	}
	return spelt(name, ascii)
}

// spelt is text that a terminal shows as it is.
func spelt(text string, ascii bool) string {
	text = printable.Line(text)
	if ascii {
		text = strings.Trim(strconv.QuoteToASCII(text), `"`)
	}
	return text
}

// names gives each node a name of its own that is at most so many cells wide.
func (g *Graph) names(room func(id string) int, ascii bool) names {
	out := names{short: map[string]string{}, cuts: map[string]string{}}
	taken := map[string]bool{}
	home := g.home()
	for _, n := range g.Nodes {
		whole := g.whole(n, home, ascii)
		short, width := whole, room(n.ID)
		for i := 2; ansi.StringWidth(short) > width || taken[string(n.Kind)+short]; i++ {
			short = middle(whole, width, i, ascii)
		}
		taken[string(n.Kind)+short] = true
		out.short[n.ID] = short
		if short != whole {
			out.legend = append(out.legend, short+" = "+whole)
		}
	}
	return out
}

// cutServices cuts the ports of Services to a width, each in a way of its own.
func (n *names) cutServices(all []string, width int, ascii bool) {
	for i, whole := range all {
		for try := 2; ansi.StringWidth(all[i]) > width || all[i] != whole && n.cuts[all[i]] != whole && n.cuts[all[i]] != ""; try++ {
			all[i] = middle(whole, width, try, ascii)
		}
		if all[i] != whole && n.cuts[all[i]] == "" {
			n.cuts[all[i]] = whole
			n.legend = append(n.legend, all[i]+" = "+whole)
		}
	}
}

// middle is a text without its middle, with a number from the third try on.
func middle(text string, width, try int, ascii bool) string {
	dots := ellipsis(ascii)
	if try > 2 {
		dots += strconv.Itoa(try - 1)
	}
	room := max(width-ansi.StringWidth(dots), 2)
	head := ansi.Truncate(text, (room+1)/2, "")
	tail := ansi.TruncateLeft(text, max(ansi.StringWidth(text)-room/2, 0), "")
	return head + dots + tail
}

// where says what namespace names are of that have none, "" for no such names.
func (g *Graph) where(ascii bool) string {
	home := g.home()
	if home == "" {
		return ""
	}
	return "in namespace " + spelt(home, ascii) + " where none is named"
}

// under are the lines below a drawing: what was cut, and what words mean.
func (g *Graph) under(n names, o Options) []string {
	all := n.legend
	if home := g.where(o.ASCII); home != "" {
		all = append([]string{home}, all...)
	}
	all = append(all, g.meaning(o.ASCII)...)
	for _, note := range g.Notes {
		all = append(all, "note: "+spelt(note, o.ASCII))
	}
	var out []string
	for _, text := range all {
		for i, line := range strings.Split(ansi.Wrap(text, max(o.Width-2, 10), ""), "\n") {
			if i > 0 {
				line = "  " + line
			}
			out = append(out, line)
		}
	}
	if len(out) > 0 {
		out = append([]string{""}, out...)
	}
	return out
}

// fill is a text and spaces, width cells in all.
func fill(text string, width int) string {
	return text + strings.Repeat(" ", max(width-ansi.StringWidth(text), 0))
}
