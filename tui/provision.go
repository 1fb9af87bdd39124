package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
)

// stepRow is a step as the provisioning page shows it.
type stepRow struct {
	name, detail string
	depth        int
	state        step.State
	began        time.Time
	elapsed      time.Duration
}

// cureOf is the advice of the first error in a tree that knows one.
func cureOf(err error) string {
	var c interface {
		error
		Cure() string
	}
	if errors.As(err, &c) {
		return c.Cure()
	}
	return ""
}

// steps are the rows of a session's steps.
type steps []stepRow

// note takes an update into its row.
func (s *steps) note(u event.StepUpdate, now time.Time) {
	at := -1
	for i := len(*s) - 1; i >= 0; i-- {
		if r := (*s)[i]; r.name == u.Name && r.depth == u.Depth && (r.state == step.Started || r.state == step.Progress) {
			at = i
			break
		}
	}
	if at < 0 {
		*s = append(*s, stepRow{name: u.Name, depth: u.Depth, began: now.Add(-u.Elapsed)})
		at = len(*s) - 1
	}
	r := &(*s)[at]
	r.state = u.State
	if u.Detail != "" || u.State != step.Progress {
		r.detail = frame.Clean(u.Detail)
	}
	if u.State == step.Done || u.State == step.Failed {
		r.elapsed = u.Elapsed
	}
}

// tickMsg moves the clock of what runs.
type tickMsg struct{ page page }

const tickEvery = 200 * time.Millisecond

// provisionPage shows how a cluster and a lab come up.
type provisionPage struct {
	m      *Model
	lab    *labPage
	job    *job // the lab's, nil once it ended
	err    error
	log    []string // nil while it is hidden
	scroll frame.Scroll
	enter  session // brings the lab up
}

func (p *provisionPage) title() string        { return p.lab.title() + ", getting ready" }
func (p *provisionPage) scopes() []keys.Scope { return []keys.Scope{keys.Provision} }

func (p *provisionPage) tick() tea.Cmd {
	return tea.Tick(tickEvery, func(time.Time) tea.Msg { return tickMsg{p} })
}

func (p *provisionPage) grab(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	if msg.String() == "ctrl+c" && p.job != nil {
		p.stop()
		return nil, true
	}
	return nil, false
}

func (p *provisionPage) off(id keys.ID) string {
	switch {
	case id == keys.Retry && p.job != nil:
		return "it has not failed"
	case id == keys.BeginEmpty && (p.job != nil || !errors.Is(p.err, cluster.ErrMadeOtherwise)):
		return "the cluster can be what the lab needs"
	}
	return ""
}

// stop asks once, then ends the session, which cleans up.
func (p *provisionPage) stop() {
	p.m.askStop(p, p.job, "Stop, and clean up what was begun? y or ctrl-c yes, any other key no", func() tea.Cmd {
		p.job.cancel()
		p.m.say("Stopping, and cleaning up.")
		return nil
	})
}

func (p *provisionPage) do(id keys.ID) tea.Cmd {
	switch id {
	case keys.Retry:
		return p.lab.provision(p.enter)
	case keys.BeginEmpty:
		p.m.ask(p, "Begin empty? The cluster's objects go, your files stay. y yes, any other key no", p.beginEmpty)
	case keys.Details:
		if p.log != nil {
			p.log = nil
			return nil
		}
		p.log = append([]string{}, p.m.backend.Log(200)...)
		if len(p.log) == 0 {
			p.log = []string{"There is no log of the cluster yet."}
		}
		p.scroll = frame.Scroll{Top: len(p.log)}
	case keys.Back:
		if p.job != nil {
			p.stop()
			return nil
		}
		p.leave()
		return p.m.askCluster()
	case keys.Up, keys.Down, keys.PageUp, keys.PageDown, keys.Top, keys.Bottom:
		w, h := p.m.body()
		_, room := p.head(w, h)
		by, _ := pane.By(id, room)
		p.scroll = p.scroll.Moved(by, len(p.log), room)
	}
	return nil
}

