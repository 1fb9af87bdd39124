package gradebook

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
)

// Plain renders a grading run as lines. Called says whose a pseudonym is, where the
// reader wants names; nil shows pseudonyms. It is a grade.Listener by its Listen.
type Plain struct {
	TTY    bool // the line of what is being done is rewritten in place
	Called func(id string) string

	mu    sync.Mutex // guards what follows
	w     io.Writer
	err   error
	drawn bool
	done  int
	total int
	left  time.Duration
	at    map[string]bool // who is being judged
}

// NewPlain returns a renderer that writes to w.
func NewPlain(w io.Writer) *Plain { return &Plain{w: w, at: map[string]bool{}} }

// Err is the first error of writing.
func (p *Plain) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.err
}

// Listen renders one event.
func (p *Plain) Listen(e grade.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := e.(type) {
	case grade.Started:
		p.done, p.total = e.Kept, e.Total
		p.line("Grading %d submissions of lab %s, %s", e.Total, e.Lab.ID, e.Lab.Title)
		if e.Kept > 0 {
			p.line("  %d of them are judged already", e.Kept)
		}
	case grade.Preparing:
		if e.State == step.Started || e.State == step.Progress {
			p.status("  cluster %d: %s %s", e.Job, e.Name, e.Detail)
		}
	case grade.Judging:
		p.at[e.ID] = true
		p.progress()
	case grade.Judged:
		delete(p.at, e.Record.ID)
		p.done, p.total, p.left = e.Done, e.Total, e.Remaining
		p.judged(e.Record)
		p.progress()
	case grade.Odd:
		p.line("  Note: %s", e.Problem.String())
	case grade.Notice:
		p.line("  Note: %s", e.Text)
	case grade.Finished:
		p.line("")
		p.overview(e.Class)
		p.line("Graded %d submissions in %s", len(e.Class.Marks), brief(e.Elapsed))
	}
}

func (p *Plain) called(id string) string {
	if p.Called != nil {
		if name := p.Called(id); name != "" {
			return name
		}
	}
	return id
}

func (p *Plain) judged(r result.Record) {
	text := fmt.Sprintf("%d of %d points", r.Points, r.Max)
	if r.Status != result.Graded {
		text = string(r.Status) + ": " + r.Cause
	}
	p.line("  %d/%d  %s  %s (%s)", p.done, p.total, p.called(r.ID), text, brief(time.Duration(r.TookMs)*time.Millisecond))
	for _, problem := range r.Submission.Problems {
		p.line("         %s", problem.String())
	}
}

// overview is the class in a few lines: who has what, which check is hard, and whose
// answers are alike.
func (p *Plain) overview(c result.Class) {
	for _, m := range c.Marks {
		remarks := Remarks(m)
		if remarks != "" {
			remarks = "  (" + remarks + ")"
		}
		p.line("  %-12s %s of %d%s", p.called(m.Submission), number(m.Points), m.Max, remarks)
	}
	if len(c.Checks) > 0 {
		p.line("")
	}
	for _, d := range c.Checks {
		p.line("  %s/%s passed %d of %d", d.Task, d.Check, d.Passed, d.Of)
	}
	if len(c.Groups) > 0 {
		p.line("")
	}
	for i, g := range c.Groups {
		failed := "nothing failed"
		if len(g.Failed) > 0 {
			failed = "failed " + strings.Join(g.Failed, ", ")
		}
		same := ""
		if g.Same > 1 {
			same = fmt.Sprintf("; %d handed in the very same", g.Same)
		}
		p.line("  group %d: %d alike with %d points, %s%s", i+1, len(g.Submissions), g.Points, failed, same)
	}
	for _, n := range c.Notes {
		p.line("  note, which proves nothing: %s", n.Text)
	}
	p.line("")
}

// Overview writes the class as NewPlain does at the end of a run.
func (p *Plain) Overview(c result.Class) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("Lab %s, %s: %d submissions", c.Lab.ID, c.Lab.Title, len(c.Marks))
	p.line("")
	p.overview(c)
}

// Remarks are what is to be known of a mark beside its points, in a line; "" for nothing.
func Remarks(m result.Mark) string {
	var all []string
	switch {
	case m.Status == result.Missing:
		all = append(all, "nothing was handed in")
	case m.Status != result.Graded:
		all = append(all, string(m.Status)+": "+m.Cause)
	}
	switch {
	case m.LateSeconds > 0:
		all = append(all, fmt.Sprintf("late by %s, minus %s", brief(time.Duration(m.LateSeconds)*time.Second), number(m.Penalty)))
	case m.MarkedLate:
		all = append(all, "marked late")
	}
	if x := m.Exam; x != nil && (x.Extra > 0 || x.OverSeconds > 0 || x.Attempt > 1) {
		all = append(all, "exam: "+examTimes(*x))
	}
	if m.Override != nil {
		all = append(all, "override: "+m.Override.Reason)
	}
	return strings.Join(all, "; ")
}

// progress is the line of what is being done.
func (p *Plain) progress() {
	if p.done >= p.total || len(p.at) == 0 {
		p.clear()
		return
	}
	const cells = 20
	full := cells * p.done / max(p.total, 1)
	left := ""
	if p.left > 0 {
		left = ", about " + brief(p.left.Round(time.Second)) + " left"
	}
	p.status("  [%s%s] %d/%d%s", strings.Repeat("#", full), strings.Repeat(".", cells-full), p.done, p.total, left)
}

// line writes a line that stays. What terminals would obey is written out.
func (p *Plain) line(format string, args ...any) {
	p.clear()
	p.write(strings.TrimRight(fmt.Sprintf(format, printable.Args(args)...), " ") + "\n")
}

func (p *Plain) status(format string, args ...any) {
	if !p.TTY {
		return
	}
	p.clear()
	text := []rune(fmt.Sprintf(format, printable.Args(args)...))
	p.write(string(text[:min(len(text), 78)]))
	p.drawn = true
}

func (p *Plain) clear() {
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

// brief is a duration for people: 480ms, 2.3s, 1m05s, 3h20m.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
