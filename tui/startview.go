package tui

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/progress"
)

// head is what stands above the list.
func (p *startPage) head(width int) []string {
	t := p.m.theme
	lines := []string{""}
	if p.loaded && p.err == nil && !p.searching && p.query == "" {
		lines = append(lines, p.intro(width)...)
	}
	lines = append(lines, p.about(width)...)
	if p.searching || p.query != "" {
		mark := ""
		if p.searching {
			mark = "_"
		}
		lines = append(lines, "  "+t.Key.Render("search")+" "+p.query+mark, "")
	}
	switch {
	case p.err != nil:
		lines = append(lines, frame.Wrap("The labs cannot be read: "+frame.Clean(p.err.Error()), width-4, "  ", "  ")...)
	case !p.loaded:
		lines = append(lines, "  Reading the labs.")
	case len(p.matching()) == 0:
		lines = append(lines, "  No lab matches.")
	default:
		lines = append(lines, t.Dim.Render("  "+columnsOf(width).line("lab", "title", "level", "time", "tasks", "points", "state")))
	}
	return lines
}

// intro says what this is, how much of it is done, and what is next.
func (p *startPage) intro(width int) []string {
	t, course := p.m.theme, p.theMap()
	lines := []string{"  " + t.Title.Render(frame.Short(frame.Clean(course.Title), width-3, t))}
	text := course.About()
	if !course.Begun() {
		text = "Write policies on a cluster of your own; every check proves what they do. " + text
	}
	if next := course.Next(); next != nil {
		text += fmt.Sprintf(" Next: lab %s, %s.", next.Lab.ID, next.Lab.Title)
	} else if len(course.Stops) > 0 {
		text += " All are done."
	}
	return append(lines, frame.Wrap(frame.Clean(text), width-1, "  ", "  ")...)
}

// list is the labs, and the lines of the chosen one.
func (p *startPage) list(width int) (lines []string, first, last int) {
	for i, s := range p.matching() {
		if i == p.at {
			first = len(lines)
		}
		lines = append(lines, p.row(s, i == p.at, width)...)
		if i == p.at {
			last = len(lines) - 1
		}
	}
	return lines, first, last
}

func (p *startPage) fit(width, height int) {
	list, first, last := p.list(width)
	p.scroll = p.scroll.Showing(first, last, len(list), height-len(p.head(width)))
}

func (p *startPage) view(width, height int) []string {
	lines := p.head(width)
	list, _, _ := p.list(width)
	return p.ascii(append(lines, p.scroll.Cut(list, max(height-len(lines), 0))...))
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
		text := "cluster " + c.Name
		if c.What != "" {
			text += ", " + frame.Clean(c.What)
		}
		text += ": " + c.Word()
		switch {
		case c.Detail != "" && !c.Ready:
			text += ", " + frame.Clean(c.Detail)
		case !c.Running:
			text += "; opening a lab brings it up"
		}
		lines = append(lines, frame.Wrap(text, width-1, "  "+style.Render(glyph)+" ", "    ")...)
	}
	return append(append(lines, p.m.missingLines(p.missing, width, "  ")...), "")
}

// missingLines say what a machine lacks, and the cure.
func (m *Model) missingLines(all []backend.Missing, width int, indent string) []string {
	t := m.theme
	var lines []string
	below := indent + strings.Repeat(" ", 11)
	for _, miss := range all {
		what := t.Warn.Render("! warning")
		if miss.Fatal {
			what = t.Bad.Render(t.Fail + " missing")
		}
		lines = append(lines, frame.Wrap(frame.Clean(miss.Cause), width-2, indent+what+"  ", below)...)
		if miss.Cure != "" {
			lines = append(lines, frame.Wrap(frame.Clean(miss.Cure), width-2, indent+"  "+t.Key.Render("cure")+"     ", below)...)
		}
	}
	return lines
}

// columns are the widths of what a lab's line tells, 0 for what is left out: that
// stands below the chosen lab.
type columns struct{ id, title, level, time, tasks, points, state int }

// columnsOf are those that fit in a width. The title has what is left, at least as
// much as most need.
func columnsOf(width int) columns {
	c := columns{id: 4, time: 8, state: 19}
	if width >= 80 {
		c.level = 14
	}
	if width >= wideFrom {
		c.tasks, c.points = 7, 8
	}
	c.title = width - 2 - c.id - c.level - c.time - c.tasks - c.points - c.state
	return c
}

