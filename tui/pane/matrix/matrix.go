// Package matrix is the pane of who reaches whom: expected beside seen.
package matrix

import (
	"cmp"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
	"github.com/netdojo/netdojo/tui/styles"
)

// Its bindings.
const (
	Show    keys.ID = "pane-matrix"
	Preview keys.ID = "preview"
)

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "matrix", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return &matrix{page: p} },
	Keys: keys.List{
		{ID: Show, Keys: []string{"5"}, Short: "matrix", Long: "show who reaches whom", Scope: keys.Lab},
		{ID: Preview, Keys: []string{"W"}, Short: "will it work?", Long: "will this work? your saved files, before they are applied: now, as saved and expected", Scope: keys.Lab, Footer: 8},
	},
}

type matrix struct {
	pane.Room
	page pane.Page
}

// foreseen is what a preview said of the files as they were at a revision.
type foreseen struct {
	to       *matrix
	task     string
	revision int
	said     backend.Preview
	err      error
}

func (m *matrix) Title() string {
	if p := m.page.Lesson().Preview; p != nil && p.Refused == "" {
		return "Who would reach whom with " + frame.Clean(strings.Join(p.Files, ", "))
	}
	return "Who reaches whom"
}

func (m *matrix) Off(id keys.ID) string {
	switch {
	case id != Preview:
		return ""
	case m.page.Lesson().Gone:
		return "the cluster is gone"
	}
	return m.page.Lesson().NoPreview()
}

func (m *matrix) Scroll(by int) { m.page.Lesson().Choose(m.page.Lesson().Chosen() + by) }

func (m *matrix) Do(id keys.ID) tea.Cmd {
	if id == Preview {
		return m.foresee()
	}
	if by, ok := pane.By(id, m.Height-1); ok {
		m.Scroll(by)
	}
	return nil
}

// foresee asks what the saved files would do.
func (m *matrix) foresee() tea.Cmd {
	lab, task, ctx := m.page.Lesson().Lab, m.page.Lesson().Task.ID, m.page.Context()
	revision := m.page.Lesson().Saved.Revision
	m.page.Say("Asking the policy engine; nothing is applied.")
	return func() tea.Msg {
		said, err := m.page.Backend().Preview(ctx, lab, task)
		return foreseen{m, task, revision, said, err}
	}
}

func (m *matrix) Update(msg tea.Msg) tea.Cmd {
	f, ok := msg.(foreseen)
	all := m.page.Lesson()
	switch {
	case !ok || f.to != m || f.task != all.Task.ID:
	case f.err != nil:
		m.page.Say("What the files would do is not known: %v", f.err)
	case all.Saved == nil || all.Saved.Revision != f.revision:
		m.page.Say("The files were saved again meanwhile; W asks once more.")
	default:
		all.Preview = &f.said
		m.page.Say("%s", all.PreviewWords())
		if f.said.Refused == "" {
			m.page.Show(m)
		}
	}
	return nil
}

func (m *matrix) Lines() []string {
	lines := m.Whole(m.Width)
	at := m.page.Lesson().Chosen() + 1
	top := m.Top.Showing(at, at, len(lines)-1, m.Height-1)
	return append(lines[:1:1], top.Cut(lines[1:], m.Height-1)...)
}

func (m *matrix) Whole(width int) []string {
	t, all := m.page.Theme(), m.page.Lesson()
	// The verdicts are whole in any width: what is cut is who talks to whom.
	from, to := len("from"), len("to")
	for _, r := range all.Rows {
		from, to = max(from, len(r.Check.From.String())), max(to, len(lesson.Request(r.Check)))
	}
	first, last := verdictWidth, nowWidth
	if m.ahead() {
		first, last = nowWidth, verdictWidth // the symbol is of what is saved
	}
	room := width - 2 - 4 - verdictWidth - first - last
	narrow := room < 30 // what was before goes first
	if narrow && !m.ahead() {
		room += first + 1
	}
	from = min(from, max(room*2/5, room-to))
	to = max(min(to, room-from), 1)
	widths := []int{verdictWidth, verdictWidth, 0}
	if m.ahead() {
		widths = []int{verdictWidth, nowWidth, 0}
	}
	line := func(mark string, who, whom string, cells []string) string {
		text := mark + frame.Fit(who, from) + " " + frame.Fit(whom, to)
		for i, c := range cells {
			if narrow && i == 0 && !m.ahead() {
				continue
			}
			if widths[i] > 0 {
				c = frame.Fit(c, widths[i])
			}
			text += " " + c
		}
		return frame.Fit(text, width)
	}
	lines := []string{t.Title.Render(line("  ", "from", "to", m.heads()))}
	for i, r := range all.Rows {
		lines = append(lines, line(rows.Mark(i == all.Chosen(), t), frame.Short(r.Check.From.String(), from, t),
			request(lesson.Request(r.Check), to, t), m.cells(r, t)))
	}
	return lines
}

// ahead says that what would be stands beside what is.
func (m *matrix) ahead() bool {
	p := m.page.Lesson().Preview
	return p != nil && p.Refused == ""
}

// heads name the verdicts of a check, in their order.
func (m *matrix) heads() []string {
	if m.ahead() {
		return []string{"now", "as saved", "expected"}
	}
	return []string{"without", "expected", "now"}
}

// cells are the verdicts of a check below the heads.
func (m *matrix) cells(r lesson.Row, t styles.Theme) []string {
	glyph, style := rows.Glyph(r, t)
	if m.ahead() {
		p := m.page.Lesson().Prospect(r)
		now, saved := cmp.Or(string(p.Now), "-"), cmp.Or(string(p.Saved), "not known")
		switch {
		case p.Saved == "":
			glyph, style = t.Todo, t.Dim
		case p.Doubtful:
			glyph, style = "?", t.Warn
		case p.AsExpected:
			glyph, style = t.Pass, t.Good
		default:
			glyph, style = t.Fail, t.Bad
		}
		return []string{now, style.Render(glyph + " " + saved), string(r.Check.After)}
	}
	without, now := "-", "-"
	if r.Before != nil {
		without = string(r.Before.Verdict)
	}
	if r.Now != nil {
		now = string(r.Now.Verdict)
	}
	if r.Running != "" {
		now = "running"
	}
	return []string{without, string(r.Check.After), style.Render(glyph + " " + now)}
}

// Room for a verdict, the longest of which is denied-l7, and for the last one with
// its symbol: inconclusive is the longest there.
const (
	verdictWidth = 10
	nowWidth     = 14
)

// request is what is asked for in a width: its method and its end tell more than
// its middle.
func request(text string, width int, t styles.Theme) string {
	cut := ansi.StringWidth(text) - width
	if cut <= 0 || width < 8 {
		return frame.Short(text, width, t)
	}
	head := strings.Index(text, " ") + 1
	if head == 0 || head > width/2 {
		head = width / 3
	}
	return ansi.Truncate(text, head, "") + t.Ellipsis + ansi.TruncateLeft(text, head+cut+1, "")
}
