// Package rows draws what a lesson knows as lines: pure functions of a value, a
// width and a theme.
package rows

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/styles"
)

// Glyph is a check's state as a symbol.
func Glyph(r lesson.Row, t styles.Theme) (string, lipgloss.Style) {
	switch state, _ := r.State(); state {
	case lesson.Running:
		return t.Run, t.Warn
	case lesson.Passed:
		return t.Pass, t.Good
	case lesson.Failed:
		return t.Fail, t.Bad
	case lesson.Outdated:
		return t.Old, t.Dim
	}
	return t.Todo, t.Dim
}

// Mark begins the line of something that can be chosen.
func Mark(chosen bool, t styles.Theme) string {
	if chosen {
		return t.Key.Render(t.Cursor) + " "
	}
	return "  "
}

// Check is a check in one line, its name in wide cells.
func Check(r lesson.Row, chosen bool, wide, width int, t styles.Theme) string {
	glyph, style := Glyph(r, t)
	return Mark(chosen, t) + style.Render(glyph) + " " + frame.Fit(r.Check.ID, wide) + "  " + frame.Short(r.Words(), width-wide-7, t)
}

// NameWidth is the room for the checks' names.
func NameWidth(all []lesson.Row) int {
	wide := 0
	for _, r := range all {
		wide = max(wide, ansi.StringWidth(r.Check.ID))
	}
	return min(wide, 24)
}

// Facts are facts with their labels beside them.
func Facts(facts []lesson.Fact, width int, t styles.Theme) []string {
	var lines []string
	for _, f := range facts {
		head := "    " + t.Dim.Render(frame.Fit(f.Label, 10))
		lines = append(lines, frame.Wrap(frame.Clean(f.Text), width-1, head, strings.Repeat(" ", 14))...)
	}
	return lines
}

// Paragraphs wrap a text of several lines, each after its own indent.
func Paragraphs(text string, width int, indent string) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		line = frame.Clean(strings.TrimRight(line, " \t\r"))
		own := indent + line[:len(line)-len(strings.TrimLeft(line, " "))]
		lines = append(lines, frame.Wrap(strings.TrimLeft(line, " "), width-1, own, own)...)
	}
	return lines
}
