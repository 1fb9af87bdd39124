package runner

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// declaredPolicies are those among the lab's workloads: they are of its clean state,
// and no answer.
func (s *Session) declaredPolicies() (map[string]bool, error) {
	objects, err := s.read(s.lab.Workloads)
	declared := map[string]bool{}
	for _, obj := range objects {
		if ref := obj.Ref(s.lab.Namespace); isPolicy(ref) {
			declared[policyKey(ref.GVK.Kind, ref.Namespace, ref.Name)] = true
		}
	}
	return declared, err
}

func policyKey(kind, namespace, name string) string { return kind + " " + namespace + "/" + name }

func isPolicy(ref manifests.Ref) bool { return policies.Is(ref.GVK.GroupKind()) }

// namespacesOf are the namespaces whose policies and pods a lab's checks see.
func namespacesOf(lab *labs.Lab) []string {
	in := []string{lab.Namespace}
	for _, t := range lab.Tasks {
		for _, c := range t.Checks {
			if !slices.Contains(in, c.From.Namespace) {
				in = append(in, c.From.Namespace)
			}
		}
	}
	return in
}

// applyAnswer applies an answer's objects. What the API took of them is the
// session's to remove.
func (s *Session) applyAnswer(ctx context.Context, task string, a Answer, detail func(string)) (apply.Result, error) {
	objects, err := a.objects()
	if err != nil {
		return apply.Result{}, err
	}
	own, err := s.ownRefs()
	if err != nil {
		return apply.Result{}, err
	}
	applier := *s.applier
	applier.Lenient = a.Lenient
	out, err := applier.All(ctx, task, s.moved(objects), detail)
	s.applied = append(s.applied, out.Refs...)
	s.noteApplied(out.Refs, own)
	return out, err
}

// activePolicies lists the policies that a learner has, waits until the datapath
// judges by them, and tells those that it rejects.
func (s *Session) activePolicies(ctx context.Context) ([]record.Applied, error) {
	found, err := s.applier.Policies(ctx, namespacesOf(s.lab))
	if err != nil {
		return nil, &EnvironmentError{Err: err}
	}
	entries, err := s.applier.Await(ctx, found)
	if err != nil {
		return nil, &EnvironmentError{During: "Read the policies", Err: err}
	}
	return entries, nil
}

// misplacedPolicies tells of policies that have a solution's name and kind but are
// in a namespace where they select none of the lab's pods. One that is in its place
// as well is no mistake, nor is another lab's of the same name.
func (s *Session) misplacedPolicies(ctx context.Context) error {
	others := s.otherLabs()
	for _, t := range s.tasks {
		objects, err := s.read(t.Solution)
		if err != nil {
			return err
		}
		for _, obj := range objects {
			want := obj.Ref(s.lab.Namespace)
			if !isPolicy(want) {
				continue
			}
			items, err := s.conn.objects.List(ctx, want.GVK, "", "")
			if err != nil {
				return &EnvironmentError{During: "List the policies", Err: err}
			}
			items = slices.DeleteFunc(items, func(u unstructured.Unstructured) bool { return u.GetName() != want.Name })
			if slices.ContainsFunc(items, func(u unstructured.Unstructured) bool { return u.GetNamespace() == want.Namespace }) {
				continue
			}
			for _, found := range items {
				ns := found.GetNamespace()
				if ns == "" || others(manifests.Ref{GVK: want.GVK, Namespace: ns, Name: want.Name}) != "" {
					continue
				}
				s.emit(event.Notice{Text: fmt.Sprintf(
					"%s %s is in namespace %s, where it selects none of the lab's pods. They are in %s: netdojo kubectl -n %s apply -f FILE",
					want.GVK.Kind, want.Name, ns, want.Namespace, want.Namespace)})
			}
		}
	}
	return nil
}

