package pagerun

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner"
)

// clean removes what a page made, and waits until its pods are gone: they would still
// answer to their labels on the next page.
func (s *session) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	made, owners := s.made, s.owners
	s.made, s.owners = nil, nil
	slices.Reverse(made)
	if err := s.remove(ctx, made, owners); err != nil {
		return &runner.EnvironmentError{During: "Remove what the page made", Err: err}
	}
	return nil
}

func (s *session) remove(ctx context.Context, made []manifests.Ref, owners owners) error {
	// A pod may want half a minute to end, and nobody waits for what it would say.
	if err := s.endPods(ctx, made); err != nil {
		return err
	}
	if err := s.applier.Remove(ctx, made); err != nil {
		return err
	}
	last := ""
	err := wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (done bool, err error) {
		last, err = s.endOwned(ctx, owners)
		return last == "", err
	})
	if err != nil && last != "" {
		return fmt.Errorf("wait until %s is gone: %w", last, err)
	}
	return err
}

// endPods ends the pods among these objects.
func (s *session) endPods(ctx context.Context, refs []manifests.Ref) error {
	for _, ref := range refs {
		if ref.GVK != podGVK {
			continue
		}
		if err := s.objects.EndPod(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

var (
	podGVK = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	// makers are the kinds that make objects of their own, and themselves may be made by
	// a Deployment or a CronJob.
	makers = []schema.GroupVersionKind{{Group: "apps", Version: "v1", Kind: "ReplicaSet"}, {Group: "batch", Version: "v1", Kind: "Job"}}
)

// owners are the UIDs of what may have made pods, by namespace.
type owners map[string]map[types.UID]bool

// owns says whether one of the owners made an object.
func (o owners) owns(u *unstructured.Unstructured) bool {
	return slices.ContainsFunc(u.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return o[u.GetNamespace()][r.UID] })
}

func (o owners) add(namespace string, uid types.UID) {
	if o[namespace] == nil {
		o[namespace] = map[types.UID]bool{}
	}
	o[namespace][uid] = true
}

// note remembers what a page made, to be removed after it.
func (s *session) note(ref manifests.Ref, uid types.UID) {
	s.made = append(s.made, ref)
	if s.owners == nil {
		s.owners = owners{}
	}
	s.owners.add(ref.Namespace, uid)
}

// endOwned hurries the pods that owners made, and names an object of theirs that is
// still there; "" when there is none. A pod is left until the garbage collector deletes
// it: its ReplicaSet is gone then, and makes no other in its place.
func (s *session) endOwned(ctx context.Context, owners owners) (last string, err error) {
	for namespace := range owners {
		for _, gvk := range append(slices.Clone(makers), podGVK) {
			items, err := s.objects.List(ctx, gvk, namespace, "")
			if err != nil {
				return last, err
			}
			for i := range items {
				u := &items[i]
				if !owners.owns(u) {
					continue
				}
				ref := manifests.Ref{GVK: gvk, Namespace: namespace, Name: u.GetName()}
				last = ref.String()
				if gvk != podGVK {
					owners.add(namespace, u.GetUID())
					continue
				}
				grace := u.GetDeletionGracePeriodSeconds()
				if u.GetDeletionTimestamp() == nil || grace != nil && *grace <= 1 {
					continue
				}
				if err := s.objects.EndPod(ctx, ref); err != nil {
					return last, err
				}
			}
		}
	}
	return last, nil
}
