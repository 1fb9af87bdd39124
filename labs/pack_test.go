package labs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
)

// A pack of each exam of the catalogue is a lab, holds nothing that gives an answer
// away, and is known as the lab's own by its digest.
func TestPack(t *testing.T) {
	for _, id := range []string{"e1", "e2"} {
		t.Run(id, func(t *testing.T) {
			lab, err := labs.Open(id)
			if err != nil {
				t.Fatal(err)
			}
			pack, err := lab.Pack()
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "pack")
			if err := pack.Write(dir); err != nil {
				t.Fatal(err)
			}
			if err := pack.Write(dir); !errors.Is(err, fs.ErrExist) {
				t.Errorf("written over what is there: %v", err)
			}
			if p := labs.Lint(labs.FolderFS(dir)); len(p) > 0 {
				t.Errorf("lint finds %v", p)
			}
			given, err := labs.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			again, err := given.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if again.Digest != pack.Digest {
				t.Errorf("the pack's digest is %s, the lab's %s", again.Digest, pack.Digest)
			}
			if len(given.Tasks) != len(lab.Tasks) || given.Exam.Minutes != 60 || len(given.Workloads) != len(lab.Workloads) {
				t.Errorf("the pack has %d tasks and %d workloads", len(given.Tasks), len(given.Workloads))
			}
			secretsOf(t, lab, dir)
		})
	}
}

