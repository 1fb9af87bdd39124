package grade

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

// maxObjects bounds what one submission applies.
const maxObjects = 100

// rules say which objects of a submission are applied.
type rules struct {
	home       string
	namespaces []string
	kinds      []string
	// known are the kinds that the lab's own files have.
	known []schema.GroupVersionKind
	// tasks are those whose solution alone has objects in a namespace, or of a kind
	// without one, by namespace or kind.
	tasks map[string]string
	// words are those of the lab's files.
	words string
}

// several stands for more than one task.
const several = "\x00"

// taskOf is the task whose answer an object can only be, by where it is; "" for any.
func (r rules) taskOf(o object.Object) string {
	if task := r.tasks[place(o, r.home)]; task != several {
		return task
	}
	return ""
}

// place is an object's namespace, or its kind where that has none.
func place(o object.Object, home string) string {
	if clusterwide(o.GetKind()) {
		return o.GetKind()
	}
	return cmp.Or(o.GetNamespace(), home)
}

// rulesOf are those of a lab: the kinds that it accepts, in its namespaces. A lab that
// does not say which takes the policies of a namespace, and what its solutions and
// known wrong answers have.
func rulesOf(lab *labs.Lab) (rules, error) {
	r := rules{home: lab.Namespace, kinds: slices.Clone(lab.Accepts)}
	var err error
	if r.namespaces, err = runner.Namespaces(lab); err != nil {
		return r, err
	}
	if r.words, err = wordsOf(lab); err != nil {
		return r, err
	}
	type file struct{ name, task string } // task is "" for a wrong answer's
	var files []file
	for _, t := range lab.Tasks {
		for _, f := range t.Solution {
			files = append(files, file{f, t.ID})
		}
		for _, w := range t.Wrong {
			for _, f := range w.Files {
				files = append(files, file{f, ""})
			}
		}
	}
	r.tasks = map[string]string{}
	defaults := []string{policies.NetworkPolicy, policies.CiliumNetworkPolicy}
	for _, f := range files {
		data, err := fs.ReadFile(lab.FS, f.name)
		if err != nil {
			return r, fmt.Errorf("read %s of the lab: %w", f.name, err)
		}
		objects, err := object.Parse(f.name, data)
		if err != nil {
			return r, err
		}
		for _, o := range objects {
			r.known = append(r.known, o.GroupVersionKind())
			defaults = append(defaults, o.GetKind())
			if f.task == "" {
				continue
			}
			at := place(o, r.home)
			if was := r.tasks[at]; was != "" && was != f.task {
				r.tasks[at] = several
			} else {
				r.tasks[at] = f.task
			}
		}
	}
	if len(r.kinds) == 0 {
		r.kinds = defaults
	}
	slices.Sort(r.kinds)
	r.kinds = slices.Compact(r.kinds)
	return r, nil
}

// admit splits a submission's objects into those that are applied and those that are
// not, with the reason.
func (r rules) admit(objects []object.Object) (taken []object.Object, problems []submission.Problem) {
	for _, o := range objects {
		message, cure := r.refusal(o)
		if message == "" && len(taken) >= maxObjects {
			message, cure = fmt.Sprintf("it is not applied: a submission has up to %d objects", maxObjects), "hand in less"
		}
		if message == "" {
			taken = append(taken, o)
			continue
		}
		problems = append(problems, submission.Problem{
			File: o.File, Line: o.Line, Cure: cure,
			Message: fmt.Sprintf("%s %s is not applied: %s", o.GetKind(), o.GetName(), message),
		})
	}
	return taken, problems
}

// clusterwide are the kinds without a namespace that a lab may accept.
func clusterwide(kind string) bool {
	p, _ := policies.Find(kind)
	return p.Clusterwide || kind == "CiliumCIDRGroup"
}

// refusal says why an object is not applied; "" when it is.
func (r rules) refusal(o object.Object) (message, cure string) {
	if !slices.Contains(r.kinds, o.GetKind()) {
		return "the lab takes no such kind", "hand in objects of these kinds: " + strings.Join(r.kinds, ", ")
	}
	if o.GetName() == "" {
		return "it has no name", "give it metadata.name"
	}
	switch ns := o.GetNamespace(); {
	case o.GetKind() == "Namespace":
		if !slices.Contains(r.namespaces, o.GetName()) {
			return "it is not one of the lab's namespaces", "the lab's are " + strings.Join(r.namespaces, ", ")
		}
	case clusterwide(o.GetKind()):
	case ns != "" && !slices.Contains(r.namespaces, ns):
		return "namespace " + ns + " is not the lab's", "use " + strings.Join(r.namespaces, " or ")
	}
	switch {
	case len(o.GetFinalizers()) > 0:
		return "it has finalizers, which would keep it from being removed", "take metadata.finalizers out"
	case len(o.GetOwnerReferences()) > 0:
		return "it claims to be owned by another object", "take metadata.ownerReferences out"
	}
	for key := range o.GetLabels() {
		if key == "netdojo.dev" || strings.Contains(key, "netdojo.dev/") {
			return "its label " + key + " is netdojo's own", "take the label out"
		}
	}
	return "", ""
}
