package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Colours, as SGR parameters.
const (
	bold  = "1"
	red   = "31"
	green = "32"
)

func (p *Plain) paint(sgr, text string) string {
	if !p.o.Color {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// line writes a line that stays.
func (p *Plain) line(format string, args ...any) {
	p.clear()
	p.write(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

// status writes what is being done, until the next line takes its place. It is
// for terminals only.
func (p *Plain) status(format string, args ...any) {
	if !p.o.TTY {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	if utf8.RuneCountInString(text) >= p.o.Width {
		text = string([]rune(text)[:max(p.o.Width-2, 0)]) + "…"
	}
	p.clear()
	p.write(text)
	p.progress = true
}

func (p *Plain) clear() {
	if p.progress {
		p.progress = false
		p.write("\r\x1b[K")
	}
}

func (p *Plain) write(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

// wrapped writes a paragraph, broken at the width of the terminal. Lines that
// the text itself indents are left alone.
func (p *Plain) wrapped(first, rest, text string) {
	prefix := first
	width := max(min(p.o.Width, 100)-len(rest), 20)
	for _, paragraph := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(paragraph, " ") {
			p.line("%s%s", prefix, paragraph)
			prefix = rest
			continue
		}
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
				p.line("%s%s", prefix, line)
				prefix, line = rest, ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		p.line("%s%s", prefix, line)
		prefix = rest
	}
}
