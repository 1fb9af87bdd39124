package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
)

// changeable are the fields of a lab's workloads that a learner changes in a lab. All
// others are the lab's own, wherever it is put: what somebody else made of a pod does
// not run here.
var changeable = map[string][][]string{
	"Deployment":  {{"spec", "replicas"}, {"spec", "template", "metadata", "labels"}},
	"StatefulSet": {{"spec", "replicas"}, {"spec", "template", "metadata", "labels"}},
	"DaemonSet":   {{"spec", "template", "metadata", "labels"}},
	"Service":     {{"spec", "selector"}, {"spec", "ports"}},
	"Pod":         {},
	"Namespace":   {},
}

// Snapshot returns what of the lab is on the cluster: the policies that judge its pods,
// and of its workloads what a learner may have changed. The objects name the lab's own
// namespace, also where the lab has another. Secrets are never among them.
func (s *Session) Snapshot(ctx context.Context) (objects []map[string]any, err error) {
	err = s.verb(func() error {
		return s.steps(ctx, step.Step{Name: "Read the lab's objects", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			objects, err = s.snapshot(ctx)
			return nil, err
		}})
	})
	return objects, err
}

func (s *Session) snapshot(ctx context.Context) ([]map[string]any, error) {
	in, err := Namespaces(s.lab)
	if err != nil {
		return nil, err
	}
	found, err := s.applier.Policies(ctx, in)
	if err != nil {
		return nil, err
	}
	var out []map[string]any
	for _, p := range found {
		u, err := s.conn.objects.Get(ctx, p.Ref)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p.Ref, err)
		}
		out = append(out, s.homeward(pick(u, p.GVK.GroupVersion().String(), [][]string{{"metadata", "labels"}, {"spec"}, {"specs"}})))
	}
	workloads, err := s.inventory(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range workloads {
		fields, ok := changeable[w.GetKind()]
		if !ok || !w.there {
			continue
		}
		u, err := s.conn.objects.Get(ctx, w.ref)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", w.ref, err)
		}
		out = append(out, s.homeward(pick(u, w.GetAPIVersion(), append([][]string{{"metadata", "labels"}}, fields...))))
	}
	slices.SortStableFunc(out, func(a, b map[string]any) int { return strings.Compare(objectName(a), objectName(b)) })
	return out, nil
}

func objectName(o map[string]any) string {
	u := unstructured.Unstructured{Object: o}
	return u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
}

// pick is an object with its name and these fields alone.
func pick(u *unstructured.Unstructured, apiVersion string, fields [][]string) map[string]any {
	out := map[string]any{"apiVersion": apiVersion, "kind": u.GetKind(), "metadata": map[string]any{"name": u.GetName()}}
	if ns := u.GetNamespace(); ns != "" {
		out["metadata"].(map[string]any)["namespace"] = ns
	}
	for _, path := range fields {
		value, ok, err := unstructured.NestedFieldNoCopy(u.Object, path...)
		if err != nil || !ok || value == nil {
			continue
		}
		// Between mappings that are made here, it always can be set.
		_ = unstructured.SetNestedField(out, runtime.DeepCopyJSONValue(value), path...)
	}
	return out
}

// homeward names the lab's own namespace where the lab has another here.
func (s *Session) homeward(o map[string]any) map[string]any {
	u := unstructured.Unstructured{Object: o}
	if s.guest.home != "" && u.GetNamespace() == s.lab.Namespace {
		u.SetNamespace(s.guest.home)
	}
	return o
}

// Restore puts what Snapshot returned on a cluster where the lab has been Reset: its
// policies, and its workloads with what was changed of them. Objects that are neither
// a policy of the lab's namespaces nor one of the lab's workloads are a *UsageError,
// and nothing is applied then.
func (s *Session) Restore(ctx context.Context, objects []map[string]any) error {
	return s.verb(func() error {
		return s.steps(ctx, step.Step{Name: "Restore the lab's objects", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			ours, err := s.admissible(objects)
			if err != nil {
				return nil, err
			}
			out, err := s.applier.All(ctx, "", s.moved(ours), detail)
			if err != nil {
				return nil, err
			}
			if r := out.Rejected(); r != nil {
				return nil, fmt.Errorf("%s %s is rejected: %s", r.Kind, r.Name, r.Rejected)
			}
			return nil, nil
		}})
	})
}

