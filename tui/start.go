package tui

import (
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/progress"
)

// startPage lists the labs.
type startPage struct {
	m         *Model
	labs      []*labs.Lab
	course    *labs.Course // nil for none
	err       error
	loaded    bool
	missing   []backend.Missing
	at        int // in the labs that match
	scroll    frame.Scroll
	query     string
	searching bool
	job       *job // takes the cluster down
}

func newStartPage(m *Model) *startPage { return &startPage{m: m} }

func (p *startPage) title() string        { return "Labs" }
func (p *startPage) scopes() []keys.Scope { return []keys.Scope{keys.Start} }

// theMap is the course as the learner has it now.
func (p *startPage) theMap() lesson.Map { return lesson.NewMap(p.labs, p.course, p.m.store) }

// matching are the labs of the map that the search finds.
func (p *startPage) matching() []lesson.Stop {
	var out []lesson.Stop
	q := strings.ToLower(p.query)
	for _, s := range p.theMap().Stops {
		if strings.Contains(strings.ToLower(s.Lab.ID+" "+s.Lab.Title+" "+s.Lab.Summary), q) {
			out = append(out, s)
		}
	}
	return out
}

func (p *startPage) chosen() *labs.Lab {
	if all := p.matching(); p.at < len(all) {
		return all[p.at].Lab
	}
	return nil
}

// toNext chooses the lab to go on with.
func (p *startPage) toNext() {
	for i, s := range p.matching() {
		if s.Next {
			p.at = i
		}
	}
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
		case p.m.clusters.job != nil:
			return "the cluster is being changed"
		case p.chosen() == nil:
			return "no lab is chosen"
		}
		if why, refused := p.m.clusters.cannot(p.chosen().ID); refused && why != "" {
			return "this cluster cannot do it, see below the lab; c chooses another"
		}
		for _, miss := range p.missing {
			if miss.Fatal && !p.m.cluster.Running {
				return "this machine lacks something, see above; c chooses another cluster"
			}
		}
	case keys.Search:
		if len(p.labs) == 0 {
			return "there are no labs"
		}
	case keys.Cluster:
		if p.job != nil {
			return "the cluster is being taken down"
		}
	case keys.TakeDown:
		switch {
		case p.job != nil:
			return "it is being taken down"
		case p.m.clusters.job != nil:
			return "it is being changed"
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
		return p.choose(p.chosen())
	case keys.Cluster:
		return p.m.clusters.open()
	case keys.TakeDown:
		p.m.ask(p, "Take cluster "+p.m.cluster.Name+" down? Your progress and your files stay. y yes, any other key no", p.takeDown)
	}
	return nil
}

// choose goes back to a lab that is open, or opens it.
func (p *startPage) choose(lab *labs.Lab) tea.Cmd {
	m := p.m
	if m.lab != nil && m.lab.lesson.Lab.ID == lab.ID && !m.lab.lesson.Gone {
		m.goTo(m.lab)
		return nil
	}
	open := func() tea.Cmd {
		return m.endShell(p, "open lab "+lab.ID, func() tea.Cmd { return p.open(lab) })
	}
	c := m.clusters.inUse()
	if c == nil || c.Asks == "" || m.cluster.Running {
		return open()
	}
	id := c.ID
	m.ask(p, c.Asks+" y yes, any other key no", func() tea.Cmd {
		m.backend.Agree(id)
		return tea.Batch(open(), m.askChoices())
	})
	return nil
}

// open opens a lab: on with one in progress, or from its beginning.
func (p *startPage) open(lab *labs.Lab) tea.Cmd {
	m := p.m
	if m.lab != nil {
		m.lab.close()
		m.lab = nil
	}
	resume, task := false, lab.Tasks[0].ID
	if at := m.store.Begun(lab.ID); at != nil {
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
		p.labs, p.course, p.err, p.loaded = msg.labs, msg.course, msg.err, true
		p.toNext()
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
			return p.m.askCluster()
		}
	}
	return nil
}

// state is how far the learner is in a lab.
func (m *Model) state(lab *labs.Lab) progress.State {
	ids := make([]string, len(lab.Tasks))
	for i, task := range lab.Tasks {
		ids[i] = task.ID
	}
	return m.store.State(lab.ID, ids)
}