// secretsOf looks for what only the instructor has, in all files of a folder.
func secretsOf(t *testing.T, lab *labs.Lab, dir string) {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if rel, _ := filepath.Rel(dir, path); strings.HasPrefix(rel, "solution") || strings.HasPrefix(rel, "wrong") {
			t.Errorf("the pack holds %s", rel)
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := all.String()
	for _, task := range lab.Tasks {
		for _, h := range task.Hints.Levels() {
			if strings.Contains(text, strings.TrimSpace(h)) {
				t.Errorf("the pack holds the hint %q", h)
			}
		}
		for _, w := range task.Wrong {
			if strings.Contains(text, strings.TrimSpace(w.Hint)) {
				t.Errorf("the pack holds the wrong answer %s", w.Name)
			}
		}
		for _, c := range task.Checks {
			if strings.Contains(text, c.ID) {
				t.Errorf("the pack holds the check %s", c.ID)
			}
		}
	}
	if m := regexp.MustCompile(`(?m)^\s*(checks|pairs|hints|after|before|quiz|predict|fails):`).FindString(text); m != "" {
		t.Errorf("the pack has a field %q", m)
	}
}

// What a learner sees makes the digest; what only the instructor has does not.
func TestPackDigest(t *testing.T) {
	digest := func(change func(fstest.MapFS)) string {
		t.Helper()
		fsys := fstest.MapFS{
			"lab.yaml": &fstest.MapFile{Data: []byte(examLab)}, "page.md": &fstest.MapFile{Data: []byte("# Do it\n")},
			"solution/a.yaml": &fstest.MapFile{Data: []byte(policy)}, "pods.yaml": &fstest.MapFile{Data: []byte(pod)},
		}
		change(fsys)
		lab, err := labs.Load(fsys)
		if err != nil {
			t.Fatal(err)
		}
		p, err := lab.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	edit := func(file, old, new string) func(fstest.MapFS) {
		return func(f fstest.MapFS) {
			if !strings.Contains(string(f[file].Data), old) {
				t.Fatalf("%s has no %q", file, old)
			}
			f[file] = &fstest.MapFile{Data: []byte(strings.Replace(string(f[file].Data), old, new, 1))}
		}
	}
	was := digest(func(fstest.MapFS) {})
	for name, tc := range map[string]struct {
		change func(fstest.MapFS)
		same   bool
	}{
		"another solution": {edit("solution/a.yaml", "name: closed", "name: shut"), true},
		"another check":    {edit("lab.yaml", "after: denied", "after: allowed"), true},
		"a comment":        {edit("lab.yaml", "id: x", "id: x # mine"), true},
		"another page":     {edit("page.md", "Do it", "Do it well"), false},
		"another pod":      {edit("pods.yaml", "app: a", "app: b"), false},
		"another time":     {edit("lab.yaml", "minutes: 60", "minutes: 90"), false},
		"another title":    {edit("lab.yaml", "title: Close it", "title: Shut it"), false},
	} {
		if now := digest(tc.change); (now == was) != tc.same {
			t.Errorf("%s: the same %v, want %v", name, now == was, tc.same)
		}
	}
}

func TestNoExam(t *testing.T) {
	lab, err := labs.Open("02")
	if err != nil {
		t.Fatal(err)
	}
	var no *labs.NoExamError
	if _, err := lab.Pack(); !errors.As(err, &no) || no.Cure() == "" {
		t.Errorf("a pack of a lab that is no exam: %v", err)
	}
}

// A pack into which answers were put is no pack.
func TestPackWithAnswers(t *testing.T) {
	const head = "id: x\ntitle: Close it\nexam: {minutes: 60, pack: true}\ntasks:\n  - id: \"1\"\n    title: Close\n    page: page.md\n"
	for name, tc := range map[string]struct {
		more string
		line int // of the problem; 0 for none
	}{
		"as it is made": {"", 0},
		"a check":       {"    checks: [{id: shut, from: {app: a}, to: \"http://b:8080\", before: allowed, after: denied}]\n    solution: []\n", 5},
		"a solution":    {"    solution: [solution/a.yaml]\n", 5},
		"a quiz":        {"    quiz: [{id: q, ask: \"What?\", choices: [{text: a, right: true}, {text: b}]}]\n", 5},
		"a hint":        {"    hints: {diff: \"podSelector: {}\"}\n", 5},
		"a wrong one":   {"    wrong: [{name: w, files: [solution/a.yaml], hint: no, fails: [{check: c}]}]\n", 5},
	} {
		_, err := labs.Load(fstest.MapFS{
			"lab.yaml": &fstest.MapFile{Data: []byte(head + tc.more)}, "page.md": &fstest.MapFile{Data: []byte("# Do it\n")},
			"solution/a.yaml": &fstest.MapFile{Data: []byte(policy)},
		})
		var invalid *labs.InvalidError
		found := errors.As(err, &invalid) && slices.ContainsFunc(invalid.Problems, func(p labs.Problem) bool {
			return p.Line == tc.line && p.Cure != "" && strings.Contains(p.Message, "has what no pack has")
		})
		if found != (tc.line > 0) || tc.line == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A link in a lab's folder that leads out of it is not packed.
func TestPackTakesNoLinks(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"lab.yaml": examLab, "pods.yaml": pod, "solution/a.yaml": policy} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "secret.md")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.md")
	if err := os.Symlink(outside, page); err != nil {
		t.Fatal(err)
	}
	var invalid *labs.InvalidError
	if _, err := labs.Open(dir); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "page.md") {
		t.Fatalf("a link out of the folder is taken: %v", err)
	}
	// One that is put there after the lab was opened is refused when the pack is made.
	if err := errors.Join(os.Remove(page), os.WriteFile(page, []byte("# Do it\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	lab, err := labs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(page), os.Symlink(outside, page)); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Pack(); err == nil || !strings.Contains(err.Error(), "page.md") {
		t.Errorf("a link out of the folder is packed: %v", err)
	}
}

const examLab = `id: x
title: Close it
workloads: [pods.yaml]
exam: {minutes: 60}
tasks:
  - id: "x.1"
    title: Close
    page: page.md
    checks:
      - {id: shut, from: {app: a}, to: "http://b:8080", before: allowed, after: denied}
    solution: [solution/a.yaml]
`

const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}}
`

const pod = `apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}}
spec: {containers: [{name: c, image: x}]}
`
