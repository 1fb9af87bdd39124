package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
)

// ailingMsg is what does not work of what a lab needs.
type ailingMsg struct {
	lab  *labPage
	what []backend.Ailment
}

// lasting is how long something does not work before it is said; the header and the
// checks show it at once. A lab's pods are ready before their Deployment says so, which
// takes a moment on a busy machine.
const lasting = 700 * time.Millisecond

// lastingMsg is what did not work a while ago.
type lastingMsg struct {
	lab  *labPage
	what []backend.Ailment
}

func (l *labPage) nextAilments() tea.Msg {
	all, ok := l.ailments.Take()
	if !ok {
		return nil
	}
	return ailingMsg{l, all[len(all)-1]}
}

// word is how the cluster is, and the first thing that a lab misses of it.
func (m *Model) word() string {
	if l := m.lab; l != nil && len(l.ailing) > 0 && m.cluster.Running && !m.cluster.Silent {
		return l.ailing[0].Word
	}
	return m.cluster.Word()
}

// ails takes what does not work. While a session runs, which may bring it back, it
// is news to nobody.
func (l *labPage) ails(what []backend.Ailment) tea.Cmd {
	was := l.ailing
	l.ailing = what
	if l.job != nil || l.lesson.Gone || l.m.cluster.Silent {
		if len(what) == 0 {
			l.told = false
		}
		return nil
	}
	if len(what) == 0 {
		l.lesson.Doubt("")
		if l.told {
			l.Say("All that the lab needs works again.")
		}
		l.told = false
		if len(was) > 0 {
			return tea.Batch(l.recheck(), l.tell(pane.Changed{}))
		}
		return nil
	}
	l.lesson.Doubt(what[0].Why)
	if slices.Equal(was, what) {
		return nil
	}
	return tea.Tick(lasting, func(time.Time) tea.Msg { return lastingMsg{l, what} })
}

// lasts says what has not worked for a while.
func (l *labPage) lasts(what []backend.Ailment) {
	if l.job != nil || l.lesson.Gone || l.m.cluster.Silent || !slices.Equal(l.ailing, what) {
		return
	}
	l.told = true
	l.Say("%s. r mends it.", strings.ToUpper(what[0].Why[:1])+what[0].Why[1:])
}

// health takes how the cluster is: what was seen of one that went away, or does
// not answer, is out of date.
func (l *labPage) health(c backend.ClusterState) {
	switch {
	case c.Silent:
		l.lesson.Doubt("the cluster does not answer")
	case !c.Running && l.job == nil && l.lesson.Lost():
		l.ailing, l.told = nil, false
		l.Say("The cluster is gone. r brings it and the lab up again as you left it; your files and your progress are kept.")
	case c.Running && !l.lesson.Gone && len(l.ailing) == 0:
		l.lesson.Doubt("")
	}
}

// needsAnew says whether the cluster has to be brought up anew.
func (l *labPage) needsAnew() bool {
	return l.m.cluster.Silent || slices.ContainsFunc(l.ailing, func(a backend.Ailment) bool { return a.Anew })
}

// noMend is why there is nothing to mend, or why it cannot be mended now.
func (l *labPage) noMend() string {
	switch {
	case l.lesson.Gone:
		return ""
	case len(l.ailing) == 0 && !l.m.cluster.Silent:
		return "all that the lab needs works"
	case l.job != nil && !l.m.cluster.Silent:
		return l.job.name + " runs"
	}
	return ""
}

// mend brings back what does not work. Where the cluster goes for that, it asks
// before.
func (l *labPage) mend() tea.Cmd {
	m := l.m
	switch {
	case l.lesson.Gone:
		return m.endShell(l, "bring the cluster up again", l.anewly)
	case l.needsAnew():
		text := "Take the cluster down and bring it up again?"
		if c := m.clusters.inUse(); c != nil && c.Leave != "" {
			text += " " + strings.ToUpper(c.Leave[:1]) + c.Leave[1:] + "."
		}
		l.Ask(text+" y yes, any other key no", func() tea.Cmd {
			return m.endShell(l, "take the cluster down", l.rebuild)
		})
		return nil
	}
	m.say("Bringing back what is gone.")
	return l.run(lesson.Entering, "bringing back what is gone", m.backend.Resume)
}

// anewly brings the cluster and the lab up again, as they were left.
func (l *labPage) anewly() tea.Cmd { return l.enterAgain(l.m.backend.Resume) }

// rebuild takes the cluster down, and brings it and the lab up again.
func (l *labPage) rebuild() tea.Cmd {
	b := l.m.backend
	return l.enterAgain(func(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
		if err := b.TakeDown(ctx, listen); err != nil {
			return record.Run{}, err
		}
		return b.Resume(ctx, lab, task, listen)
	})
}

// enterAgain opens the lab anew at its task.
func (l *labPage) enterAgain(do session) tea.Cmd {
	task := l.lesson.Task.ID
	if l.job != nil {
		l.job.cancel()
	}
	l.close()
	return l.m.enterBy(l.lesson.Lab, task, do)
}
