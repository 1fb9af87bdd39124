package lesson

import (
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/progress"
)

// aCourse is three labs, of which the last is after the first.
func aCourse(t *testing.T) ([]*labs.Lab, *labs.Course, *progress.Store) {
	t.Helper()
	store, err := progress.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lab := func(id string) *labs.Lab {
		return &labs.Lab{ID: id, Title: "Lab of " + id, Tasks: []labs.Task{{ID: id + ".1", Pairs: []labs.Pair{{Allow: "a", Deny: "d", Points: 3}}}}}
	}
	return []*labs.Lab{lab("a"), lab("b"), lab("c")}, &labs.Course{Title: "A course", Labs: []labs.Entry{
		{Lab: "a", Level: labs.Beginner, Minutes: 50},
		{Lab: "b", Level: labs.Beginner, Minutes: 20},
		{Lab: "c", Level: labs.Expert, Minutes: 5, Prerequisites: []string{"a"}},
	}}, store
}

func TestMap(t *testing.T) {
	all, course, store := aCourse(t)
	words := func() string {
		var out []string
		for _, s := range NewMap(all, course, store).Stops {
			out = append(out, s.Word())
		}
		return strings.Join(out, " ")
	}
	finish := func(id string) { store.Task(id, id+".1").Done = true }
	if got := words(); got != "next new later" {
		t.Errorf("at the beginning the labs are %q", got)
	}
	if got := NewMap(all, course, store).About(); got != "3 labs, 1 h 15 min; 0 done, 0 of 9 points." {
		t.Errorf("the course is told as %q", got)
	}
	store.Task("b", "b.1").Points = 1
	if err := store.Save("b", testTime); err != nil {
		t.Fatal(err)
	}
	if got := words(); got != "new in progress later" || NewMap(all, course, store).Next().Lab.ID != "b" {
		t.Errorf("with the second begun the labs are %q, want it to be gone on with", got)
	}
	if got := NewMap(all, course, store).Stops[2].Sentence(); got != "Lab c, Lab of c: later, expert, 5 minutes, 0 of 1 task done, 0 of 3 points, to be taken after a." {
		t.Errorf("a lab is told as %q", got)
	}
	if got := NewMap(all, course, store).After("b").Lab.ID; got != "a" {
		t.Errorf("after the second lab comes %s, want the first, since the third needs it", got)
	}
	finish("a")
	finish("b")
	if got := words(); got != "done done next" {
		t.Errorf("with two done the labs are %q", got)
	}
	if got := NewMap(all, course, store).About(); got != "3 labs, 1 h 15 min; 2 done, 6 of 9 points." {
		t.Errorf("the course is told as %q", got)
	}
	finish("c")
	if m := NewMap(all, course, store); m.Next() != nil || m.After("a") != nil {
		t.Errorf("with all done %v is next", m.Next())
	}
}

// TestMapOfNoCourse: labs that no course names have neither level nor time.
func TestMapOfNoCourse(t *testing.T) {
	all, _, store := aCourse(t)
	m := NewMap(all, nil, store)
	if got := m.Stops[2].Sentence(); got != "Lab c, Lab of c: new, 0 of 1 task done, 0 of 3 points." {
		t.Errorf("a lab is told as %q", got)
	}
	if got := m.About(); got != "3 labs; 0 done, 0 of 9 points." {
		t.Errorf("the labs are told as %q", got)
	}
}

// TestPoints: a pair earns its points when both halves pass.
func TestPoints(t *testing.T) {
	l, store := newLesson(t)
	l.Task.Pairs = []labs.Pair{{Allow: "one", Deny: "two", Points: 3}}
	one, two := verdict("after", "one", "allowed", "allowed"), verdict("after", "two", "allowed", "denied")
	session(l, Checking, one, two)
	if k := store.Task("04", "4.1"); k.Points != 0 || k.OutOf != 3 {
		t.Errorf("with one half it is %d of %d points", k.Points, k.OutOf)
	}
	two = verdict("after", "two", "denied", "denied")
	session(l, Checking, one, two)
	if k := store.Task("04", "4.1"); k.Points != 3 || k.OutOf != 3 {
		t.Errorf("with both it is %d of %d points", k.Points, k.OutOf)
	}
}
