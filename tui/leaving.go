package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/pane"
)

// interrupt is ctrl-c where no program in front takes it: it is for the program
// that runs in the shell, else for the session that runs, and leaves when nothing
// does.
func (m *Model) interrupt() tea.Cmd {
	if p := m.program(); p != nil && m.page == page(m.lab) {
		name := p.Job()
		p.Interrupt()
		m.say("ctrl-c went to %s in the shell.", name)
		return nil
	}
	if j := m.busy(); j != nil {
		m.askStop(m.page, j, "Stop "+j.name+"? y or ctrl-c yes, any other key no", func() tea.Cmd {
			j.cancel()
			return nil
		})
		return nil
	}
	return m.quit()
}

// program is the pane in which a program runs, nil when none does.
func (m *Model) program() pane.Interrupter {
	if m.lab == nil {
		return nil
	}
	for _, p := range m.lab.panes {
		if i, ok := p.(pane.Interrupter); ok && i.Job() != "" {
			return i
		}
	}
	return nil
}

// quit ends the program, after a question when something runs.
func (m *Model) quit() tea.Cmd {
	j := m.busy()
	var runs []string
	if j != nil {
		runs = append(runs, j.name)
	}
	if p := m.program(); p != nil {
		runs = append(runs, p.Job()+" in the shell")
	}
	if len(runs) == 0 {
		return tea.Quit
	}
	m.ask(m.page, fmt.Sprintf("Stop %s and leave? y yes, any other key no", strings.Join(runs, " and ")), func() tea.Cmd {
		if j != nil {
			j.cancel()
		}
		return tea.Quit
	})
	m.question.idle = func() bool { return m.busy() == nil && m.program() == nil }
	m.question.asked = m.now()
	return nil
}

// endShell does what ends the lab's shell, after a question when a program runs in
// it.
func (m *Model) endShell(of page, what string, then func() tea.Cmd) tea.Cmd {
	p := m.program()
	if p == nil {
		return then()
	}
	m.ask(of, fmt.Sprintf("Stop %s in the shell and %s? y yes, any other key no", p.Job(), what), then)
	m.question.idle = func() bool { return m.program() == nil }
	m.question.asked = m.now()
	return nil
}

// busy is the session that runs, nil when none does.
func (m *Model) busy() *job {
	for _, j := range []*job{m.start.job, m.clusters.job} {
		if j != nil {
			return j
		}
	}
	if m.lab != nil {
		return m.lab.job
	}
	return nil
}
