package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/progress"
)

// startPage lists the labs.
type startPage struct {
	m         *Model
	labs      []*labs.Lab
	err       error
	loaded    bool
	missing   []Missing
	at        int // in the labs that match
	scroll    frame.Scroll
	query     string
	searching bool
	job       *job // takes the cluster down
}

// searchMsg is a paste into the search.
type searchMsg string

func newStartPage(m *Model) *startPage { return &startPage{m: m} }

func (p *startPage) title() string     { return "Labs" }
func (p *startPage) scope() keys.Scope { return keys.Start }

// matching are the labs that the search finds.
func (p *startPage) matching() []*labs.Lab {
	var out []*labs.Lab
	q := strings.ToLower(p.query)
	for _, l := range p.labs {
		if strings.Contains(strings.ToLower(l.ID+" "+l.Title+" "+l.Summary), q) {
			out = append(out, l)
		}
	}
	return out
}

func (p *startPage) chosen() *labs.Lab {
	if all := p.matching(); p.at < len(all) {
		return all[p.at]
	}
	return nil
}

func (p *startPage) grab(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	if !p.searching {
		return nil, false
	}
	switch s := msg.String(); {
	case s == "enter":
		p.searching = false
	case s == "esc" || s == "ctrl+c":
		p.searching, p.query = false, ""
	case s == "backspace":
		if r := []rune(p.query); len(r) > 0 {
			p.query = string(r[:len(r)-1])
		}
	case s == "up" || s == "down":
		return nil, false
	case msg.Text != "":
		p.query += frame.Clean(msg.Text)
	}
	p.at = 0
	return nil, true
}

func (p *startPage) off(id keys.ID) string {
	switch id {
	case keys.Open:
		switch {
		case p.job != nil:
			return "the cluster is being taken down"
		case p.chosen() == nil:
			return "no lab is chosen"
		}
		for _, miss := range p.missing {
			if miss.Fatal && !p.m.cluster.Running {
				return "this machine lacks something, see above"
			}
		}
	case keys.Search:
		if len(p.labs) == 0 {
			return "there are no labs"
		}
	case keys.TakeDown:
		switch {
		case p.job != nil:
			return "it is being taken down"
		case !p.m.cluster.Running:
			return "no cluster runs"
		case p.m.lab != nil && p.m.lab.job != nil:
			return p.m.lab.job.name + " runs"
		}
	}
	return ""
}

func (p *startPage) do(id keys.ID) tea.Cmd {
	n := len(p.matching())
	switch id {
	case keys.Up:
		p.at = max(p.at-1, 0)
	case keys.Down:
		p.at = min(p.at+1, max(n-1, 0))
	case keys.Top, keys.PageUp:
		p.at = 0
	case keys.Bottom, keys.PageDown:
		p.at = max(n-1, 0)
	case keys.Search:
		p.searching, p.query, p.at = true, "", 0
	case keys.Open:
		return p.open(p.chosen())
	case keys.TakeDown:
		p.m.ask("Take cluster "+p.m.cluster.Name+" down? Your progress and your files stay. y yes, any other key no", p.takeDown)
	}
	return nil
}

// open goes to a lab: back to the one that is open, on with one in progress, or
// from its beginning.
func (p *startPage) open(lab *labs.Lab) tea.Cmd {
	m := p.m
	if m.lab != nil && m.lab.lab.ID == lab.ID && !m.lab.gone {
		m.goTo(m.lab)
		return nil
	}
	if m.lab != nil {
		m.lab.close()
		m.lab = nil
	}
	resume, task := false, lab.Tasks[0].ID
	if at := m.store.Lab(lab.ID); at != nil {
		resume = true
		if lab.Task(at.Task) != nil {
			task = at.Task
		}
	}
	return m.enter(lab, task, resume)
}

func (p *startPage) takeDown() tea.Cmd {
	m := p.m
	if m.lab != nil {
		m.lab.close()
		m.lab = nil
	}
	j, cmd := m.launch("taking the cluster down", func(ctx context.Context, listen event.Listener) (record.Run, error) {
		return record.Run{}, m.backend.TakeDown(ctx, listen)
	})
	p.job = j
	m.say("Taking cluster %s down.", m.cluster.Name)
	return cmd
}

func (p *startPage) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case labsMsg:
		p.labs, p.err, p.loaded = msg.labs, msg.err, true
	case missingMsg:
		p.missing = msg
	case tea.PasteMsg:
		if p.searching {
			p.query += frame.Clean(msg.Content)
		}
	case jobEvents:
		if msg.job == p.job {
			return p.job.next
		}
	case jobEnded:
		if msg.job == p.job {
			p.job = nil
			if msg.job.err != nil {
				p.m.say("The cluster was not taken down: %v", msg.job.err)
			} else {
				p.m.say("The cluster is down.")
			}
			return p.m.askCluster
		}
	}
	return nil
}

