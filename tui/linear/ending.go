package linear

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/lesson"
)

// theMap is the course as the learner has it now.
func (f *face) theMap() lesson.Map { return lesson.NewMap(f.all, f.course, f.store) }

// ending says how a lab went that is done, and what comes next.
func (f *face) ending() {
	f.say("Lab %s, %s, is done.", f.lesson.Lab.ID, f.lesson.Lab.Title)
	for _, text := range f.lesson.Summary() {
		f.say("%s", frame.Clean(text))
	}
	if learned := f.lesson.Learned(); len(learned) > 0 {
		f.say("What to take away: %s", frame.Clean(strings.Join(learned, " ")))
	}
	f.say("%s labs goes back to the labs.", f.theMap().Onward(f.lesson.Lab.ID))
}

// asking bounds how long the cluster is waited for at the end.
const asking = 2 * time.Second

// farewell says how far the learner is, how to go on, and what runs still.
func (f *face) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	var c *lesson.RunsOn
	if now, err := f.o.Backend.Cluster(ctx); err == nil && now.Running {
		c = &lesson.RunsOn{Name: now.Name, Down: cmp.Or(now.Down, "netdojo down")}
	}
	f.say("Your progress is kept.")
	for _, text := range lesson.Farewell(f.theMap(), f.lesson, c) {
		f.say("%s", frame.Clean(text))
	}
}
