package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
)

var podGVK = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

// Namespaces are those of a lab: its own and those of its checks and workloads.
func Namespaces(lab *labs.Lab) ([]string, error) {
	objects, err := parse(lab.FS, lab.Workloads)
	if err != nil {
		return nil, err
	}
	in := namespacesOf(lab)
	for _, o := range objects {
		name := o.GetNamespace()
		if o.GetKind() == namespaceGVK.Kind {
			name = o.GetName()
		}
		if name != "" && !slices.Contains(in, name) {
			in = append(in, name)
		}
	}
	return in, nil
}

// Empty takes every policy from the lab's namespaces and the clusterwide ones,
// whosever they are, and from the namespaces all objects of the kinds that the lab's
// workloads have and of kinds. It waits until no pod is left. It is for a cluster of
// the caller's own, where nothing may pass from one answer to the next.
func (s *Session) Empty(ctx context.Context, kinds []schema.GroupVersionKind) error {
	return s.verb(func() error {
		return s.steps(ctx, step.Step{Name: "Empty the lab's namespaces", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
			ctx, cancel := context.WithTimeout(ctx, s.t.DeployTimeout)
			defer cancel()
			return nil, s.empty(ctx, kinds, detail)
		}})
	})
}

func (s *Session) empty(ctx context.Context, kinds []schema.GroupVersionKind, detail func(string)) error {
	in, err := Namespaces(s.lab)
	if err != nil {
		return err
	}
	policies, err := s.applier.Policies(ctx, in)
	if err != nil {
		return err
	}
	var refs []manifests.Ref
	for _, p := range policies {
		refs = append(refs, p.Ref)
	}
	workloads, err := s.read(s.lab.Workloads)
	if err != nil {
		return err
	}
	kinds = slices.Clone(kinds)
	for _, o := range workloads {
		kinds = append(kinds, o.GroupVersionKind())
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	for _, gvk := range slices.Compact(kinds) {
		if clusterwide(gvk.Kind) || isPolicy(manifests.Ref{GVK: gvk}) {
			continue
		}
		for _, namespace := range in {
			items, err := s.conn.objects.List(ctx, gvk, namespace, "")
			if err != nil {
				return fmt.Errorf("list %s in %s: %w", gvk.Kind, namespace, err)
			}
			for _, item := range items {
				if !clustersOwn[gvk.Kind+" "+item.GetName()] {
					refs = append(refs, manifests.Ref{GVK: gvk, Namespace: namespace, Name: item.GetName()})
				}
			}
		}
	}
	s.asDeclared = false
	if err := s.applier.Remove(ctx, refs); err != nil {
		return err
	}
	return s.podless(ctx, in, detail)
}

// clustersOwn are the objects that Kubernetes itself keeps in namespaces.
var clustersOwn = map[string]bool{"Service kubernetes": true, "ConfigMap kube-root-ca.crt": true, "ServiceAccount default": true}

// podless waits until namespaces have no pod.
func (s *Session) podless(ctx context.Context, namespaces []string, detail func(string)) error {
	left := ""
	err := wait.PollUntilContextCancel(ctx, gonePause, true, func(ctx context.Context) (bool, error) {
		counts := make([]string, len(namespaces))
		group, gctx := errgroup.WithContext(ctx)
		for i, namespace := range namespaces {
			group.Go(func() error {
				pods, err := s.conn.objects.List(gctx, podGVK, namespace, "")
				if len(pods) > 0 {
					counts[i] = pods[0].GetNamespace() + "/" + pods[0].GetName()
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return false, err
		}
		left = strings.Join(slices.DeleteFunc(counts, func(s string) bool { return s == "" }), ", ")
		if left != "" {
			detail("waiting until there is no " + left)
		}
		return left == "", nil
	})
	if err != nil && left != "" {
		return fmt.Errorf("pod %s does not end: %w", left, err)
	}
	return err
}