func (p *startPage) view(width, height int) []string {
	t := p.m.theme
	lines := []string{""}
	lines = append(lines, p.about(width)...)
	if p.searching || p.query != "" {
		mark := ""
		if p.searching {
			mark = "_"
		}
		lines = append(lines, "  "+t.Key.Render("search")+" "+p.query+mark, "")
	}
	switch all := p.matching(); {
	case p.err != nil:
		lines = append(lines, frame.Wrap("The labs cannot be read: "+frame.Clean(p.err.Error()), width-4, "  ", "  ")...)
	case !p.loaded:
		lines = append(lines, "  Reading the labs.")
	case len(all) == 0:
		lines = append(lines, "  No lab matches.")
	default:
		room := height - len(lines)
		var list []string
		first, last := 0, 0
		for i, lab := range all {
			if i == p.at {
				first = len(list)
			}
			list = append(list, p.row(lab, i == p.at, width)...)
			if i == p.at {
				last = len(list) - 1
			}
		}
		p.scroll.Show(first, last, len(list), room)
		lines = append(lines, p.scroll.Cut(list, room)...)
	}
	return p.ascii(lines)
}

func (p *startPage) ascii(lines []string) []string {
	if p.m.theme.ASCII {
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}

// about says how the cluster and the machine are.
func (p *startPage) about(width int) []string {
	t, c := p.m.theme, p.m.cluster
	var lines []string
	if c.Name != "" {
		glyph, style := t.Todo, t.Dim
		switch {
		case c.Running && c.Ready:
			glyph, style = t.Pass, t.Good
		case c.Running:
			glyph, style = t.Run, t.Warn
		}
		text := "cluster " + c.Name + ": " + c.Word()
		switch {
		case c.Detail != "" && !c.Ready:
			text += ", " + frame.Clean(c.Detail)
		case !c.Running:
			text += "; opening a lab brings it up"
		}
		lines = append(lines, "  "+style.Render(glyph)+" "+frame.Short(text, width-4, t))
	}
	for _, miss := range p.missing {
		word, style := "warning", t.Warn
		if miss.Fatal {
			word, style = "missing", t.Bad
		}
		for _, line := range frame.Wrap(frame.Clean(miss.Cause), width-15, "", "") {
			lines = append(lines, "  "+style.Render(t.Fail+" "+word)+"  "+line)
			word, style = "       ", t.Dim
		}
		if miss.Cure != "" {
			lines = append(lines, frame.Wrap(frame.Clean(miss.Cure), width-2, "    "+t.Key.Render("cure")+"     ", strings.Repeat(" ", 13))...)
		}
	}
	return append(lines, "")
}

func (p *startPage) row(lab *labs.Lab, chosen bool, width int) []string {
	t := p.m.theme
	ids := make([]string, len(lab.Tasks))
	for i, task := range lab.Tasks {
		ids[i] = task.ID
	}
	state := p.m.store.State(lab.ID, ids)
	glyph, style := t.Todo, t.Dim
	switch state {
	case progress.InProgress:
		glyph, style = t.Run, t.Warn
	case progress.Done:
		glyph, style = t.Pass, t.Good
	}
	mark := "  "
	title := frame.Fit(frame.Short(lab.ID+"  "+lab.Title, width-26, t), width-26)
	if chosen {
		mark, title = t.Key.Render(t.Cursor)+" ", t.Title.Render(title)
	}
	word := string(state)
	if p.m.lab != nil && p.m.lab.lab.ID == lab.ID {
		word += ", open"
	}
	lines := []string{mark + title + "  " + style.Render(glyph+" "+word)}
	if chosen {
		lines = append(lines, frame.Wrap(lab.Summary, width-4, "      ", "      ")...)
		if l := p.m.store.Lab(lab.ID); l != nil {
			for _, task := range lab.Tasks {
				if k := l.Tasks[task.ID]; k != nil {
					lines = append(lines, "      "+t.Dim.Render(frame.Short(taskLine(task.ID, k, l.Updated), width-8, t)))
				}
			}
		}
		lines = append(lines, "")
	}
	return lines
}

// taskLine is a task's progress in a line.
func taskLine(id string, k *progress.Task, updated time.Time) string {
	word := "in progress"
	if k.Done {
		word = "done"
	}
	text := fmt.Sprintf("task %s: %s", id, word)
	if k.Total > 0 {
		text += fmt.Sprintf(", %d of %d checks as expected", k.Passed, k.Total)
	}
	if k.Hints > 0 {
		text += fmt.Sprintf(", %d hints seen", k.Hints)
	}
	if k.SawSolution {
		text += ", solution applied"
	}
	if !updated.IsZero() {
		text += updated.Local().Format(", 2006-01-02 15:04")
	}
	return text
}
