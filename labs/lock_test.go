package labs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
)

// course is a folder of a course with one lab, x.
func course() fstest.MapFS {
	return fstest.MapFS{
		"course.yaml": &fstest.MapFile{Data: []byte("title: Mine\nlabs:\n  - {lab: x, level: beginner, minutes: 5}\n")},
		"x/lab.yaml":  &fstest.MapFile{Data: []byte(examLab)}, "x/page.md": &fstest.MapFile{Data: []byte("# Do it\n")},
		"x/solution/a.yaml": &fstest.MapFile{Data: []byte(policy)}, "x/pods.yaml": &fstest.MapFile{Data: []byte(pod)},
	}
}

func labX(t *testing.T, fsys fstest.MapFS) *labs.Lab {
	t.Helper()
	sub, err := fsys.Sub("x")
	if err != nil {
		t.Fatal(err)
	}
	lab, err := labs.Load(sub)
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

// A lock fits the labs that it was made of, and nothing else.
func TestLock(t *testing.T) {
	fsys := course()
	l, err := labs.LockOf(fsys, "v1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if l, err = labs.ReadLock("course.lock", text); err != nil {
		t.Fatal(err)
	}
	lab := labX(t, fsys)
	if err := l.Fits("course.lock", lab, "v1"); err != nil {
		t.Error(err)
	}
	changed := course()
	changed["x/page.md"] = &fstest.MapFile{Data: []byte("# Do it well\n")}
	other := course()
	other["x/lab.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(examLab, "id: x", "id: y", 1))}
	for want, err := range map[string]error{
		"course.lock: it pins lab x as sha256:":               l.Fits("course.lock", labX(t, changed), "v1"),
		"course.lock: it pins netdojo v1, and this is v2":     l.Fits("course.lock", lab, "v2"),
		"course.lock: it does not pin lab y":                  l.Fits("course.lock", labX(t, other), "v1"),
		"course.lock: there are no labs to pin":               second(labs.LockOf(fstest.MapFS{}, "v1")),
		"course.lock: it is no lock of a course: ":            second(labs.ReadLock("course.lock", []byte("labs: [x]"))),
		"course.lock: it is no lock of a course: yaml":        second(labs.ReadLock("course.lock", append([]byte("more: 1\n"), text...))),
		"course.lock:1: it is of the form \"netdojo.dev/cour": second(labs.ReadLock("course.lock", []byte("schema: netdojo.dev/course-lock/v2\nnetdojo: v9\n"))),
		"course.lock:1: it pins nothing":                      second(labs.ReadLock("course.lock", []byte("schema: "+labs.LockSchema+"\nnetdojo: v1\n"))),
		"course.lock: something follows its end":              second(labs.ReadLock("course.lock", append(text, "---\nx: 1\n"...))),
	} {
		var e *labs.LockError
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) || e.Cure() == "" {
			t.Errorf("%v, want %q with a cure", err, want)
		}
	}
}

func second(_ *labs.Lock, err error) error { return err }

// Lint names the labs that are not those of the lock, by its line.
func TestLintOfALock(t *testing.T) {
	fsys := course()
	base := len(labs.LintFolder(fsys))
	l, err := labs.LockOf(fsys, "v1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		lock string
		want []string
	}{
		"fits":        {string(text), nil},
		"another lab": {strings.Replace(string(text), "x: sha256:", "x: sha256:0", 1), []string{`course.lock:5: pins another lab "x" than there is`}},
		"too many":    {string(text) + "  z: sha256:1\n", []string{`course.lock:6: pins lab "z", which is not there`}},
		"too few":     {strings.Replace(string(text), "x: sha256:", "z: sha256:", 1), []string{`course.lock:5: pins lab "z"`, `course.lock: does not pin lab "x"`}},
		"broken":      {"}", []string{"course.lock: it is no lock of a course"}},
	} {
		fsys["course.lock"] = &fstest.MapFile{Data: []byte(tc.lock)}
		var found []labs.Problem
		for _, p := range labs.LintFolder(fsys) {
			if p.File == "course.lock" {
				found = append(found, p)
			}
		}
		if len(found) != len(tc.want) || len(labs.LintFolder(fsys)) != base+len(found) {
			t.Errorf("%s: found %v, want %v", name, found, tc.want)
			continue
		}
		for i, p := range found {
			if !strings.HasPrefix(fmt.Sprint(p), tc.want[i]) || p.Cure == "" {
				t.Errorf("%s: %v, want %q with a cure", name, p, tc.want[i])
			}
		}
	}
}

// The catalogue can be pinned: each lab is in it.
func TestLockOfCatalogue(t *testing.T) {
	l, err := labs.LockOfCatalogue("v1")
	if err != nil {
		t.Fatal(err)
	}
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range all {
		if err := l.Fits("course.lock", lab, "v1"); err != nil {
			t.Error(err)
		}
	}
}
