package grade

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/saved"
)

// handed is what of a submission is judged: its manifests, or what a file of netdojo
// save holds.
type handed struct {
	// lab is the one that it is judged by, with the words of its seed, and rules are its.
	lab      *labs.Lab
	rules    rules
	objects  []object.Object
	given    map[string]string // the names that files were handed in by
	problems []submission.Problem
	exam     *result.Exam // nil where the submission was not saved in an exam
	// refusal is why nothing of it is judged; "" for what is.
	refusal string
}

// read reads a submission. One that holds files of netdojo save is judged by the one
// that was saved last, and by it alone: it is the state of the cluster as a whole.
//
// A lab that differs from person to person is taken by the seed of the file, which has to
// be one of seeds, where the roster gives any; manifests are judged by the first of these.
func (r rules) read(lab *labs.Lab, seeds []string, c submission.Content) (handed, error) {
	h := handed{lab: lab, rules: r, objects: c.Objects, given: c.Given, problems: slices.Clone(c.Problems)}
	if len(lab.Values) == 0 {
		seeds = nil // the list's are for another lab
	}
	if len(c.Saved) == 0 {
		if len(seeds) > 0 {
			return h, h.by(seeds[0])
		}
		return h, nil
	}
	var last *saved.File
	name := ""
	for _, s := range c.Saved {
		f, err := saved.Decode(s.Data)
		if err != nil {
			h.refuse(s.Name, err)
			continue
		}
		if last == nil || f.Saved.After(last.Saved) {
			last, name = &f, s.Name
		}
	}
	if last == nil {
		return h, nil
	}
	h.refusal = ""
	if len(seeds) > 0 && !slices.Contains(seeds, last.Seed) {
		h.refuse(name, &saved.Error{
			Message: "it is of another seed than the roster has: its names are somebody else's, or nobody's",
			Advice:  "ask whoever handed it in; netdojo exam start --seed takes what the roster's column seed says",
		})
		return h, nil
	}
	var none *labs.SeedError
	if err := h.by(last.Seed); errors.As(err, &none) {
		h.refuse(name, &saved.Error{Message: "it is of a seed, and the lab here has none, or another", Advice: "grade it with the lab as it was given, by its folder"})
		return h, nil
	} else if err != nil {
		return h, err
	}
	lab, r = h.lab, h.rules
	if refusal, advice, err := another(lab, *last); err != nil || refusal != "" {
		h.refuse(name, &saved.Error{Message: refusal, Advice: advice})
		return h, err
	}
	if len(c.Objects) > 0 {
		h.problems = append(h.problems, submission.Problem{
			File: c.Objects[0].File, Message: "it is not judged: the file of netdojo save beside it is", Cure: "hand in the one or the other",
		})
	}
	h.times(lab, name, *last)
	h.objects = nil
	if last.Provider == "" { // nothing was read of a cluster
		return h, h.files(lab, name, *last)
	}
	return h, r.state(&h, lab, name, last.Objects)
}

// by takes the lab by a seed, "" for the lab as it is. Seeds are people's: they are in no
// record.
func (h *handed) by(seed string) error {
	made, err := h.lab.Seeded(seed)
	if err != nil || made == h.lab {
		return err
	}
	h.lab = made
	h.rules, err = rulesOf(made)
	return err
}

// refuse notes why a file is not judged.
func (h *handed) refuse(file string, err error) {
	h.refusal = err.Error()
	p := submission.Problem{File: file, Message: err.Error()}
	if all := cure.All(err); len(all) > 0 {
		p.Cure = all[0]
	}
	h.problems = append(h.problems, p)
}

