package labs

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/manifests"
)

// verifier checks what a schema cannot say.
type verifier struct {
	lab      *Lab
	root     *yaml.Node
	problems []Problem
}

// verify returns what is wrong with a lab that fits the schema: ids that come
// twice, files that are not there, checks that prove nothing.
func (l *Lab) verify(root *yaml.Node) []Problem {
	v := &verifier{lab: l, root: root}
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
		v.task(t, loc)
	}
	return v.problems
}

func (v *verifier) add(location []string, message, cure string) {
	_, value := manifests.NodeAt(v.root, location)
	v.problems = append(v.problems, at(value, pathText(location), message, cure))
}

func (v *verifier) file(name string, location ...string) {
	if !fs.ValidPath(name) {
		v.add(location, fmt.Sprintf("%q is not a path inside the lab's folder", name), "write it relative to the folder, without ./ and ..")
		return
	}
	info, err := fs.Stat(v.lab.FS, name)
	switch {
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
	_ = fs.WalkDir(v.lab.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if near := nearest(name, files); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "create it, or correct the path"
}

func (v *verifier) task(t Task, loc []string) {
	at := func(steps ...string) []string { return append(slices.Clone(loc), steps...) }
	if t.Page != "" {
		v.file(t.Page, at("page")...)
	}
	for i, f := range t.Solution {
		v.file(f, at("solution", strconv.Itoa(i))...)
	}
	var ids []string
	for i, c := range t.Checks {
		cl := at("checks", strconv.Itoa(i))
		if slices.Contains(ids, c.ID) {
			v.add(append(cl, "id"), fmt.Sprintf("check %q comes twice", c.ID), "give every check of a task its own id")
		}
		ids = append(ids, c.ID)
		v.check(c, cl)
	}
	names := map[string]bool{}
	for i, w := range t.Wrong {
		wl := at("wrong", strconv.Itoa(i))
		if names[w.Name] {
			v.add(append(wl, "name"), fmt.Sprintf("wrong answer %q comes twice", w.Name), "give each its own name")
		}
		names[w.Name] = true
		for j, f := range w.Files {
			v.file(f, append(slices.Clone(wl), "files", strconv.Itoa(j))...)
		}
		for j, f := range w.Fails {
			v.fails(t, f, append(slices.Clone(wl), "fails", strconv.Itoa(j)))
		}
	}
}

func (v *verifier) check(c checks.Check, loc []string) {
	at := func(step string) []string { return append(slices.Clone(loc), step) }
	if _, err := checks.ParseDestination(c.To); err != nil {
		v.add(at("to"), err.Error(), "write an URL (https://kubernetes.io) or HOST:PORT")
	}
	if c.From.Selector() == "" {
		v.add(at("from"), "selects no pod", "name the pod's app or labels")
	}
	if len(c.Probe.Curl) > 0 && len(c.Probe.Command) > 0 {
		v.add(at("probe"), "has both curl and command", "keep one of the two")
	}
	switch {
	case c.Before == "" && c.After == "":
		v.add(loc, fmt.Sprintf("check %q expects nothing", c.ID), "add before, after or both")
	case c.After != "" && c.After != checks.ExpectAllowed && c.Before == "":
		v.add(at("after"), fmt.Sprintf("check %q is denied without a control", c.ID), "add before: allowed, so that the deny proves the policy")
	}
	if c.Status != 0 && c.Before != checks.ExpectAllowed && c.After != checks.ExpectAllowed {
		v.add(at("status"), "no phase expects this check to be allowed", "remove status")
	}
}

func (v *verifier) fails(t Task, f Fails, loc []string) {
	i := slices.IndexFunc(t.Checks, func(c checks.Check) bool { return c.ID == f.Check })
	if i < 0 {
		var ids []string
		for _, c := range t.Checks {
			ids = append(ids, c.ID)
		}
		cure := "known checks: " + strings.Join(ids, ", ")
		if near := nearest(f.Check, ids); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		v.add(append(loc, "check"), fmt.Sprintf("the task has no check %q", f.Check), cure)
		return
	}
	if after := t.Checks[i].After; after == "" || string(f.Verdict) == string(after) && t.Checks[i].Status == 0 {
		v.add(loc, fmt.Sprintf("check %q cannot fail like this: after the policy it expects %q", f.Check, after), "name the verdict that the wrong answer brings")
	}
	if f.Cause != "" && !slices.Contains(checks.Causes(), f.Cause) {
		var known []string
		for _, c := range checks.Causes() {
			known = append(known, string(c))
		}
		cure := "known causes: " + strings.Join(known, ", ")
		if near := nearest(string(f.Cause), known); near != "" {
			cure = fmt.Sprintf("did you mean %q?", near)
		}
		v.add(append(loc, "cause"), fmt.Sprintf("%q is not known", f.Cause), cure)
	}
}