// line sets cells in the columns.
func (c columns) line(id, title, level, time, tasks, points, state string) string {
	return frame.Fit(id, c.id) + frame.Fit(title, c.title) + frame.Fit(level, c.level) + frame.Fit(time, c.time) +
		frame.Fit(tasks, c.tasks) + frame.Fit(points, c.points) + state
}

// mark is a lab's state as a symbol.
func (p *startPage) mark(s progress.State) (string, lipgloss.Style) {
	t := p.m.theme
	switch s {
	case progress.InProgress:
		return t.Run, t.Warn
	case progress.Done:
		return t.Pass, t.Good
	}
	return t.Todo, t.Dim
}

func (p *startPage) row(s lesson.Stop, chosen bool, width int) []string {
	t, c := p.m.theme, columnsOf(width)
	glyph, style := p.mark(s.State)
	if s.Next && s.State == progress.New {
		glyph, style = t.Arrow, t.Key
	}
	word := s.Word()
	if p.m.lab != nil && p.m.lab.lesson.Lab.ID == s.Lab.ID {
		word += ", open"
	}
	minutes, points := "", ""
	if s.Minutes > 0 {
		minutes = fmt.Sprintf("%d min", s.Minutes)
	}
	if s.OutOf > 0 {
		points = fmt.Sprintf("%d/%d", s.Points, s.OutOf)
	}
	mark, id, title := "  ", frame.Fit(s.Lab.ID, c.id), frame.Fit(frame.Short(frame.Clean(s.Lab.Title), c.title-1, t), c.title)
	if chosen {
		mark, id, title = t.Key.Render(t.Cursor)+" ", t.Title.Render(id), t.Title.Render(title)
	}
	lines := []string{mark + c.line(id, title, string(s.Level), minutes, fmt.Sprintf("%d/%d", s.Done, len(s.Lab.Tasks)), points, style.Render(glyph+" "+word))}
	if !chosen {
		return lines
	}
	return append(lines, p.details(s, width)...)
}

// details are what stands below the chosen lab.
func (p *startPage) details(s lesson.Stop, width int) []string {
	t := p.m.theme
	lines := frame.Wrap(frame.Clean(s.Lab.Summary), width-4, "      ", "      ")
	if width < wideFrom {
		lines = append(lines, frame.Wrap(strings.Join(s.Facts(), ", "), width-4, "      ", "      ")...)
	}
	var before []string
	for _, lab := range s.Before {
		glyph, style := p.mark(p.m.state(lab))
		word := string(p.m.state(lab))
		before = append(before, style.Render(glyph)+" "+lab.ID+", "+frame.Clean(lab.Title)+" ("+word+")")
	}
	if len(before) > 0 {
		lines = append(lines, frame.Wrap("To know before: "+strings.Join(before, "; "), width-4, "      ", "      ")...)
	}
	if s.Lab.Seed != "" {
		lines = append(lines, frame.Wrap("Its names are those of the seed "+frame.Clean(s.Lab.Seed)+".", width-4, "      ", "      ")...)
	}
	if s.Lab.Begun != "" {
		text := "You began it with netdojo " + frame.Clean(s.Lab.Begun) + ", and it has changed since: it stays as you began it. netdojo labs update " + s.Lab.ID + " takes the present one."
		lines = append(lines, frame.Wrap(text, width-4, "    "+t.Warn.Render(t.Fail)+" ", "      ")...)
	}
	if why, _ := p.m.clusters.cannot(s.Lab.ID); why != "" {
		lines = append(lines, frame.Wrap("On this cluster it cannot all be done: "+frame.Clean(why), width-4, "    "+t.Warn.Render(t.Fail)+" ", "      ")...)
	}
	if l := p.m.store.Lab(s.Lab.ID); l != nil {
		for _, task := range s.Lab.Tasks {
			if k := l.Tasks[task.ID]; k != nil {
				lines = append(lines, "      "+t.Dim.Render(frame.Short(taskLine(task.ID, k, l.Updated), width-8, t)))
			}
		}
	}
	return append(lines, "")
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
	switch {
	case k.Hints == 1:
		text += ", 1 hint seen"
	case k.Hints > 1:
		text += fmt.Sprintf(", %d hints seen", k.Hints)
	}
	if k.SawSolution {
		text += ", solution seen"
	}
	if !updated.IsZero() {
		text += updated.Local().Format(", 2006-01-02 15:04")
	}
	return text
}
