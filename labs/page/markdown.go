package page

import (
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// markdown cuts CommonMark into headings, prose and code, in the order in which a
// reader meets them. Code is a Sample until it is understood.
func markdown(src []byte) []Step {
	doc := goldmark.DefaultParser().Parse(text.NewReader(src))
	starts := lineStarts(src)
	var steps []Step
	add := func(n ast.Node, s Step) {
		lines := n.Lines()
		if lines.Len() == 0 {
			return
		}
		s.Line, s.End = lineOf(starts, lines.At(0).Start), lineOf(starts, lines.At(lines.Len()-1).Start)
		s.Text = string(lines.Value(src))
		steps = append(steps, s)
	}
	// The walker never fails, and neither does this.
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			info := ""
			if n.Info != nil {
				info = strings.TrimSpace(string(n.Info.Value(src)))
			}
			lang, rest, _ := strings.Cut(info, " ")
			if at := strings.IndexAny(lang, "{,:"); at >= 0 {
				lang, rest = lang[:at], lang[at:]+" "+rest
			}
			add(n, Step{Kind: Sample, Lang: strings.ToLower(lang), info: rest})
		case *ast.CodeBlock:
			add(n, Step{Kind: Sample, Why: indented})
		case *ast.Heading:
			add(n, Step{Kind: Heading})
		case *ast.Paragraph, *ast.TextBlock:
			add(n, Step{Kind: Prose})
		case *ast.HTMLBlock:
			s := Step{Kind: Prose}
			if n.HTMLBlockType == ast.HTMLBlockType2 {
				s.Kind, s.Why = Hidden, "a comment"
			}
			add(n, s)
		default:
			return ast.WalkContinue, nil
		}
		return ast.WalkSkipChildren, nil
	})
	return steps
}

// indented is why code without a fence is code.
const indented = "indented by four spaces"

func lineStarts(src []byte) []int {
	starts := []int{0}
	for i, b := range src {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// lineOf is the line, from 1, that an offset is in.
func lineOf(starts []int, offset int) int {
	lo, hi := 0, len(starts)
	for lo < hi {
		mid := (lo + hi) / 2
		if starts[mid] <= offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// openFence is the line of a fence at the margin that nothing closes; 0 when there
// is none.
func openFence(src []byte) int {
	open, mark := 0, ""
	for i, line := range strings.Split(string(src), "\n") {
		trimmed := strings.TrimLeft(line, " ")
		if len(line)-len(trimmed) > 3 {
			continue
		}
		run := fenceRun(trimmed)
		switch {
		case run == "":
		case open == 0:
			if run[0] == '~' || !strings.Contains(trimmed[len(run):], "`") {
				open, mark = i+1, run
			}
		case run[0] == mark[0] && len(run) >= len(mark) && strings.TrimSpace(trimmed[len(run):]) == "":
			open = 0
		}
	}
	return open
}

// fenceRun is the run of three or more backquotes or tildes that a line begins with.
func fenceRun(line string) string {
	for _, c := range []string{"`", "~"} {
		n := len(line) - len(strings.TrimLeft(line, c))
		if n >= 3 {
			return line[:n]
		}
	}
	return ""
}
