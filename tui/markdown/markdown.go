// Package markdown turns a lab's page into lines for a pane, and says where its
// code blocks are. It runs nothing.
package markdown

import (
	"strings"

	"charm.land/glamour/v2"
	termansi "github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/styles"
)

// Block is a fenced block of code.
type Block struct {
	Lang string
	Code string // as written, without the fences; ends with a newline
	// First and Last are its lines in Page.Lines.
	First, Last int
}

// Shell says whether the block holds commands.
func (b Block) Shell() bool {
	switch b.Lang {
	case "bash", "sh", "shell", "console":
		return true
	}
	return false
}

// maxBlock bounds the lines of one block that are shown: a page may hold an
// enormous one.
const maxBlock = 2000

// Page is a rendered page.
type Page struct {
	Lines  []string
	Blocks []Block
}

// Render renders Markdown source in width cells. What cannot be rendered is
// shown as it is written.
func Render(source string, width int, t styles.Theme) Page {
	var p Page
	width = max(width, 10)
	prose := prose{theme: t, by: map[int]*glamour.TermRenderer{}}
	for _, part := range split(source) {
		if part.code {
			p.addBlock(part, width, t)
			continue
		}
		for _, line := range prose.lines(part.text, width) {
			p.Lines = append(p.Lines, frame.Fit(line, width))
		}
	}
	return p
}

// Plain is a source as text: prose in lines of 80 cells, code as it is written.
func Plain(source string) string {
	var b strings.Builder
	prose := prose{theme: styles.New(false, false), by: map[int]*glamour.TermRenderer{}}
	for _, part := range split(source) {
		lines := strings.Split(strings.Trim(part.text, "\n"), "\n")
		if !part.code {
			lines = prose.lines(part.text, 80)
		}
		for _, line := range lines {
			b.WriteString(strings.TrimRight(termansi.Strip(line), " ") + "\n")
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (p *Page) addBlock(part part, width int, t styles.Theme) {
	p.blank(width)
	b := Block{Lang: part.lang, Code: part.text, First: len(p.Lines)}
	lines := strings.Split(strings.TrimRight(part.text, "\n"), "\n")
	for i, line := range lines {
		if i == maxBlock {
			p.Lines = append(p.Lines, frame.Fit(t.Dim.Render(t.Bar+" (the block goes on)"), width))
			break
		}
		line = frame.Clean(strings.ReplaceAll(line, "\t", "    "))
		if t.ASCII {
			line = frame.ASCII(line)
		}
		for _, piece := range strings.Split(termansi.Hardwrap(line, width-2, true), "\n") {
			p.Lines = append(p.Lines, frame.Fit(t.Dim.Render(t.Bar)+" "+t.Code.Render(piece), width))
		}
	}
	b.Last = len(p.Lines) - 1
	p.Blocks = append(p.Blocks, b)
	p.blank(width)
}

func (p *Page) blank(width int) {
	if n := len(p.Lines); n > 0 && strings.TrimSpace(p.Lines[n-1]) != "" {
		p.Lines = append(p.Lines, strings.Repeat(" ", width))
	}
}

type part struct {
	code       bool
	lang, text string
}

// split cuts a source into prose and fenced code blocks. A fence that is never
// closed runs to the end, as in CommonMark.
func split(source string) []part {
	var parts []part
	var text strings.Builder
	var fence, lang string
	flush := func(code bool) {
		if s := text.String(); code || strings.TrimSpace(s) != "" {
			parts = append(parts, part{code: code, lang: lang, text: s})
		}
		text.Reset()
	}
	for _, line := range strings.SplitAfter(strings.ReplaceAll(source, "\r\n", "\n"), "\n") {
		bare := strings.TrimSpace(line)
		mark := fenceOf(line)
		switch {
		case fence == "" && mark != "":
			flush(false)
			fence = mark
			lang, _, _ = strings.Cut(strings.TrimSpace(strings.TrimLeft(bare, mark[:1])), " ")
		case fence != "" && strings.HasPrefix(mark, fence) && strings.Trim(bare, fence[:1]) == "":
			flush(true)
			fence, lang = "", ""
		default:
			text.WriteString(line)
		}
	}
	flush(fence != "")
	return parts
}

// fenceOf is the run of backticks or tildes that a line opens a fence with, ""
// when it does not.
func fenceOf(line string) string {
	trimmed := strings.TrimLeft(line, " ")
	if len(line)-len(trimmed) > 3 || trimmed == "" {
		return ""
	}
	c := trimmed[0]
	if c != '`' && c != '~' {
		return ""
	}
	n := len(trimmed) - len(strings.TrimLeft(trimmed, string(c)))
	if n < 3 || c == '`' && strings.Contains(trimmed[n:], "`") {
		return ""
	}
	return trimmed[:n]
}
