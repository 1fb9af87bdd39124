package labs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
)

// TestPlaces asks lab 08 of the catalogue where it declares things, and looks there.
func TestPlaces(t *testing.T) {
	lab, err := labs.Open("08")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("catalogue/08/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for name, tc := range map[string]struct {
		place labs.Place
		want  string // how the line begins
	}{
		"a task":                                  {lab.TaskPlace("8.1"), `- id: "8.1"`},
		"a cell of a matrix":                      {lab.CheckPlace("8.1", "reach.own-scanner.shelf"), "- id: reach"},
		"a check that there is not":               {lab.CheckPlace("8.1", "nonsense"), `- id: "8.1"`},
		"a wrong answer":                          {lab.WrongPlace("8.1", "pod-only", ""), "- name: pod-only"},
		"how a check fails":                       {lab.WrongPlace("8.1", "any-namespace", "reach.museum-scanner.catalog"), "- {check: reach.museum-scanner.catalog, verdict: allowed"},
		"a check that the answer is silent about": {lab.WrongPlace("8.1", "pod-only", "reach.own-scanner.shelf"), "- name: pod-only"},
		"its points":                              {lab.WrongFieldPlace("8.1", "two-items", "points"), "points: 2"},
	} {
		if tc.place.File != "08/lab.yaml" || tc.place.Line == 0 {
			t.Errorf("%s is in %s", name, tc.place)
			continue
		}
		if got := strings.TrimSpace(lines[tc.place.Line-1]); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s is in %s: %q, want %q", name, tc.place, got, tc.want)
		}
	}
	lab, err = labs.Open("./catalogue/08")
	if err != nil {
		t.Fatal(err)
	}
	if got := lab.TaskPlace("8.1").File; got != "catalogue/08/lab.yaml" {
		t.Errorf("a lab of a folder is in %s", got)
	}
}

func TestOpenAll(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := dir + "/" + name
		if err := os.MkdirAll(file[:strings.LastIndex(file, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	good := "id: ID\ntitle: T\ntasks: [{id: a, title: T, quiz: [{id: q, ask: Q, choices: [{text: a, right: true}, {text: b}]}]}]\n"
	write("one/lab.yaml", strings.ReplaceAll(good, "ID", "one"))
	write("two/lab.yaml", strings.ReplaceAll(good, "ID", "two"))
	write("bad/lab.yaml", "id: bad\n")
	write("course.yaml", "title: C\nlabs: [{lab: two, level: beginner, minutes: 1}, {lab: one, level: beginner, minutes: 1}]\n")
	all, invalid, err := labs.OpenAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].ID != "two" || all[1].ID != "one" {
		t.Errorf("the labs are %v, want them by the course", all)
	}
	if len(invalid) != 1 || !strings.HasSuffix(invalid[0].Lab, "bad") {
		t.Errorf("invalid are %v", invalid)
	}
	if all, _, err := labs.OpenAll("04"); err != nil || len(all) != 1 || all[0].Dir != "" {
		t.Errorf("a lab of the catalogue: %v, %v", all, err)
	}
	if _, _, err := labs.OpenAll(t.TempDir()); err == nil {
		t.Error("an empty folder is taken for labs")
	}
}
