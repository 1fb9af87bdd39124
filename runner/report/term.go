package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/netdojo/netdojo/internal/printable"
)

// Colours, as SGR parameters.
const (
	bold  = "1"
	red   = "31"
	green = "32"
)

// painted is text with colours, which have to reach the terminal.
type painted string

func (p *Plain) paint(sgr, text string) painted {
	text = printable.Line(text)
	if !p.o.Color {
		return painted(text)
	}
	return painted("\x1b[" + sgr + "m" + text + "\x1b[0m")
}

// line writes a line that stays. What terminals would obey in strings is written
// out, but for painted.
func (p *Plain) line(format string, args ...any) {
	p.clear()
	p.write(strings.TrimRight(fmt.Sprintf(format, printable.Args(args)...), " ") + "\n")
}

// status writes what is being done, until the next line takes its place. It is
// for terminals only.
func (p *Plain) status(format string, args ...any) {
	if !p.o.TTY {
		return
	}
	p.current, p.since = printable.Line(fmt.Sprintf(format, args...)), time.Now()
	p.draw()
}

// draw writes the progress line anew, with the time that it took so far once
// that is a second.
func (p *Plain) draw() {
	if p.current == "" {
		return
	}
	clock := ""
	if d := time.Since(p.since); d >= time.Second {
		clock = " " + brief(d.Truncate(time.Second/2))
	}
	text, room := p.current, p.o.Width-1-len(clock)
	if utf8.RuneCountInString(text) > room {
		text = string([]rune(text)[:max(room-1, 0)]) + "…"
	}
	if p.drawn {
		p.write("\r\x1b[K")
	}
	p.write(text + clock)
	p.drawn = true
}

// clear takes the progress line away.
func (p *Plain) clear() {
	p.current = ""
	if p.drawn {
		p.drawn = false
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
