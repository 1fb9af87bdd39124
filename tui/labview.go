package tui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/markdown"
)

// wideFrom is the width from which panes stand side by side.
const wideFrom = 100

// rect is a pane's place on the page, its border included.
type rect struct{ x, y, w, h int }

func (r rect) inner() (width, height int) { return max(r.w-2, 1), max(r.h-2, 1) }

// layout places the panes that are seen on a page of a size. The last line is
// the strip's.
func layout(width, height int, focus, drawer pane, zoomed bool) map[pane]rect {
	h := height - 1
	if zoomed || width < wideFrom {
		return map[pane]rect{focus: {0, 0, width, h}}
	}
	low := min(max(h*3/8, 8), 16)
	left := width * 9 / 20
	return map[pane]rect{
		textPane:  {0, 0, left, h - low},
		shellPane: {left, 0, width - left, h - low},
		drawer:    {0, h - low, width, low},
	}
}

func (l *labPage) places() map[pane]rect {
	w, h := l.m.body()
	return layout(w, h, l.focus, l.drawer, l.zoomed)
}

func (l *labPage) view(width, height int) []string {
	out := make([]string, 0, height)
	places := l.places()
	switch {
	case len(places) == 1:
		out = append(out, l.draw(l.focus, places[l.focus])...)
	default:
		out = append(out, frame.Beside(l.draw(textPane, places[textPane]), l.draw(shellPane, places[shellPane]))...)
		out = append(out, l.draw(l.drawer, places[l.drawer])...)
	}
	return append(out, l.strip(width))
}