// removeLabPolicies removes the policies that the lab's files name, but for those to
// keep, and says which others stay and will judge the lab's pods.
func (s *Session) removeLabPolicies(ctx context.Context, keep []manifests.Ref) error {
	found, err := s.applier.Policies(ctx, namespacesOf(s.lab))
	if err != nil || len(found) == 0 {
		return err
	}
	declared, err := s.declaredPolicies()
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, t := range s.lab.Tasks {
		files := slices.Clone(t.Solution)
		for _, w := range t.Wrong {
			files = append(files, w.Files...)
		}
		objects, err := s.read(files)
		if err != nil {
			return err
		}
		for _, obj := range objects {
			ref := obj.Ref(s.lab.Namespace)
			ours[ref.GVK.Kind+" "+ref.Name] = true
		}
	}
	var old []manifests.Ref
	others := s.otherLabs()
	for _, p := range found {
		if declared[policyKey(p.GVK.Kind, p.Namespace, p.Name)] || slices.Contains(keep, p.Ref) {
			continue
		}
		if lab := others(p.Ref); lab != "" && !ours[p.GVK.Kind+" "+p.Name] {
			if err := s.applier.Remove(ctx, []manifests.Ref{p.Ref}); err != nil {
				return err
			}
			s.emit(event.Notice{Text: fmt.Sprintf("%s was of lab %s; the lab begins without it", p.Ref, lab)})
			continue
		}
		// Somebody's clusterwide policy on their own cluster is theirs, whatever it is called.
		if ours[p.GVK.Kind+" "+p.Name] && (p.Namespace != "" || s.guest.home == "") {
			old = append(old, p.Ref)
			continue
		}
		s.emit(event.Notice{Text: p.Ref.String() + " is not the lab's; it stays and may change what the checks see"})
	}
	if err := s.applier.Remove(ctx, old); err != nil {
		return err
	}
	for _, ref := range old {
		s.emit(event.Notice{Text: ref.String() + " was there from before; the lab begins without it"})
	}
	return nil
}

// tellOtherLabs says which policies of other labs judge the lab's pods too.
func (s *Session) tellOtherLabs(ctx context.Context) error {
	found, err := s.applier.Policies(ctx, namespacesOf(s.lab))
	if err != nil {
		return err
	}
	declared, err := s.declaredPolicies()
	if err != nil {
		return err
	}
	others := s.otherLabs()
	for _, p := range found {
		if declared[policyKey(p.GVK.Kind, p.Namespace, p.Name)] {
			continue
		}
		if lab := others(p.Ref); lab != "" {
			s.emit(event.Notice{Text: fmt.Sprintf("%s is of lab %s and judges this lab's pods too; to be without it, begin the task anew", p.Ref, lab)})
		}
	}
	return nil
}

// otherLabs says of a policy which other lab of the catalogue it answers, "" for
// none. The catalogue is read when it is first asked. On a cluster of somebody's own
// each lab has a namespace to itself.
func (s *Session) otherLabs() func(manifests.Ref) string {
	var known map[string]string
	return func(ref manifests.Ref) string {
		if s.guest.home != "" {
			return ""
		}
		if known == nil {
			known = answersOf(s.lab.ID)
		}
		return known[policyKey(ref.GVK.Kind, ref.Namespace, ref.Name)]
	}
}

// answersOf are the policies of the catalogue's answers, right and wrong, and the labs
// that they answer; those of one lab are left out, and what it shares with others.
func answersOf(but string) map[string]string {
	known := map[string]string{}
	all, err := labs.Catalogue()
	if err != nil {
		return known // the labs are embedded: they load, or no lab does
	}
	own := map[string]bool{}
	for _, lab := range all {
		for _, key := range answered(lab) {
			if lab.ID == but {
				own[key] = true
			} else {
				known[key] = lab.ID
			}
		}
	}
	for key := range own {
		delete(known, key)
	}
	return known
}

// answered are the policies that a lab's answers name.
func answered(lab *labs.Lab) []string {
	var keys []string
	for _, t := range lab.Tasks {
		files := slices.Clone(t.Solution)
		for _, w := range t.Wrong {
			files = append(files, w.Files...)
		}
		objects, err := parse(lab.FS, files)
		if err != nil {
			continue // lint tells of it
		}
		for _, obj := range objects {
			ref := obj.Ref(lab.Namespace)
			kind, ok := policies.Find(ref.GVK.Kind)
			if !ok || !isPolicy(ref) {
				continue
			}
			if kind.Clusterwide {
				ref.Namespace = ""
			}
			keys = append(keys, policyKey(ref.GVK.Kind, ref.Namespace, ref.Name))
		}
	}
	return keys
}