// admissible are the objects to apply: workloads first.
func (s *Session) admissible(objects []map[string]any) ([]manifests.Object, error) {
	files, err := parse(s.t.Lab.FS, s.t.Lab.Workloads)
	if err != nil {
		return nil, err
	}
	workloads := map[manifests.Ref]manifests.Object{}
	for _, o := range files {
		workloads[o.Ref(s.t.Lab.Namespace)] = o
	}
	in, err := Namespaces(s.t.Lab)
	if err != nil {
		return nil, err
	}
	var first, then []manifests.Object
	for _, content := range objects {
		u := &unstructured.Unstructured{Object: content}
		ref := manifests.Object{Unstructured: u}.Ref(s.t.Lab.Namespace)
		if policies.Is(ref.GVK.GroupKind()) {
			kind, _ := policies.Find(ref.GVK.Kind)
			if !kind.Clusterwide && !slices.Contains(in, ref.Namespace) || kind.GVK() != ref.GVK {
				return nil, notOfTheLab(ref)
			}
			if kind.Clusterwide && s.guest.home != "" {
				return nil, &UsageError{
					Message: fmt.Sprintf("%s is the whole cluster's, which netdojo did not make", ref),
					Advice:  "open the file on one of netdojo's own: --provider embedded or kind",
				}
			}
			then = append(then, manifests.Object{Unstructured: &unstructured.Unstructured{
				Object: pick(u, kind.APIVersion(), [][]string{{"metadata", "labels"}, {"spec"}, {"specs"}}),
			}})
			continue
		}
		workload, ok := workloads[ref]
		if !ok {
			return nil, notOfTheLab(ref)
		}
		merged, err := merge(workload, content)
		if err != nil {
			return nil, err
		}
		first = append(first, merged)
	}
	return append(first, then...), nil
}

// merge is a workload with what a learner changed of it.
func merge(workload manifests.Object, content map[string]any) (manifests.Object, error) {
	merged := manifests.Object{Unstructured: workload.DeepCopy(), File: workload.File, Line: workload.Line}
	for _, path := range append([][]string{{"metadata", "labels"}}, changeable[workload.GetKind()]...) {
		value, found, err := unstructured.NestedFieldNoCopy(content, path...)
		if err != nil || !found {
			continue
		}
		if err := unstructured.SetNestedField(merged.Object, runtime.DeepCopyJSONValue(value), path...); err != nil {
			return merged, fmt.Errorf("restore %s %s: %w", workload.GetKind(), workload.GetName(), err)
		}
	}
	return merged, nil
}

// Merged is the lab's workload that an object of a snapshot is of, with what a learner
// changed of it; found is false for one of none.
func Merged(lab *labs.Lab, content map[string]any) (merged manifests.Object, found bool, err error) {
	files, err := parse(lab.FS, lab.Workloads)
	if err != nil {
		return merged, false, err
	}
	ref := manifests.Object{Unstructured: &unstructured.Unstructured{Object: content}}.Ref(lab.Namespace)
	for _, o := range files {
		if o.Ref(lab.Namespace) == ref {
			merged, err = merge(o, content)
			return merged, true, err
		}
	}
	return merged, false, nil
}

func notOfTheLab(ref manifests.Ref) error {
	return &UsageError{
		Message: fmt.Sprintf("%s is neither a policy of the lab's namespaces nor one of its workloads", ref),
		Advice:  "do not open the file; ask whom you have it from",
	}
}

// Strangers are the policies that judge the lab's pods, whosever they are.
func (s *Session) Strangers(ctx context.Context) (names []string, err error) {
	err = s.verb(func() error {
		in, err := Namespaces(s.lab)
		if err != nil {
			return err
		}
		found, err := s.applier.Policies(ctx, in)
		for _, p := range found {
			names = append(names, p.Ref.String())
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

// Discard removes the policies that judge the lab's pods, whosever they are, but for
// clusterwide ones of a cluster that netdojo did not make.
func (s *Session) Discard(ctx context.Context) error {
	return s.verb(func() error {
		return s.steps(ctx, step.Step{Name: "Remove the policies", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
			in, err := Namespaces(s.lab)
			if err != nil {
				return nil, err
			}
			found, err := s.applier.Policies(ctx, in)
			if err != nil {
				return nil, err
			}
			var refs []manifests.Ref
			for _, p := range found {
				if p.Namespace != "" || s.guest.home == "" {
					refs = append(refs, p.Ref)
				}
			}
			return nil, s.applier.Remove(ctx, refs)
		}})
	})
}