// draw draws a pane with its border.
func (l *labPage) draw(p pane, r rect) []string {
	w, h := r.inner()
	var title string
	var lines []string
	switch p {
	case textPane:
		title, lines = "Task "+l.task.ID+"  "+l.task.Title, l.textLines(w, h)
	case shellPane:
		title, lines = l.shellLines(h)
	case checksPane:
		title, lines = "Checks", l.checkLines(w, h)
	case flowsPane:
		title, lines = "Flows", l.flowLines(w, h)
	case matrixPane:
		title, lines = "Who reaches whom", l.matrixLines(w, h)
	case whyPane:
		title, lines = l.whyLines(w, h)
	case hintsPane:
		title, lines = "Hints", l.hintLines(w, h)
	case solutionPane:
		title, lines = "The solution beside yours", l.solution.lines(w, h, l.m.theme)
	}
	if p != textPane && p != shellPane && l.m.theme.ASCII {
		lines = append([]string(nil), lines...)
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return frame.Box(title, lines, r.w, r.h, p == l.focus, l.m.theme)
}

// rendered is the page for a width.
func (l *labPage) rendered(width int) *markdown.Page {
	if l.pageFor != width {
		l.page = markdown.Render(l.source, width, l.m.theme)
		l.pageFor = width
		l.block = min(l.block, len(l.page.Blocks)-1)
	}
	return &l.page
}

func (l *labPage) textLines(w, h int) []string {
	page := l.rendered(w - 2)
	t := l.m.theme
	seen := append([]string(nil), l.textTop.Cut(page.Lines, h)...)
	for i := range seen {
		mark := "  "
		if l.block >= 0 && l.block < len(page.Blocks) {
			if b := page.Blocks[l.block]; l.textTop.Top+i >= b.First && l.textTop.Top+i <= b.Last {
				mark = t.Key.Render(t.Cursor) + " "
			}
		}
		seen[i] = mark + seen[i]
	}
	return seen
}

func (l *labPage) checkLines(w, h int) []string {
	t := l.m.theme
	var lines []string
	first, last := 0, 0
	for _, n := range l.notices {
		lines = append(lines, frame.Wrap(frame.Clean(n), w-1, "  "+t.Warn.Render("!")+" ", "    ")...)
	}
	for i, r := range l.rows {
		if i == l.chosen {
			first = len(lines)
		}
		lines = append(lines, r.line(i == l.chosen, l.idWidth(), w, t))
		if i == l.chosen {
			lines = append(lines, r.explain(w, t)...)
			last = len(lines) - 1
		}
	}
	if l.advice != "" {
		lines = append(lines, frame.Wrap("Hint: "+frame.Clean(l.advice), w-1, "  ", "    ")...)
	}
	if l.chosen == 0 {
		first = 0
	}
	if l.chosen == len(l.rows)-1 {
		last = len(lines) - 1
	}
	// The chosen check is seen; within it, scrolling is free.
	if last-first < h {
		l.checkTop.Show(first, last, len(lines), h)
	} else {
		l.checkTop.Top = min(max(l.checkTop.Top, first), last-h+1)
	}
	return l.checkTop.Cut(lines, h)
}

func (l *labPage) matrixLines(w, h int) []string {
	lines := matrix(l.rows, l.chosen, w, l.m.theme)
	var top frame.Scroll
	top.Show(l.chosen+1, l.chosen+1, len(lines)-1, h-1)
	return append(lines[:1:1], top.Cut(lines[1:], h-1)...)
}

// whole is all that a pane has, in the width that it is seen in.
func (l *labPage) whole(p pane) []string {
	if p == shellPane {
		if l.shell == nil {
			return nil
		}
		return l.shell.All()
	}
	all := *l // drawing moves what is scrolled
	w, _ := l.places()[p].inner()
	box := all.draw(p, rect{w: w + 2, h: copyLines})
	lines := make([]string, 0, len(box))
	for _, line := range box[1 : len(box)-1] {
		lines = append(lines, ansi.Cut(line, 1, w+1))
	}
	return lines
}

// copyLines bounds what the copy view shows of a pane.
const copyLines = 5000

func (l *labPage) idWidth() int {
	wide := 0
	for _, r := range l.rows {
		wide = max(wide, ansi.StringWidth(r.check.ID))
	}
	return min(wide, 24)
}

func (l *labPage) flowLines(w, h int) []string {
	t := l.m.theme
	switch {
	case len(l.flows) == 0 && l.flowsErr != nil:
		return frame.Wrap(frame.Clean(l.flowsErr.Error()), w-2, " ", " ")
	case len(l.flows) == 0:
		return []string{" No connection yet. What the pods do appears here."}
	}
	if !l.flowHeld {
		l.flowTop.Top = len(l.flows)
	}
	seen := l.flowTop.Cut(make([]string, len(l.flows)), h)
	lines := make([]string, len(seen))
	for i := range lines {
		lines[i] = " " + l.flows[l.flowTop.Top+i].line(w-1, t)
	}
	return lines
}

func (l *labPage) hintLines(w, h int) []string {
	t := l.m.theme
	levels := l.task.Hints.Levels()
	seen := min(l.hintsSeen(), len(levels))
	var lines []string
	if l.advice != "" {
		lines = append(lines, " "+t.Title.Render("After the last checks"))
		lines = append(lines, frame.Wrap(frame.Clean(l.advice), w-2, "   ", "   ")...)
	}
	for i, text := range levels[:seen] {
		lines = append(lines, " "+t.Title.Render(fmt.Sprintf("Hint %d of %d", i+1, len(levels))))
		for _, line := range strings.Split(text, "\n") {
			lines = append(lines, frame.Wrap(frame.Clean(line), w-2, "   ", "   ")...)
		}
	}
	switch {
	case len(levels) == 0:
		lines = append(lines, " This task has no hints.")
	case seen == 0:
		lines = append(lines, fmt.Sprintf(" There are %d hints; each gives more away. h shows the first.", len(levels)))
	case seen < len(levels):
		lines = append(lines, " h shows the next one.")
	}
	return l.hintTop.Cut(lines, h)
}

func (l *labPage) hintsSeen() int {
	if k := l.m.store.Lab(l.lab.ID); k != nil && k.Tasks[l.task.ID] != nil {
		return k.Tasks[l.task.ID].Hints
	}
	return 0
}

// strip is the checks in one line.
func (l *labPage) strip(width int) string {
	t := l.m.theme
	passed := 0
	parts := ""
	for _, r := range l.rows {
		if r.now != nil && r.now.Passed && r.running == "" {
			passed++
		}
		glyph, style, _ := r.state(t)
		word := "-"
		switch {
		case r.running != "":
			word = "running"
		case r.now != nil:
			word = string(r.now.Verdict)
			if !r.now.Passed {
				word += ", expected " + string(r.now.Expect)
			}
		case r.before != nil:
			word = "before: " + string(r.before.Verdict)
		}
		parts += "  " + style.Render(glyph) + " " + r.check.ID + " " + word
	}
	head := fmt.Sprintf(" checks %d/%d", passed, len(l.rows))
	if l.job != nil {
		head += " " + t.Run
	}
	return frame.Fit(t.Title.Render(head)+frame.Short(parts, width-ansi.StringWidth(head), t), width)
}