// beginEmpty brings the lab up on a cluster that has nothing of this one.
func (p *provisionPage) beginEmpty() tea.Cmd {
	b, do := p.m.backend, p.enter
	again := p.lab.provision(func(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
		if err := b.BeginEmpty(ctx, listen); err != nil {
			return record.Run{}, err
		}
		return do(ctx, lab, task, listen)
	})
	if next, ok := p.m.page.(*provisionPage); ok {
		next.enter = do // what failed is tried again without asking for an empty cluster
	}
	return again
}

// leave gives the lab up and shows the labs.
func (p *provisionPage) leave() {
	p.lab.close()
	if p.m.lab == p.lab {
		p.m.lab = nil
	}
	p.m.goTo(p.m.start)
}

// ended takes the end of the session. A stopped one goes back to the labs.
func (p *provisionPage) ended(err error, stopped bool) tea.Cmd {
	p.job, p.err = nil, err
	if stopped {
		p.leave()
		p.m.say("Stopped. Nothing half-made was left.")
	}
	return p.m.askCluster()
}

func (p *provisionPage) update(msg tea.Msg) tea.Cmd {
	if tick, ok := msg.(tickMsg); ok && tick.page == page(p) && p.job != nil {
		return p.tick()
	}
	return nil
}

func (p *provisionPage) fit(int, int) {}

// head is what stands above the log, and the room that is left for that.
func (p *provisionPage) head(width, height int) (lines []string, room int) {
	t := p.m.theme
	lines = []string{""}
	for _, r := range p.lab.steps {
		lines = append(lines, p.m.stepLine(r, width))
	}
	if len(p.lab.steps) == 0 {
		lines = append(lines, "  Looking for the cluster.")
	}
	lines = append(lines, "")
	if p.err != nil {
		lines = append(lines, frame.Wrap(frame.Clean(p.err.Error()), width-4, "  "+t.Bad.Render("cause")+"  ", "         ")...)
		if cure := cureOf(p.err); cure != "" {
			lines = append(lines, frame.Wrap(frame.Clean(cure), width-4, "  "+t.Key.Render("cure")+"   ", "         ")...)
		}
		if p.off(keys.BeginEmpty) == "" {
			lines = append(lines, frame.Wrap("Here: D begins the cluster empty, as the lab needs it. Its objects go; your files and your progress stay.", width-4, "  "+t.Key.Render("cure")+"   ", "         ")...)
		}
		lines = append(lines, "", "  Press r to try again, d for the cluster's log, esc for the labs.")
	}
	if p.log == nil {
		if over := len(lines) - height; over > 0 {
			lines = lines[over:] // what runs now is at the end
		}
		return lines, 0
	}
	room = max(height-len(lines)-1, 3)
	if room+1 > height/2 && len(lines) > height/2 {
		lines = lines[len(lines)-height/2:]
		room = height - len(lines) - 1
	}
	return append(lines, "  "+t.Title.Render("The cluster's log, its end")), room
}

func (p *provisionPage) view(width, height int) []string {
	t := p.m.theme
	lines, room := p.head(width, height)
	for _, l := range p.scroll.Cut(p.log, room) {
		lines = append(lines, "  "+t.Dim.Render(frame.Short(frame.Clean(l), width-4, t)))
	}
	if t.ASCII {
		for i := range lines {
			lines[i] = frame.ASCII(lines[i])
		}
	}
	return lines
}

// stepLine is a step with its state and its clock.
func (m *Model) stepLine(r stepRow, width int) string {
	t := m.theme
	glyph, word, style := t.Run, "running", t.Warn
	elapsed := r.elapsed
	switch r.state {
	case step.Done:
		glyph, word, style = t.Pass, "done", t.Good
	case step.Failed:
		glyph, word, style = t.Fail, "failed", t.Bad
	default:
		elapsed = m.now().Sub(r.began)
	}
	text := strings.Repeat("  ", r.depth) + r.name
	if r.detail != "" {
		text += ": " + r.detail
	}
	clock := fmt.Sprintf("%6.1f s", elapsed.Seconds())
	room := width - 12 - len(clock) - 2
	return "  " + style.Render(fmt.Sprintf("%s %-7s", glyph, word)) + " " + frame.Fit(frame.Short(text, room, t), room) + " " + t.Dim.Render(clock)
}
