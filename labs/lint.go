package labs

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Lint returns every problem of a lab's folder: those of Load, those of its
// manifests, solutions and wrong answers, and what a learner would miss.
func Lint(fsys fs.FS) []Problem {
	lab, root, problems := load(fsys)
	used := map[string]bool{FileName: true}
	if lab != nil {
		problems = append(problems, lab.manners(root)...)
		for _, t := range lab.Tasks {
			used[t.Page] = true
			for _, f := range t.Solution {
				used[f] = true
			}
			for _, w := range t.Wrong {
				for _, f := range w.Files {
					used[f] = true
				}
			}
		}
		for _, f := range lab.Workloads {
			used[f] = true
		}
	}
	for _, f := range files(fsys) {
		if ext := path.Ext(f); f != FileName && (ext == ".yaml" || ext == ".yml") {
			problems = append(problems, lintManifest(fsys, f)...)
		}
		if lab != nil && !used[f] && inAnswers(f) {
			problems = append(problems, Problem{File: f, Message: "is used by no task", Cure: "name it in " + FileName + ", or remove it"})
		}
	}
	return problems
}

// files are the regular files of a folder, sorted; hidden ones are passed over.
func files(fsys fs.FS) []string {
	var found []string
	// What cannot be read is named where lab.yaml refers to it.
	_ = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case p != "." && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			found = append(found, p)
		}
		return nil
	})
	slices.Sort(found)
	return found
}

func inAnswers(f string) bool {
	return strings.HasPrefix(f, "solution/") || strings.HasPrefix(f, "wrong/") || strings.HasPrefix(f, "manifests/")
}

// manners finds what works and still leaves the learner alone: no page, an
// empty one, hints that do not climb all the way.
func (l *Lab) manners(root *yaml.Node) []Problem {
	v := &verifier{lab: l, root: root}
	for i, t := range l.Tasks {
		loc := []string{"tasks", itoa(i)}
		if t.Page == "" {
			v.add(loc, "has no page", "add page: FILE.md")
		} else if text, err := fs.ReadFile(l.FS, t.Page); err == nil && strings.TrimSpace(string(text)) == "" {
			v.problems = append(v.problems, Problem{File: t.Page, Line: 1, Message: "is empty", Cure: "tell the learner what to do and why"})
		}
		if len(t.Hints.Levels()) < 4 {
			v.add(append(loc, "hints"), "do not climb from a question over the concept and the field to the diff", "add the levels that are missing")
		}
		if len(t.Wrong) == 0 {
			v.add(loc, "knows no wrong answer", "add the mistake that learners make most, with its own hint")
		}
	}
	return v.problems
}
