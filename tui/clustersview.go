package tui

import (
	"strings"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
)

// head is what stands above the choices.
func (p *clusterPage) head(width int) []string {
	t := p.m.theme
	lines := []string{"", "  " + t.Title.Render("The cluster that labs are done on")}
	if p.job != nil {
		for _, r := range p.steps {
			lines = append(lines, p.m.stepLine(r, width))
		}
	}
	switch {
	case !p.loaded:
		lines = append(lines, "  Looking for clusters.")
	case p.err != nil:
		lines = append(lines, frame.Wrap(frame.Clean(p.err.Error()), width-2, "  "+t.Warn.Render("note")+"  ", "        ")...)
		if cure := cureOf(p.err); cure != "" {
			lines = append(lines, frame.Wrap(frame.Clean(cure), width-2, "  "+t.Key.Render("cure")+"  ", "        ")...)
		}
	}
	return append(lines, "")
}

// list is the choices, with the lines of the chosen one.
func (p *clusterPage) list(width int) (lines []string, first, last int) {
	t := p.m.theme
	for i, c := range p.all {
		mark, name := "  ", frame.Fit(frame.Short(frame.Clean(c.Title), width-24, t), width-24)
		if i == p.at {
			first = len(lines)
			mark, name = t.Key.Render(t.Cursor)+" ", t.Title.Render(name)
		}
		lines = append(lines, mark+name+" "+p.word(c))
		if i == p.at {
			lines = append(lines, p.details(c, width)...)
			last = len(lines) - 1
		}
	}
	return lines, first, last
}

// word is how a choice is, in a word or two.
func (p *clusterPage) word(c backend.Choice) string {
	t := p.m.theme
	f, known := p.found[c.ID]
	switch {
	case c.Chosen && p.m.cluster.Running:
		return t.Good.Render(t.Pass + " in use, runs")
	case c.Chosen:
		return t.Good.Render(t.Pass + " in use")
	case p.looking[c.ID]:
		return t.Dim.Render(t.Todo + " looking at it")
	case !known:
		return t.Dim.Render(t.Todo + " not looked at")
	case f.Fatal() != nil:
		return t.Bad.Render(t.Fail + " lacks something")
	case len(f.Missing) > 0:
		return t.Warn.Render(t.Run + " with a warning")
	}
	return t.Good.Render(t.Pass + " can be chosen")
}

// details are what stands below a chosen choice.
func (p *clusterPage) details(c backend.Choice, width int) []string {
	const indent = "      "
	lines := frame.Wrap(frame.Clean(strings.TrimSpace(c.Good+" "+c.Takes)), width-4, indent, indent)
	f, known := p.found[c.ID]
	lines = append(lines, p.m.missingLines(f.Missing, width-2, "    ")...)
	if text := f.Unable(); text != "" {
		lines = append(lines, frame.Wrap(frame.Clean(text), width-4, indent, indent)...)
	}
	if c.Chosen && p.m.cluster.Running && c.Leave != "" {
		lines = append(lines, frame.Wrap("When another is chosen, "+c.Leave+".", width-4, indent, indent)...)
	}
	if !known && c.Foreign {
		lines = append(lines, frame.Wrap("r looks at it, and changes nothing there.", width-4, indent, indent)...)
	}
	return append(lines, "")
}

func (p *clusterPage) fit(width, height int) {
	list, first, last := p.list(width)
	p.scroll = p.scroll.Showing(first, last, len(list), height-len(p.head(width)))
}

func (p *clusterPage) view(width, height int) []string {
	lines := p.head(width)
	list, _, _ := p.list(width)
	lines = append(lines, p.scroll.Cut(list, max(height-len(lines), 0))...)
	if p.m.theme.ASCII {
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}
