package tui

import (
	"fmt"
	"testing"

	"github.com/netdojo/netdojo/labs"
	kept "github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/tui/progress"
)

// aCourse is a fake with a course of five labs, of which the first is done and the
// second in progress.
func aCourse(t *testing.T) (f *fake, state string) {
	t.Helper()
	f, state = newFake(), t.TempDir()
	f.labs, f.course = nil, &labs.Course{Title: "Network policies, from the first to the last"}
	for i, title := range []string{"Reading failure", "Default deny", "CIDR, except and the metadata service", "Cilium network policies", "Capstone: a small shop, zero trust"} {
		lab := testLab()
		lab.ID, lab.Title = fmt.Sprintf("%02d", i+1), title
		lab.Tasks[0].Pairs = []labs.Pair{{Allow: "kubernetes-io", Deny: "cilium-io", Points: 4}}
		f.labs = append(f.labs, lab)
		e := labs.Entry{Lab: lab.ID, Level: labs.Intermediate, Minutes: 15}
		if i > 0 {
			e.Prerequisites = []string{fmt.Sprintf("%02d", i)}
		}
		f.course.Labs = append(f.course.Labs, e)
	}
	store, err := progress.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	*store.Task("01", "4.1") = progress.Task{Done: true, Passed: 2, Total: 2}
	*store.Task("01", "4.2") = progress.Task{Done: true, Passed: 1, Total: 1}
	*store.Task("02", "4.1") = progress.Task{Done: true, Passed: 2, Total: 2, Hints: 1}
	if err := store.Save("02", flowAt); err != nil {
		t.Fatal(err)
	}
	return f, state
}

// TestCourseMap: the start page in every size, with the lab to go on with chosen.
func TestCourseMap(t *testing.T) {
	for _, size := range append(sizes, struct{ w, h int }{200, 60}) {
		for name, plain := range map[string]bool{"": false, "-ascii": true} {
			label := fmt.Sprintf("%dx%d%s", size.w, size.h, name)
			t.Run(label, func(t *testing.T) {
				f, state := aCourse(t)
				d := drive(t, f, Options{ASCII: plain, StateDir: state}, size.w, size.h)
				d.golden("map-" + label)
				d.keys("down")
				d.sees("later", "To know before: ")
			})
		}
	}
}

// TestFirstVisit: who was never here reads what this is, and is led to the first
// lab.
func TestFirstVisit(t *testing.T) {
	f, _ := aCourse(t)
	d := drive(t, f, Options{}, 120, 40)
	d.sees("Write policies on a cluster of your own", "5 labs, 1 h 15 min; 0 done, 0 of 20 points.", "Next: lab 01, Reading failure.", "→ next")
	d.keys("enter")
	d.idle()
	if got := d.m.lab.lesson.Lab.ID; got != "01" {
		t.Errorf("Enter opens lab %s", got)
	}
}

// TestAfterAnExam: a lab that was only taken as an exam begins from its beginning, with the
// checks before the policy that denies rest on.
func TestAfterAnExam(t *testing.T) {
	f, state := newFake(), t.TempDir()
	store, err := progress.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	store.SetExam("04", kept.Begin("pack", "v1", 60, 0, 1, kept.Reading{Wall: flowAt}))
	if err := store.Save("04", flowAt); err != nil {
		t.Fatal(err)
	}
	entered(t, f, Options{StateDir: state}, 80, 24)
	if f.count("enter") != 1 || f.count("resume") != 0 {
		t.Errorf("calls %v, want the lab entered", f.calls)
	}
}
