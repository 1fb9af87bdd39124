package tui

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
)

// choicesMsg are the clusters that can be chosen.
type choicesMsg struct {
	all []backend.Choice
	err error
}

// findingsMsg is what was found about a choice.
type findingsMsg struct {
	id    string
	found backend.Findings
}

// askChoices asks which clusters there are to choose from.
func (m *Model) askChoices() tea.Cmd {
	return func() tea.Msg {
		all, err := m.backend.Choices(m.ctx)
		return choicesMsg{all, err}
	}
}

// clusterPage chooses the cluster that labs are done on.
type clusterPage struct {
	m      *Model
	all    []backend.Choice
	err    error // about some of them
	loaded bool
	at     int
	scroll frame.Scroll
	// found is by the choice, and looking are the choices that are looked at.
	found   map[string]backend.Findings
	looking map[string]bool
	job     *job // takes the former one down, and remembers the choice
	chose   backend.Choice
	steps   steps // of the job
}

func newClusterPage(m *Model) *clusterPage {
	return &clusterPage{m: m, found: map[string]backend.Findings{}, looking: map[string]bool{}}
}

func (p *clusterPage) title() string        { return "Clusters" }
func (p *clusterPage) scopes() []keys.Scope { return []keys.Scope{keys.Clusters} }

// inUse is the choice that labs are done on, nil while that is not known.
func (p *clusterPage) inUse() *backend.Choice {
	for i := range p.all {
		if p.all[i].Chosen {
			return &p.all[i]
		}
	}
	return nil
}

func (p *clusterPage) choice() *backend.Choice {
	if p.at < len(p.all) {
		return &p.all[p.at]
	}
	return nil
}

// open shows the page, with the choice in use chosen. Its choices are read anew, and
// those that are this machine's are looked at.
func (p *clusterPage) open() tea.Cmd {
	for i := range p.all {
		if p.all[i].Chosen {
			p.at = i
		}
	}
	p.m.goTo(p)
	cmds := []tea.Cmd{p.m.askChoices()}
	for _, c := range p.all {
		if _, known := p.found[c.ID]; !known && !c.Foreign {
			cmds = append(cmds, p.look(c.ID))
		}
	}
	return tea.Batch(cmds...)
}

// look examines a choice, outside of the update loop.
func (p *clusterPage) look(id string) tea.Cmd {
	if p.looking[id] {
		return nil
	}
	p.looking[id] = true
	return func() tea.Msg { return findingsMsg{id, p.m.backend.Examine(p.m.ctx, id)} }
}

// cannot is why a lab cannot be done on the cluster that is in use, "" where nothing
// is known of that.
func (p *clusterPage) cannot(lab string) (why string, refused bool) {
	c := p.inUse()
	if c == nil {
		return "", false
	}
	f := p.found[c.ID]
	return f.Cannot[lab], f.Refused
}

func (p *clusterPage) grab(msg tea.KeyPressMsg) (tea.Cmd, bool) { return nil, false }

func (p *clusterPage) off(id keys.ID) string {
	c := p.choice()
	switch id {
	case keys.Use:
		switch {
		case p.job != nil:
			return p.job.name + " runs"
		case c == nil:
			return "there is nothing to choose"
		case c.Chosen:
			return "labs are done on it already"
		case p.m.busy() != nil:
			return p.m.busy().name + " runs"
		}
		if miss := p.found[c.ID].Fatal(); miss != nil {
			return "something is missing for it, see below it"
		}
	case keys.Look:
		switch {
		case c == nil:
			return "there is nothing to look at"
		case p.looking[c.ID]:
			return "it is being looked at"
		}
	}
	return ""
}

func (p *clusterPage) do(id keys.ID) tea.Cmd {
	switch id {
	case keys.Up:
		p.at = max(p.at-1, 0)
	case keys.Down:
		p.at = min(p.at+1, max(len(p.all)-1, 0))
	case keys.Top, keys.PageUp:
		p.at = 0
	case keys.Bottom, keys.PageDown:
		p.at = max(len(p.all)-1, 0)
	case keys.Look:
		return p.look(p.choice().ID)
	case keys.Use:
		return p.use(*p.choice())
	case keys.Back:
		p.m.goTo(p.m.start)
	}
	return nil
}

// use has labs be done on a choice. What becomes of the cluster that runs is said
// before.
func (p *clusterPage) use(c backend.Choice) tea.Cmd {
	m := p.m
	begin := func() tea.Cmd {
		return m.endShell(p, "change the cluster", func() tea.Cmd { return p.begin(c) })
	}
	if !m.cluster.Running {
		return begin()
	}
	text := fmt.Sprintf("Take cluster %s down?", m.cluster.Name)
	if was := p.inUse(); was != nil {
		text = fmt.Sprintf("Take %s down? %s", was.Title, strings.ToUpper(was.Leave[:1])+was.Leave[1:])
	}
	m.ask(p, text+". y yes, any other key no", begin)
	return nil
}

// begin changes the cluster. A lab that is open is left: it goes on where it is
// opened anew.
func (p *clusterPage) begin(c backend.Choice) tea.Cmd {
	m := p.m
	if m.lab != nil {
		m.lab.close()
		m.lab = nil
	}
	p.chose, p.steps = c, nil
	j, cmd := m.launch("changing the cluster", func(ctx context.Context, listen event.Listener) (record.Run, error) {
		return record.Run{}, m.backend.Choose(ctx, c.ID, listen)
	})
	p.job = j
	if m.cluster.Running {
		m.say("Taking cluster %s down.", m.cluster.Name)
	}
	return cmd
}

func (p *clusterPage) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case choicesMsg:
		return p.take(msg)
	case findingsMsg:
		p.found[msg.id] = msg.found
		delete(p.looking, msg.id)
	case jobEvents:
		if msg.job == p.job {
			for _, e := range msg.events {
				if u, ok := e.(event.StepUpdate); ok {
					p.steps.note(u, p.m.now())
				}
			}
			return p.job.next
		}
	case jobEnded:
		if msg.job == p.job {
			return p.ended(msg.job.err)
		}
	}
	return nil
}

// take takes the choices. What the one in use cannot do stands beside the labs, so it
// is looked at where that is something; somebody's cluster only when it is used.
func (p *clusterPage) take(msg choicesMsg) tea.Cmd {
	at := p.choice()
	first := !p.loaded
	p.all, p.err, p.loaded = msg.all, msg.err, true
	for i, c := range p.all {
		if first && c.Chosen || at != nil && c.ID == at.ID {
			p.at = i
		}
	}
	p.at = min(p.at, max(len(p.all)-1, 0))
	c := p.inUse()
	if c == nil || !c.Partial || c.Foreign && c.Asks != "" {
		return nil
	}
	if _, known := p.found[c.ID]; known {
		return nil
	}
	return p.look(c.ID)
}

// ended takes the end of a change.
func (p *clusterPage) ended(err error) tea.Cmd {
	m := p.m
	p.job = nil
	if err != nil {
		text := "The cluster was not changed: " + err.Error()
		if cure := cureOf(err); cure != "" {
			text += ". Cure: " + cure
		}
		m.say("%s", text)
		return tea.Batch(m.askCluster(), m.askChoices())
	}
	for i := range p.all {
		p.all[i].Chosen = p.all[i].ID == p.chose.ID
	}
	if m.page == page(p) {
		m.goTo(m.start)
	}
	m.say("Labs are done on %s, from now on. Opening one brings it up.", p.chose.Title)
	return tea.Batch(m.askCluster(), m.askChoices(), m.askMissing())
}
