package lesson

import (
	"fmt"
	"strings"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/progress"
)

// Map is a course as a learner has it: its labs in their order, and how far they
// are in each.
type Map struct {
	Title string
	Stops []Stop
}

// Stop is a lab on the map. Level, Minutes and Before are empty for a lab that the
// course does not name.
type Stop struct {
	Lab     *labs.Lab
	Level   labs.Level
	Minutes int
	State   progress.State
	// Done of the lab's tasks are done; its pairs earned Points of OutOf.
	Done, Points, OutOf int
	// Before are the labs that are to be known, Unmet those of them that are not
	// done.
	Before, Unmet []*labs.Lab
	// Next says that this is the lab to go on with.
	Next bool
}

// NewMap makes the map of labs in the order of their course, which may be nil.
func NewMap(all []*labs.Lab, course *labs.Course, store *progress.Store) Map {
	m := Map{Title: "Labs on network policies"}
	if course != nil {
		m.Title = course.Title
	}
	for _, lab := range all {
		s := Stop{Lab: lab, State: stateOf(lab, store)}
		kept := store.Lab(lab.ID)
		for _, t := range lab.Tasks {
			k := progress.Task{}
			if kept != nil && kept.Tasks[t.ID] != nil {
				k = *kept.Tasks[t.ID]
			}
			points, of := points(t, k)
			s.Points, s.OutOf = s.Points+points, s.OutOf+of
			if k.Done {
				s.Done++
			}
		}
		if course != nil && course.Entry(lab.ID) != nil {
			e := course.Entry(lab.ID)
			s.Level, s.Minutes = e.Level, e.Minutes
			s.prerequisites(e.Prerequisites, all, store)
		}
		m.Stops = append(m.Stops, s)
	}
	if i := m.next(store.Latest()); i >= 0 {
		m.Stops[i].Next = true
	}
	return m
}

func (s *Stop) prerequisites(ids []string, all []*labs.Lab, store *progress.Store) {
	for _, id := range ids {
		for _, lab := range all {
			if lab.ID != id {
				continue
			}
			s.Before = append(s.Before, lab)
			if stateOf(lab, store) != progress.Done {
				s.Unmet = append(s.Unmet, lab)
			}
		}
	}
}

// next is the lab to go on with: the one that was worked on last while it is not
// done, else the first that is not done and whose prerequisites are; -1 when all
// are done.
func (m Map) next(latest string) int {
	found := -1
	for i, s := range m.Stops {
		switch {
		case s.State == progress.Done:
		case s.Lab.ID == latest:
			return i
		case found < 0 && len(s.Unmet) == 0:
			found = i
		}
	}
	return found
}

// Next is the lab to go on with, nil when all are done.
func (m Map) Next() *Stop {
	for i := range m.Stops {
		if m.Stops[i].Next {
			return &m.Stops[i]
		}
	}
	return nil
}

// After is the lab to go on with when one is done: the next in the course's order
// that is not done and whose prerequisites are, else any that is not done; nil when
// all are.
func (m Map) After(lab string) *Stop {
	from := 0
	for i, s := range m.Stops {
		if s.Lab.ID == lab {
			from = i + 1
		}
	}
	var open *Stop
	for i := range m.Stops {
		s := &m.Stops[(from+i)%len(m.Stops)]
		if s.State == progress.Done || s.Lab.ID == lab {
			continue
		}
		if len(s.Unmet) == 0 {
			return s
		}
		if open == nil {
			open = s
		}
	}
	return open
}

// About says how much there is and how much of it is done.
func (m Map) About() string {
	done, minutes, points, of := 0, 0, 0, 0
	for _, s := range m.Stops {
		minutes, points, of = minutes+s.Minutes, points+s.Points, of+s.OutOf
		if s.State == progress.Done {
			done++
		}
	}
	text := Count(len(m.Stops), "lab")
	if minutes > 0 {
		text += ", " + hours(minutes)
	}
	text += fmt.Sprintf("; %d done", done)
	if of > 0 {
		text += fmt.Sprintf(", %d of %d points", points, of)
	}
	return text + "."
}

// Begun says whether any lab was worked on.
func (m Map) Begun() bool {
	for _, s := range m.Stops {
		if s.State != progress.New {
			return true
		}
	}
	return false
}

// Word is how far the learner is in the lab. Of a new one it says whether it is
// the next, or comes later since another is to be known before it.
func (s Stop) Word() string {
	switch {
	case s.State == progress.New && s.Next:
		return "next"
	case s.State == progress.New && len(s.Unmet) > 0:
		return "later"
	}
	return string(s.State)
}

// Facts are what is known of the lab beside its title, without its state.
func (s Stop) Facts() []string {
	var out []string
	if s.Level != "" {
		out = append(out, string(s.Level), fmt.Sprintf("%d minutes", s.Minutes))
	}
	out = append(out, fmt.Sprintf("%d of %s done", s.Done, Count(len(s.Lab.Tasks), "task")))
	if s.OutOf > 0 {
		out = append(out, fmt.Sprintf("%d of %d points", s.Points, s.OutOf))
	}
	return out
}

// Sentence is the lab in one sentence, for a list that is read out.
func (s Stop) Sentence() string {
	text := fmt.Sprintf("Lab %s, %s: %s, %s", s.Lab.ID, s.Lab.Title, s.Word(), strings.Join(s.Facts(), ", "))
	if len(s.Unmet) > 0 {
		text += ", to be taken after " + ids(s.Unmet)
	}
	return text + "."
}

func ids(all []*labs.Lab) string {
	var out []string
	for _, lab := range all {
		out = append(out, lab.ID)
	}
	return strings.Join(out, ", ")
}

// points are what a task earned of what it is worth. One that was done once
// earned all.
func points(t labs.Task, k progress.Task) (earned, of int) {
	_, of = t.Score(func(string) bool { return false })
	if k.Done {
		return of, of
	}
	return min(k.Points, of), of
}

func stateOf(lab *labs.Lab, store *progress.Store) progress.State {
	ids := make([]string, len(lab.Tasks))
	for i, t := range lab.Tasks {
		ids[i] = t.ID
	}
	return store.State(lab.ID, ids)
}

// Count spells a number of things.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// hours spells minutes.
func hours(minutes int) string {
	switch h, m := minutes/60, minutes%60; {
	case h == 0:
		return fmt.Sprintf("%d min", m)
	case m == 0:
		return fmt.Sprintf("%d h", h)
	default:
		return fmt.Sprintf("%d h %d min", h, m)
	}
}
