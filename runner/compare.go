package runner

import (
	"context"
	"fmt"

	"github.com/aymanbagabas/go-udiff"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/record"
)

// Compare sets the objects of an answer to the selected tasks beside those that the
// learner has on the cluster: the one of the same name, else the only one of the
// kind that is not the lab's own. It changes nothing.
func (s *Session) Compare(ctx context.Context, answers Answers) ([]record.Difference, error) {
	var out []record.Difference
	err := s.verb(func() error {
		for _, t := range s.tasks {
			objects, err := answers.to(t).objects()
			if err != nil {
				return &EnvironmentError{During: "Compare with the solution", Err: err}
			}
			for _, obj := range s.moved(objects) {
				d, err := s.difference(ctx, obj)
				if err != nil {
					return &EnvironmentError{During: "Compare with the solution", Err: err}
				}
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

func (s *Session) difference(ctx context.Context, obj manifests.Object) (record.Difference, error) {
	want, err := s.conn.objects.Defaulted(ctx, obj, s.lab.Namespace)
	if err != nil {
		return record.Difference{}, err
	}
	d := record.Difference{Kind: want.GetKind(), Namespace: want.GetNamespace(), Name: want.GetName()}
	yours, err := s.learners(ctx, manifests.Ref{GVK: obj.GroupVersionKind(), Namespace: d.Namespace, Name: d.Name})
	if err != nil {
		return record.Difference{}, err
	}
	have := ""
	if yours != nil {
		d.Yours = yours.GetName()
		if have, err = bare(yours); err != nil {
			return record.Difference{}, err
		}
	}
	text, err := bare(want)
	if err != nil {
		return record.Difference{}, err
	}
	d.Diff = udiff.Unified("yours", "the solution", have, text)
	return d, nil
}

// learners finds the object to set beside the solution's, nil when there is none.
func (s *Session) learners(ctx context.Context, want manifests.Ref) (*unstructured.Unstructured, error) {
	same, err := s.conn.objects.Get(ctx, want)
	if err == nil {
		return same, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, err
	}
	all, err := s.conn.objects.List(ctx, want.GVK, want.Namespace, "")
	if err != nil {
		return nil, err
	}
	ours, err := s.labsOwn()
	if err != nil {
		return nil, err
	}
	var found *unstructured.Unstructured
	for i := range all {
		if ours[all[i].GetKind()+" "+all[i].GetName()] {
			continue
		}
		if found != nil {
			return nil, nil // which of them is meant is not known
		}
		found = &all[i]
	}
	return found, nil
}

// labsOwn are the kinds and names of the lab's workloads and solutions.
func (s *Session) labsOwn() (map[string]bool, error) {
	files := append([]string{}, s.lab.Workloads...)
	for _, t := range s.lab.Tasks {
		files = append(files, t.Solution...)
	}
	objects, err := s.read(files)
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for _, obj := range objects {
		ours[obj.GetKind()+" "+obj.GetName()] = true
	}
	return ours, nil
}

// bare is an object as YAML without what the server adds.
func bare(u *unstructured.Unstructured) (string, error) {
	u = u.DeepCopy()
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
	if len(u.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
	}
	unstructured.RemoveNestedField(u.Object, "status")
	text, err := yaml.Marshal(u.Object)
	if err != nil {
		return "", fmt.Errorf("write %s %s as YAML: %w", u.GetKind(), u.GetName(), err)
	}
	return string(text), nil
}
