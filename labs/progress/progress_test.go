package progress

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by save")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tasks := []string{"1", "2"}
	if got := s.State("04", tasks); got != New {
		t.Errorf("state %s, want %s", got, New)
	}
	s.At("04", "1")
	s.Task("04", "1").Done = true
	s.Task("04", "1").Hints = 3
	if got := s.State("04", tasks); got != InProgress {
		t.Errorf("state %s, want %s", got, InProgress)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := s.Save("04", now); err != nil {
		t.Fatal(err)
	}

	s, err = Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Lab("04"); l == nil || l.Task != "1" || !l.Updated.Equal(now) || l.Tasks["1"].Hints != 3 {
		t.Fatalf("read back %+v", s.Lab("04"))
	}
	s.Task("04", "2").Done = true
	if got := s.State("04", tasks); got != Done {
		t.Errorf("state %s, want %s", got, Done)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v, want the file alone", left, err)
	}
}

func TestForeignFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		data         string
		aside, seals bool
	}{
		"broken":        {"{", true, false},
		"empty":         {"", true, false},
		"not an object": {"[]", true, false},
		"nulls":         {`{"schema":"netdojo.dev/progress/v1","labs":{"04":null,"05":{"tasks":{"1":null}}}}`, false, false},
		"of later":      {`{"schema":"netdojo.dev/progress/v9","labs":{}}`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, FileName)
			if err := os.WriteFile(file, []byte(tc.data), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir)
			if (err != nil) != (tc.aside || tc.seals) {
				t.Errorf("open: %v", err)
			}
			if _, err := os.Stat(file + ".broken"); (err == nil) != tc.aside {
				t.Errorf("put aside: %v, want %v", err == nil, tc.aside)
			}
			s.Task("05", "1").Done = true
			err = s.Save("05", time.Now())
			if (err != nil) != tc.seals {
				t.Errorf("save: %v", err)
			}
			if tc.seals {
				if data, _ := os.ReadFile(file); string(data) != tc.data {
					t.Errorf("a file of a later netdojo was written to: %s", data)
				}
			}
		})
	}
}

func TestSaveSaysWhyNot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := Open(filepath.Join(file, "below"))
	if err := s.Save("04", time.Now()); err == nil {
		t.Error("saved below a file")
	}
}

// What the netdojo before wrote is read, and nothing of it is lost.
func TestReadsTheShapeBefore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, FileName)
	const v1 = `{"schema":"netdojo.dev/progress/v1","labs":{"04":{"task":"4.1","updated":"2026-01-02T03:04:05Z","tasks":{
		"4.1":{"done":true,"passed":2,"total":2,"hints":1,"sawSolution":true,"lastCheck":"2 of 2","predicted":2,"predictedWell":1}}}}}`
	if err := os.WriteFile(file, []byte(v1), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if changed := s.Meet(Version{Lab: "04", Digest: "l1", Tasks: map[string]string{"4.1": "t1"}}); len(changed) > 0 {
		t.Errorf("changed since it was not known what it was: %v", changed)
	}
	if err := s.Save("05", time.Now()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	want := Task{Digest: "t1", Done: true, Passed: 2, Total: 2, Hints: 1, SawSolution: true, LastCheck: "2 of 2", Predicted: 2, PredictedWell: 1}
	if l := s.Lab("04"); l.Task != "4.1" || l.Digest != "l1" || l.Updated.IsZero() || !reflect.DeepEqual(*l.Tasks["4.1"], want) {
		t.Errorf("read back %+v, %+v", l, l.Tasks["4.1"])
	}
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), Schema) {
		t.Errorf("written as %s, %v", data, err)
	}
}

// An update of a lab loses nothing, and says which tasks it changed.
func TestSurvivesAnUpdate(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	first := Version{Lab: "04", Digest: "l1", Tasks: map[string]string{"1": "a", "2": "b", "gone": "c"}}
	if changed := s.Meet(first); changed != nil || s.Lab("04") != nil {
		t.Errorf("a new lab: %v, %+v", changed, s.Lab("04"))
	}
	for id, digest := range first.Tasks {
		s.Took("04", id, digest)
		s.Task("04", id).Done = true
	}
	second := Version{Lab: "04", Digest: "l2", Tasks: map[string]string{"1": "a", "2": "b2", "new": "d"}}
	if changed := s.Meet(second); !slices.Equal(changed, []string{"2"}) {
		t.Errorf("changed: %v", changed)
	}
	if l := s.Lab("04"); !l.Tasks["2"].Done || !l.Tasks["2"].Earlier || l.Tasks["1"].Earlier || l.Tasks["gone"] == nil || l.Digest != "l2" {
		t.Errorf("after the update: %+v", l.Tasks)
	}
	if got := s.State("04", []string{"1", "2", "new"}); got != InProgress {
		t.Errorf("state %s, want %s", got, InProgress)
	}
	s.Meet(first)
	if s.Task("04", "2").Earlier {
		t.Error("the update was taken back, and the task is still of an earlier version")
	}
	s.Meet(second)
	s.Took("04", "2", "b2")
	if s.Task("04", "2").Earlier || len(s.Meet(second)) > 0 {
		t.Error("a task that was judged again is of an earlier version")
	}
}