// another says why a file is not of this lab; "" where it is.
func another(lab *labs.Lab, f saved.File) (refusal, advice string, err error) {
	digest, err := lab.Digest()
	if x := f.Exam(); err == nil && x != nil {
		var pack *labs.Pack
		var no *labs.NoExamError
		pack, err = lab.Pack()
		if errors.As(err, &no) {
			return "it was saved in an exam, and lab " + lab.ID + " is none", "grade it with the lab whose pack was given", nil
		}
		if err == nil {
			digest = pack.Digest
		}
		if err == nil && x.Pack != f.Lab.Digest {
			return "the exam in it is of another pack than its lab", "ask for the file as netdojo save wrote it", nil
		}
	}
	switch {
	case err != nil:
		return "", "", err
	case f.Lab.ID != lab.ID:
		return fmt.Sprintf("it is of lab %s, not of lab %s", f.Lab.ID, lab.ID), "grade it with lab " + f.Lab.ID, nil
	case f.Lab.Digest != digest:
		return fmt.Sprintf("it is of another version of lab %s: %s, and this is %s", lab.ID, f.Lab.Digest, digest),
			"grade it with the lab as it was given, by its folder; netdojo exam pack prints the digest", nil
	}
	return "", "", nil
}

// times are those of an exam, and what is odd about them.
func (h *handed) times(lab *labs.Lab, file string, f saved.File) {
	x := f.Exam()
	if x == nil {
		return
	}
	limit := time.Duration(lab.Exam.Minutes+x.Extra) * time.Minute
	h.exam = &result.Exam{
		Began: x.Began, Saved: f.Saved, Minutes: lab.Exam.Minutes, Extra: x.Extra, Attempt: x.Attempt,
		PassedSeconds: int64(x.Passed() / time.Second), OverSeconds: int64(max(0, x.Passed()-limit) / time.Second),
	}
	odd := func(message, advice string) {
		h.problems = append(h.problems, submission.Problem{File: file, Message: message, Cure: advice})
	}
	if !x.Intact() {
		odd("the times of the exam in it were changed by something else than netdojo", "ask whoever handed it in; the learning platform has the time at which it came")
	}
	if x.Minutes != lab.Exam.Minutes {
		odd(fmt.Sprintf("the exam was begun with a limit of %d minutes; the lab's %d count", x.Minutes, lab.Exam.Minutes), "begin an exam without --minutes")
	}
	for _, m := range x.Moved {
		odd(fmt.Sprintf("the clock was set by %s in the exam, noticed at %s", time.Duration(m.ByMs)*time.Millisecond, m.Seen.Format(time.RFC3339)),
			"ask whoever handed it in; the exam's time ran on")
	}
}

// files takes the manifests of a file that has nothing of a cluster, but for the lab's own
// as it was given.
func (h *handed) files(lab *labs.Lab, name string, f saved.File) error {
	h.problems = append(h.problems, submission.Problem{
		File: name, Message: "no cluster ran when it was saved: the files in it are judged", Cure: "save it while the cluster runs",
	})
	h.given = maps.Clone(h.given)
	for _, t := range f.Files {
		if ext := path.Ext(t.Name); ext != ".yaml" && ext != ".yml" && ext != ".json" {
			continue
		}
		if slices.Contains(lab.Workloads, t.Name) {
			data, err := fs.ReadFile(lab.FS, t.Name)
			if err != nil {
				return fmt.Errorf("read %s of the lab: %w", t.Name, err)
			}
			if string(data) == t.Text {
				continue
			}
		}
		inner := fmt.Sprintf("%s#%d%s", name, len(h.given)+1, path.Ext(t.Name))
		h.given[inner] = t.Name
		objects, err := object.Parse(inner, []byte(t.Text))
		h.objects = append(h.objects, objects...)
		if err != nil {
			h.problems = append(h.problems, submission.Problem{File: inner, Message: err.Error()})
		}
	}
	return nil
}

// state takes the objects that were on a cluster: policies, and workloads of the kinds
// that the lab takes, whose images and commands stay the lab's own.
func (r rules) state(h *handed, lab *labs.Lab, name string, objects []map[string]any) error {
	for _, content := range objects {
		o := object.Object{Unstructured: &unstructured.Unstructured{Object: content}, File: name}
		if policies.Is(o.GroupVersionKind().GroupKind()) {
			h.objects = append(h.objects, o)
			continue
		}
		if !slices.Contains(r.kinds, o.GetKind()) {
			continue // the lab's own, which is deployed anew
		}
		merged, found, err := runner.Merged(lab, content)
		if err != nil {
			return err
		}
		if found {
			merged.File, merged.Line = name, 0
			h.objects = append(h.objects, merged)
		}
	}
	return nil
}
