package progress

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// at is a reading some minutes after noon, by the wall and by the machine's start.
func at(wall, up float64, boot string) Reading {
	minutes := func(m float64) time.Duration { return time.Duration(m * float64(time.Minute)) }
	r := Reading{Wall: noon.Add(minutes(wall)), Boot: boot}
	if boot != "" {
		r.UpMs = minutes(100 + up).Milliseconds()
	}
	return r
}

// The time of an exam runs whatever happens to the machine, and a clock that was set
// is noticed.
func TestExamsTime(t *testing.T) {
	for name, tc := range map[string]struct {
		readings []Reading
		left     float64 // of 60 + 15 minutes
		moved    []float64
	}{
		"as usual":                    {[]Reading{at(10, 10, "a"), at(20, 20, "a")}, 55, nil},
		"suspended":                   {[]Reading{at(40, 40, "a")}, 35, nil},
		"over":                        {[]Reading{at(80, 80, "a")}, -5, nil},
		"drifting":                    {[]Reading{at(10.05, 10, "a")}, 64.95, nil},
		"a virtual machine was still": {[]Reading{at(10, 10, "a"), at(40, 11, "a")}, 35, []float64{29}},
		"set back":                    {[]Reading{at(10, 10, "a"), at(-10, 20, "a")}, 55, []float64{-30}},
		"set back, then right again":  {[]Reading{at(-20, 10, "a"), at(20, 20, "a")}, 25, []float64{-30, 30}},
		"restarted":                   {[]Reading{at(10, 10, "a"), at(30, -90, "b")}, 45, nil},
		"restarted and set back":      {[]Reading{at(10, 10, "a"), at(5, -90, "b"), at(6, -89, "b")}, 64, []float64{-5}},
		"restarted and set further":   {[]Reading{at(10, 10, "a"), at(70, -90, "b")}, 5, nil},
		"no clock but the wall":       {[]Reading{at(10, 0, ""), at(30, 0, "")}, 45, nil},
		"no clock, set back":          {[]Reading{at(10, 0, ""), at(5, 0, ""), at(15, 0, "")}, 55, []float64{-5}},
	} {
		t.Run(name, func(t *testing.T) {
			start := at(0, 0, tc.readings[0].Boot)
			e := Begin("sha256:aa", "v1", 60, 15, 1, start)
			for _, r := range tc.readings {
				e.Observe(r)
			}
			if got := e.Left().Minutes(); got < tc.left-0.001 || got > tc.left+0.001 {
				t.Errorf("%v minutes are left, want %v", got, tc.left)
			}
			if len(e.Moved) != len(tc.moved) {
				t.Fatalf("moved %+v, want %v", e.Moved, tc.moved)
			}
			for i, m := range e.Moved {
				if got := float64(m.ByMs) / 60000; got != tc.moved[i] {
					t.Errorf("moved by %v minutes, want %v", got, tc.moved[i])
				}
			}
			if !e.Intact() || !e.Running() {
				t.Errorf("intact %v, running %v", e.Intact(), e.Running())
			}
			if want := e.Seen.Wall.Add(e.Left()); !e.Ends().Equal(want) {
				t.Errorf("ends %s, want %s", e.Ends(), want)
			}
		})
	}
}

// A clock that is set all the time fills no disk.
func TestMovesAreBounded(t *testing.T) {
	e := Begin("sha256:aa", "v1", 60, 0, 1, at(0, 0, "a"))
	for i := range 200 {
		e.Observe(at(float64(10*i%70), float64(i)/100, "a"))
	}
	if len(e.Moved) != maxMoved {
		t.Errorf("%d moves are kept", len(e.Moved))
	}
}

// The machine's clocks go forward, and name the same start.
func TestNow(t *testing.T) {
	a, b := Now(), Now()
	if a.Boot != b.Boot || b.UpMs < a.UpMs || a.Boot != "" && a.UpMs == 0 {
		t.Errorf("read %+v, then %+v", a, b)
	}
}

// What an exam was stays in the file, is known as changed where it was, and is left
// alone by a netdojo that knows no exams.
func TestExamIsKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, FileName)
	open := func() *Store {
		t.Helper()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	save := func(s *Store, lab string) {
		t.Helper()
		if err := s.Save(lab, noon); err != nil {
			t.Fatal(err)
		}
	}
	early := open() // a screen that was open before the exam began
	s := open()
	if _, e := s.Exam(); e.Running() {
		t.Error("an exam goes on that nobody began")
	}
	s.Task("e1", "e1.1").Done = true
	s.SetExam("e1", Begin("sha256:aa", "v1", 60, 15, 1, at(0, 0, "a")))
	save(s, "e1")
	if data, _ := os.ReadFile(file); !strings.Contains(string(data), SchemaExam) {
		t.Errorf("a netdojo without exams would write over %s", data)
	}

	early.Task("02", "2.1").Done = true
	early.Forget("e1")
	early.Put("e1", nil)
	save(early, "02")
	s = open()
	lab, e := s.Exam()
	if lab != "e1" || !e.Intact() || e.Limit() != 75*time.Minute || s.Task("02", "2.1").Done != true {
		t.Fatalf("after another netdojo saved, lab %q has the exam %+v", lab, e)
	}
	s.Forget("e1")
	s.Put("e1", &Lab{Tasks: map[string]*Task{"e1.1": nil}})
	save(s, "e1")
	if _, e = open().Exam(); !e.Running() {
		t.Error("a lab that is begun anew ends its exam")
	}

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), `"extra": 15`, `"extra": 600`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open()
	_, e = s.Exam()
	e.Observe(at(1, 1, "a"))
	if e.Intact() {
		t.Error("an exam whose time was changed by hand is taken for whole")
	}
	e.End()
	if e.Intact() || e.Running() || e.Ended.IsZero() {
		t.Errorf("after its end it is %+v", e)
	}
	s.SetExam("e1", e)
	save(s, "e1")
	s = open()
	if _, e := s.Exam(); e.Running() {
		t.Error("an exam that was ended goes on")
	}
	if e := s.ExamOf("e1"); e == nil || e.Running() || e.Attempt != 1 {
		t.Errorf("the exam that was is %+v", e)
	}
}
