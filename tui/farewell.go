package tui

import (
	"cmp"

	"github.com/netdojo/netdojo/tui/lesson"
)

// farewell is what stands in the terminal when the learner has left.
func (m *Model) farewell() []string {
	var l *lesson.Lesson
	if m.lab != nil {
		l = m.lab.lesson
	}
	var c *lesson.RunsOn
	if m.cluster.Running {
		c = &lesson.RunsOn{Name: m.cluster.Name, Down: cmp.Or(m.cluster.Down, "netdojo down")}
	}
	return lesson.Farewell(m.start.theMap(), l, c)
}
