package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/record"
)

// Annotate writes a page's source with what was found below the blocks that it is
// about: a line a command that was not simply done, and a line a claim.
func Annotate(w io.Writer, p page.Page, src []byte, r record.Page) error {
	remarks := map[int][]string{} // by the line that they come after
	for _, c := range r.Commands {
		at := blockEnd(p, c.Line)
		if c.State != record.CommandDone {
			remarks[at] = append(remarks[at], remark(stateMark(c.State), fmt.Sprintf("line %d, %s", c.Line, c.State), c.Why))
		}
		for _, claim := range c.Claims {
			at := blockEnd(p, claim.Line)
			text := claimed(claim)
			if !claim.Passed {
				text += "; observed: " + claim.Observed
				if claim.Should != "" {
					text += "; should say: " + claim.Should
				}
			}
			remarks[at] = append(remarks[at], remark(passMark(claim.Passed), fmt.Sprintf("line %d", claim.Line), text))
		}
	}
	out := printable.NewWriter(w)
	for i, line := range strings.Split(strings.TrimSuffix(string(src), "\n"), "\n") {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, "\r")); err != nil {
			return err
		}
		for j, text := range remarks[i+1] {
			if j == 0 {
				text = "\n" + text
			}
			if j == len(remarks[i+1])-1 {
				text += "\n"
			}
			if _, err := fmt.Fprintln(out, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// blockEnd is the line after which remarks about a line of a block come: that of the
// fence, which follows its last line.
func blockEnd(p page.Page, line int) int {
	for _, s := range p.Steps {
		if s.Line <= line && line <= s.End {
			if s.Kind == page.Run || s.Kind == page.Output {
				return s.End + 1
			}
			return s.End
		}
	}
	return line
}

// stateMark is for a command: one that was not done is neither good nor bad.
func stateMark(s record.CommandState) string {
	switch s {
	case record.CommandFailed, record.CommandNotRun:
		return passMark(false)
	}
	return "–"
}

func passMark(passed bool) string {
	if passed {
		return "✓"
	}
	return "✗"
}

// remark is a quote in Markdown.
func remark(mark, where, text string) string {
	return "> " + mark + " " + where + ": " + printable.Line(text)
}
