package apply

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// Policy is a policy object on the cluster.
type Policy struct {
	manifests.Ref
	UID        types.UID
	Generation int64
}

// Policies lists the policies of the namespaces and the clusterwide ones, sorted
// by kind and name. The markers of providers are left out.
func (a *Applier) Policies(ctx context.Context, namespaces []string) ([]Policy, error) {
	var mu sync.Mutex // guards found
	var found []Policy
	group, gctx := errgroup.WithContext(ctx)
	for _, k := range policies.Kinds {
		in := namespaces
		if k.Clusterwide {
			in = []string{""}
		}
		for _, ns := range in {
			group.Go(func() error {
				items, err := a.API.List(gctx, k.GVK(), ns, "")
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				for i := range items {
					if _, marker := items[i].GetLabels()[cluster.MarkerLabel]; marker {
						continue
					}
					found = append(found, Policy{
						Ref: manifests.Ref{GVK: k.GVK(), Namespace: items[i].GetNamespace(), Name: items[i].GetName()},
						UID: items[i].GetUID(), Generation: items[i].GetGeneration(),
					})
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("list the policies: %w", err)
	}
	slices.SortFunc(found, func(a, b Policy) int { return cmp.Compare(a.Ref.String(), b.Ref.String()) })
	return found, nil
}

// lookPause is how often a policy that is waited for is looked for.
const lookPause = time.Second

// Await waits until the datapath judges by policies that are there, and tells of
// those that it rejects. The entries are in the order of found, without those of policies
// that somebody deletes meanwhile: the datapath never comes to judge by them.
func (a *Applier) Await(ctx context.Context, found []Policy) ([]record.Applied, error) {
	waiting := make([]pending, len(found))
	gone := make([]bool, len(found))
	group, gctx := errgroup.WithContext(ctx)
	for i, p := range found {
		waiting[i] = pending{
			ref:   policyRef(p.Ref, p.UID, p.Generation),
			entry: record.Applied{Kind: p.GVK.Kind, Namespace: p.Namespace, Name: p.Name},
		}
		group.Go(func() (err error) {
			gone[i], err = a.awaitOrGone(gctx, p, &waiting[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	entries := make([]record.Applied, 0, len(found))
	for i := range waiting {
		if gone[i] {
			continue
		}
		entries = append(entries, waiting[i].entry)
		if waiting[i].entry.Rejected != "" {
			a.Tell(event.PolicyRejected{Object: waiting[i].entry})
		}
	}
	return entries, nil
}

// awaitOrGone is await of a policy that may be deleted, or made anew, by others.
func (a *Applier) awaitOrGone(ctx context.Context, policy Policy, p *pending) (gone bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.await(ctx, p) }()
	look := time.NewTicker(lookPause)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			return false, err
		case <-look.C:
		}
		items, err := a.API.List(ctx, policy.GVK, policy.Namespace, "")
		if err == nil && !slices.ContainsFunc(items, func(u unstructured.Unstructured) bool { return u.GetUID() == policy.UID }) {
			cancel()
			return <-done != nil, nil // nil: at the last moment the datapath did judge by it
		}
	}
}
