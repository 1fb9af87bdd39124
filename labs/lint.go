package labs

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/policies/lint"
)

// Lint returns every problem of a lab's folder: those of Load, those of its
// manifests, solutions and wrong answers, and what a learner would miss.
func Lint(fsys fs.FS) []Problem {
	lab, root, problems := load(fsys, format.read)
	used := map[string]bool{FileName: true}
	told := map[string]bool{} // files of which something is wrong
	if lab != nil {
		problems = append(problems, lab.manners(root)...)
		problems = append(problems, lab.deadSelectors(root)...)
		for _, t := range lab.Tasks {
			used[t.Page], used[t.Skeleton] = true, true
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
			found := lintManifest(fsys, f)
			told[f] = len(found) > 0
			problems = append(problems, found...)
		}
		if lab != nil && !used[f] && inAnswers(f) {
			problems = append(problems, Problem{File: f, Message: "is used by no task", Cure: "name it in " + FileName + ", or remove it"})
		}
	}
	if lab != nil {
		problems = append(problems, lab.lintSolutions(told)...)
		problems = append(problems, lab.lintValues(root, problems)...)
	}
	return problems
}

// lintSolutions judges the policies of the solutions by the lab's workloads. Files of
// which something is told already are left out.
func (l *Lab) lintSolutions(told map[string]bool) []Problem {
	var problems []Problem
	beside := lint.Read(l.readable(l.Workloads, nil))
	for _, t := range l.Tasks {
		files := l.readable(t.Solution, told)
		if len(files) < len(t.Solution) {
			continue // what is missing may be what another policy needs
		}
		r := lint.Check(lint.Input{Files: files, Beside: beside, Namespace: l.Namespace})
		for _, p := range r.Problems {
			problems = append(problems, Problem{File: p.File, Line: p.Line, Column: p.Column, Message: p.Message, Cure: p.Cure})
		}
	}
	return problems
}

// readable are the files that can be read, but for those told.
func (l *Lab) readable(names []string, told map[string]bool) []lint.File {
	var out []lint.File
	for _, name := range names {
		if data, err := fs.ReadFile(l.FS, name); err == nil && !told[name] {
			out = append(out, lint.File{Name: name, Data: data})
		}
	}
	return out
}

// maxFiles bounds how many files of a folder are looked at: no lab has as many, and
// a home folder that is taken for one has.
const maxFiles = 4096

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
		if len(found) >= maxFiles {
			return fs.SkipAll
		}
		return nil
	})
	slices.Sort(found)
	return found
}

func inAnswers(f string) bool {
	return strings.HasPrefix(f, "solution/") || strings.HasPrefix(f, "wrong/") || strings.HasPrefix(f, "skeleton/") || strings.HasPrefix(f, "manifests/")
}

// manners finds what works and still leaves the learner alone: no page, an
// empty one, hints that do not climb all the way.
func (l *Lab) manners(root *yaml.Node) []Problem {
	v := &verifier{format: labFormat, fs: l.FS, root: root}
	for i, t := range l.Tasks {
		loc := []string{"tasks", itoa(i)}
		if t.Page == "" {
			v.add(loc, "has no page", "add page: FILE.md")
		} else if text, err := fs.ReadFile(l.FS, t.Page); err == nil && strings.TrimSpace(string(text)) == "" {
			v.problems = append(v.problems, Problem{File: t.Page, Line: 1, Message: "is empty", Cure: "tell the learner what to do and why"})
		} else if err == nil && !utf8.Valid(text) {
			line := 1 + bytes.Count(text[:firstInvalid(text)], []byte("\n"))
			v.problems = append(v.problems, Problem{File: t.Page, Line: line, Message: "is not written in UTF-8", Cure: "save it as UTF-8"})
		}
		if len(t.Checks) == 0 {
			continue // a quiz
		}
		if len(t.Hints.Levels()) < 4 {
			v.add(append(loc, "hints"), "do not climb from a question over the concept and the field to the diff", "add the levels that are missing")
		}
		if len(t.Wrong) == 0 {
			v.add(loc, "knows no wrong answer", "add the mistake that learners make most, with its own hint")
		}
	}
	pairs := 0
	for _, t := range l.Tasks {
		pairs += len(t.Pairs)
	}
	if pairs > 0 && pairs < leastPairs {
		v.add([]string{"tasks"}, fmt.Sprintf("%d pairs give points; a score says something from %d on", pairs, leastPairs),
			"add pairs, or remove those that there are")
	}
	return v.problems
}

// firstInvalid is where a text stops being UTF-8.
func firstInvalid(text []byte) int {
	at := 0
	for at < len(text) {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size < 2 {
			return at
		}
		at += size
	}
	return at
}

// leastPairs is how many pairs a lab with points has at least.
const leastPairs = 4
