package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/manifests/object"
)

// verifier checks what a schema cannot say.
type verifier struct {
	format   format
	fs       fs.FS
	root     *yaml.Node
	problems []Problem
}

// verify returns what is wrong with a lab that fits the schema: ids that come
// twice, files that are not there, checks that prove nothing.
func (l *Lab) verify(root *yaml.Node) []Problem {
	v := &verifier{format: labFormat, fs: l.FS, root: root}
	for i, f := range l.Workloads {
		v.file(f, "workloads", strconv.Itoa(i))
	}
	ids := map[string]bool{}
	for i, t := range l.Tasks {
		loc := []string{"tasks", strconv.Itoa(i)}
		if ids[t.ID] {
			v.add(append(loc, "id"), fmt.Sprintf("task %q comes twice", t.ID), "give every task its own id")
		}
		ids[t.ID] = true
		v.task(t, loc, l.Exam != nil && l.Exam.Pack)
	}
	l.examProblems(v)
	l.valueProblems(v)
	return v.problems
}

func (v *verifier) add(location []string, message, cure string) {
	_, value := object.NodeAt(v.root, location)
	v.problems = append(v.problems, v.format.at(value, pathText(location), message, cure))
}

func (v *verifier) file(name string, location ...string) {
	if !fs.ValidPath(name) {
		v.add(location, fmt.Sprintf("%q is not a path inside the lab's folder", name), "write it relative to the folder, without ./ and ..")
		return
	}
	info, err := fs.Stat(v.fs, name)
	var kind *hostfile.KindError
	var size *hostfile.SizeError
	switch {
	case errors.As(err, &kind):
		v.add(location, fmt.Sprintf("%s cannot be read: %s", name, kind), "put the file itself there, in the lab's folder")
	case errors.As(err, &size):
		v.add(location, fmt.Sprintf("%s cannot be read: %s", name, size), "shorten it")
	case err != nil:
		v.add(location, fmt.Sprintf("%s cannot be read: %s", name, reason(err)), v.similar(name))
	case info.IsDir():
		v.add(location, name+" is a folder", "name the files in it")
	}
}

// similar suggests a file that exists.
func (v *verifier) similar(name string) string {
	var files []string
	// A folder that cannot be read has no files to suggest.
	_ = fs.WalkDir(v.fs, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		if len(files) >= maxFiles {
			return fs.SkipAll
		}
		return nil
	})
	if near := typo.Nearest(name, files); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "create it, or correct the path"
}

// task checks a task; one of a pack judges nothing.
func (v *verifier) task(t Task, loc []string, pack bool) {
	at := func(steps ...string) []string { return append(slices.Clone(loc), steps...) }
	if t.Page != "" {
		v.file(t.Page, at("page")...)
	}
	if t.Skeleton != "" {
		v.file(t.Skeleton, at("skeleton")...)
	}
	for i, f := range t.Solution {
		v.file(f, at("solution", strconv.Itoa(i))...)
	}
	switch {
	case len(t.Checks) == 0 && len(t.Quiz) == 0 && !pack:
		v.add(loc, `lacks "checks"`, "add checks, or a quiz")
	case len(t.Checks) > 0 && t.Solution == nil:
		v.add(loc, `lacks "solution"`, "add solution")
	}
	ids := map[string]bool{}
	for i, c := range t.Checks {
		cl := at("checks", strconv.Itoa(i))
		for _, cell := range c.Cells() {
			if ids[cell.ID] {
				v.add(append(slices.Clone(cl), "id"), fmt.Sprintf("check %q comes twice", cell.ID), "give every check of a task its own id")
			}
			ids[cell.ID] = true
		}
		v.check(c, cl)
	}
	cells := t.cells()
	for i, id := range t.Predict {
		v.knownCheck(cells, id, at("predict", strconv.Itoa(i)))
	}
	v.quiz(t.Quiz, at("quiz"))
	for i, p := range t.Pairs {
		v.pair(cells, p, at("pairs", strconv.Itoa(i)))
	}
	v.wrong(t, at("wrong"))
}

func (v *verifier) wrong(t Task, loc []string) {
	names := map[string]bool{}
	cells := t.cells()
	for i, w := range t.Wrong {
		wl := append(slices.Clone(loc), strconv.Itoa(i))
		if names[w.Name] {
			v.add(append(slices.Clone(wl), "name"), fmt.Sprintf("wrong answer %q comes twice", w.Name), "give each its own name")
		}
		names[w.Name] = true
		for j, f := range w.Files {
			v.file(f, append(slices.Clone(wl), "files", strconv.Itoa(j))...)
		}
		failed := map[string]bool{}
		for j, f := range w.Fails {
			v.fails(cells, f, append(slices.Clone(wl), "fails", strconv.Itoa(j)))
			failed[f.Check] = true
		}
		if w.Points == nil {
			continue
		}
		if points, _ := t.Score(func(id string) bool { return !failed[id] }); points != *w.Points {
			v.add(append(slices.Clone(wl), "points"), fmt.Sprintf("is %d, but with the checks that fail it earns %d", *w.Points, points),
				"correct the points, or the checks below fails")
		}
	}
}

