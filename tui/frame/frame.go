// Package frame holds the pure functions that make a screen of lines: every
// line that they return is exactly as wide as asked, whatever is in it.
package frame

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/styles"
)

const reset = "\x1b[m"

// Fit makes a line exactly width cells: cut, or filled with spaces.
func Fit(line string, width int) string {
	if width <= 0 {
		return ""
	}
	line = stylesOnly(line)
	w := ansi.StringWidth(line)
	if w > width {
		line = ansi.Truncate(line, width, "")
		w = ansi.StringWidth(line)
	}
	if strings.Contains(line, "\x1b[") && !strings.HasSuffix(line, reset) && !strings.HasSuffix(line, "\x1b[0m") {
		line += reset
	}
	return line + strings.Repeat(" ", width-w)
}

// Short is text in at most width cells, with an ellipsis where it was cut.
func Short(text string, width int, t styles.Theme) string {
	if width <= 0 {
		return ""
	}
	return ansi.Truncate(text, width, t.Ellipsis)
}

// Block makes lines exactly height lines of width cells.
func Block(lines []string, width, height int) []string {
	out := make([]string, max(height, 0))
	for i := range out {
		if i < len(lines) {
			out[i] = Fit(lines[i], width)
		} else {
			out[i] = strings.Repeat(" ", max(width, 0))
		}
	}
	return out
}

// Wrap breaks text at words so that it fits, indent before each line but the
// first, which starts with first. Both must be of one width.
func Wrap(text string, width int, first, indent string) []string {
	room := max(width-ansi.StringWidth(first), 1)
	var out []string
	for _, line := range strings.Split(ansi.Wrap(text, room, ""), "\n") {
		if len(out) == 0 {
			out = append(out, first+line)
		} else {
			out = append(out, indent+line)
		}
	}
	return out
}

// Box draws a border with a title around lines: height lines of width cells.
func Box(title string, lines []string, width, height int, focused bool, t styles.Theme) []string {
	if width < 6 || height < 3 {
		return Block(lines, width, height)
	}
	border := t.Border
	mark := t.Horizontal
	if focused {
		border, mark = t.Focused, t.Cursor // not by colour alone
	}
	head := " " + Short(title, width-6, t) + " "
	fill := width - 3 - ansi.StringWidth(head)
	out := make([]string, 0, height)
	name := t.Title // a border may be faint, its title not
	if focused {
		name = t.Focused
	}
	out = append(out, border.Render(t.TopLeft+mark)+name.Render(head)+border.Render(strings.Repeat(t.Horizontal, max(fill, 0))+t.TopRight))
	side := border.Render(t.Vertical)
	for _, line := range Block(lines, width-2, height-2) {
		out = append(out, side+line+side)
	}
	return append(out, border.Render(t.BottomLeft+strings.Repeat(t.Horizontal, width-2)+t.BottomRight))
}

// Beside puts two blocks of one height side by side.
func Beside(left, right []string) []string {
	out := make([]string, min(len(left), len(right)))
	for i := range out {
		out[i] = left[i] + right[i]
	}
	return out
}

// Clean makes text from outside safe to put in a line: no control characters,
// no escape sequences, no marks that turn the direction of text around, tabs as
// spaces.
func Clean(text string) string {
	text = ansi.Strip(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
}

// ASCII spells text with ASCII only.
func ASCII(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x80:
			return r
		case strings.ContainsRune("‘’‚", r):
			return '\''
		case strings.ContainsRune("“”„", r):
			return '"'
		case strings.ContainsRune("–—‐−─", r):
			return '-'
		case r == '→':
			return '>'
		case r == '•' || r == '·':
			return '*'
		case r == '…':
			return '~'
		case r == '\u00a0':
			return ' '
		case unicode.Is(unicode.Mn, r):
			return -1
		}
		return '?'
	}, text)
}

// Scroll is which lines of a longer text are seen, a value: moving makes another.
type Scroll struct{ Top int }

// Moved is scrolled by lines, within the text.
func (s Scroll) Moved(by, lines, height int) Scroll {
	last := max(lines-height, 0)
	return Scroll{min(max(min(s.Top, last)+by, 0), last)}
}

// Showing is scrolled as little as needed for a range of lines to be seen, its
// first line before its last.
func (s Scroll) Showing(from, to, lines, height int) Scroll {
	if to >= s.Top+height {
		s.Top = to - height + 1
	}
	if from < s.Top {
		s.Top = from
	}
	return s.Moved(0, lines, height)
}

// Cut returns the seen lines.
func (s Scroll) Cut(lines []string, height int) []string {
	s = s.Moved(0, len(lines), height)
	return lines[s.Top:min(s.Top+height, len(lines))]
}
