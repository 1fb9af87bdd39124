package progress

import (
	"os"
	"path/filepath"
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