func (v *verifier) quiz(questions []Question, loc []string) {
	ids := map[string]bool{}
	for i, q := range questions {
		ql := append(slices.Clone(loc), strconv.Itoa(i))
		if ids[q.ID] {
			v.add(append(slices.Clone(ql), "id"), fmt.Sprintf("question %q comes twice", q.ID), "give every question of a task its own id")
		}
		ids[q.ID] = true
		right := 0
		for _, c := range q.Choices {
			if c.Right {
				right++
			}
		}
		switch right {
		case 0:
			v.add(append(ql, "choices"), "has no right answer", "add right: true to the ones that are")
		case len(q.Choices):
			v.add(append(ql, "choices"), "has no wrong answer", "add a mistake that learners make")
		}
	}
}

// pair checks that both halves are what they are called and share an end.
func (v *verifier) pair(cells []checks.Check, p Pair, loc []string) {
	allow, deny := v.knownCheck(cells, p.Allow, append(slices.Clone(loc), "allow")), v.knownCheck(cells, p.Deny, append(slices.Clone(loc), "deny"))
	if allow == nil || deny == nil {
		return
	}
	if allow.After != checks.ExpectAllowed {
		v.add(append(slices.Clone(loc), "allow"), fmt.Sprintf("check %q is not allowed after the policy", p.Allow), "name one with after: allowed")
	}
	if deny.After != checks.ExpectDenied && deny.After != checks.ExpectDeniedL7 {
		v.add(append(slices.Clone(loc), "deny"), fmt.Sprintf("check %q is not denied after the policy", p.Deny), "name one with after: denied")
	}
	if allow.From.String() != deny.From.String() && allow.Target() != deny.Target() {
		v.add(loc, fmt.Sprintf("checks %q and %q share neither source nor destination", p.Allow, p.Deny),
			"pair an allow and a deny of one pod, or to one destination")
	}
}

// knownCheck finds a check by its id, and says so when there is none.
func (v *verifier) knownCheck(cells []checks.Check, id string, loc []string) *checks.Check {
	var ids []string
	for i, c := range cells {
		if c.ID == id {
			return &cells[i]
		}
		ids = append(ids, c.ID)
	}
	cure := "known checks: " + strings.Join(ids, ", ")
	if near := typo.Nearest(id, ids); near != "" {
		cure = fmt.Sprintf("did you mean %q?", near)
	}
	v.add(loc, fmt.Sprintf("the task has no check %q", id), cure)
	return nil
}

func (v *verifier) check(c checks.Check, loc []string) {
	at := func(step string) []string { return append(slices.Clone(loc), step) }
	for _, p := range c.Problems() {
		v.add(append(slices.Clone(loc), p.Path...), p.Message, p.Cure)
	}
	if c.Matrix != nil {
		return
	}
	if c.InPod() && c.From.Selector() == "" {
		v.add(at("from"), "selects no pod", "name the pod's app or labels")
	}
	expects := c.Expects()
	for _, e := range []struct {
		phase string
		want  checks.Expect
	}{{"before", c.Before}, {"after", c.After}} {
		if e.want != "" && !slices.Contains(expects, e.want) {
			var known []string
			for _, k := range expects {
				known = append(known, string(k))
			}
			v.add(at(e.phase), fmt.Sprintf("the probe of check %q is never %s", c.ID, e.want), "it can be "+strings.Join(known, ", "))
		}
	}
	switch {
	case c.Before == "" && c.After == "":
		v.add(loc, fmt.Sprintf("check %q expects nothing", c.ID), "add before, after or both")
	case (c.After == checks.ExpectDenied || c.After == checks.ExpectDeniedL7) && c.Before == "":
		v.add(at("after"), fmt.Sprintf("check %q is denied without a control", c.ID), "add before: allowed, so that the deny proves the policy")
	}
	if c.Status != 0 && c.Before != checks.ExpectAllowed && c.After != checks.ExpectAllowed {
		v.add(at("status"), "no phase expects this check to be allowed", "remove status")
	}
}

func (v *verifier) fails(cells []checks.Check, f Fails, loc []string) {
	c := v.knownCheck(cells, f.Check, append(slices.Clone(loc), "check"))
	if c == nil {
		return
	}
	if after := c.After; after == "" || string(f.Verdict) == string(after) && c.Status == 0 {
		v.add(loc, fmt.Sprintf("check %q cannot fail like this: after the policy it expects %q", f.Check, after), "name the verdict that the wrong answer brings")
	}
	if f.Cause != "" && !slices.Contains(checks.Causes(), f.Cause) {
		var known []string
		for _, c := range checks.Causes() {
			known = append(known, string(c))
		}
		cure := "known causes: " + strings.Join(known, ", ")
		if near := typo.Nearest(string(f.Cause), known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		v.add(append(loc, "cause"), fmt.Sprintf("%q is not known", f.Cause), cure)
	}
}
