// Package apply puts objects on a cluster, waits until its datapath judges by the
// policies among them, and takes them away again. It knows no lab.
package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// enforceTimeout bounds the wait for the datapath to judge by a policy.
const enforceTimeout = 20 * time.Second

// lenientTimeout bounds the wait for objects of an answer that is applied leniently.
const lenientTimeout = 15 * time.Second

// API is what of the cluster's API is needed; *manifests.Client is one.
type API interface {
	Apply(ctx context.Context, obj manifests.Object, namespace string) (manifests.Result, error)
	List(ctx context.Context, gvk schema.GroupVersionKind, namespace, selector string) ([]unstructured.Unstructured, error)
	Delete(ctx context.Context, ref manifests.Ref) (types.UID, error)
	Wait(ctx context.Context, refs []manifests.Ref, detail func(string)) error
}

// Datapath says when it judges by a policy; a cluster.Handle is one.
type Datapath interface {
	Enforced(ctx context.Context, ref cluster.PolicyRef) error
}

// Applier applies objects to one cluster. Its fields are set before its first use.
type Applier struct {
	API       API
	Datapath  Datapath
	Namespace string // of objects that name none
	// Tell is told of each object that is applied, rejected or deleted, maybe from
	// several goroutines.
	Tell event.Listener
	// Lenient takes objects of every kind as policies are taken: one that the API
	// refuses is in the result, and one that does not get ready no error.
	Lenient bool
}

// Result is what became of objects.
type Result struct {
	// Policies are the policies, the rejected ones too: first those that the API
	// refused, then the others in their order.
	Policies []record.Applied
	// Refs are the objects that the API took.
	Refs []manifests.Ref
}

// Rejected is the first policy that is not enforced as written; nil when all are.
func (r Result) Rejected() *record.Applied {
	for i := range r.Policies {
		if r.Policies[i].Rejected != "" {
			return &r.Policies[i]
		}
	}
	return nil
}

// One applies an object and waits for nothing. It tells of it unless it is a
// policy, of which there is nothing to tell until it is enforced.
func (a *Applier) One(ctx context.Context, obj manifests.Object) (manifests.Ref, manifests.Result, error) {
	res, err := a.API.Apply(ctx, obj, a.Namespace)
	if err != nil {
		return manifests.Ref{}, res, err
	}
	ref := manifests.Ref{GVK: obj.GroupVersionKind(), Namespace: res.GetNamespace(), Name: res.GetName()}
	if !isPolicy(ref) {
		a.Tell(event.Applied{Object: record.Applied{File: obj.File, Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name}})
	}
	return ref, res, nil
}

// All applies objects in their order, then waits side by side until the datapath
// judges by the policies and the rest is ready. A policy that is rejected is in
// the result and no error. With an error the result has what was done by then.
// Events name the task.
func (a *Applier) All(ctx context.Context, task string, objects []manifests.Object, detail func(string)) (Result, error) {
	var out Result
	var waiting []*pending
	var others []manifests.Ref
	for _, obj := range objects {
		ref, res, err := a.One(ctx, obj)
		if entry, refused := a.refusal(obj, err); refused {
			out.Policies = append(out.Policies, entry)
			a.Tell(event.PolicyRejected{Task: task, Object: entry})
			continue
		}
		if err != nil {
			return out, err
		}
		out.Refs = append(out.Refs, ref)
		if !isPolicy(ref) {
			others = append(others, ref)
			continue
		}
		waiting = append(waiting, &pending{
			ref: policyRef(ref, res.GetUID(), res.GetGeneration()), at: res.At,
			entry: record.Applied{File: obj.File, Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name},
		})
	}
	if len(waiting) > 0 {
		detail("waiting until the datapath judges by " + objectCount(len(waiting)))
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, p := range waiting {
		group.Go(func() error { return a.await(gctx, p) })
	}
	group.Go(func() error { return a.ready(gctx, others, detail) })
	if err := group.Wait(); err != nil {
		return out, err
	}
	for _, p := range waiting {
		out.Policies = append(out.Policies, p.entry)
		if p.entry.Rejected != "" {
			a.Tell(event.PolicyRejected{Task: task, Object: p.entry})
		} else {
			a.Tell(event.Applied{Task: task, Object: p.entry})
		}
	}
	return out, nil
}

// ready waits until objects are ready.
func (a *Applier) ready(ctx context.Context, refs []manifests.Ref, detail func(string)) error {
	if !a.Lenient {
		return a.API.Wait(ctx, refs, detail)
	}
	limited, cancel := context.WithTimeout(ctx, lenientTimeout)
	defer cancel()
	// Why they are not is what the checks will find.
	_ = a.API.Wait(limited, refs, detail)
	return ctx.Err()
}

// refusal is the entry of an object that the API refuses for a fault of its own.
func (a *Applier) refusal(obj manifests.Object, err error) (record.Applied, bool) {
	var refused *manifests.ApplyError
	if !errors.As(err, &refused) {
		return record.Applied{}, false
	}
	policy := policies.Is(obj.GroupVersionKind().GroupKind()) && refused.Rejected()
	if !policy && !(a.Lenient && (refused.Rejected() || apierrors.IsNotFound(err) || apierrors.IsRequestEntityTooLargeError(err))) {
		return record.Applied{}, false
	}
	entry := record.Applied{File: obj.File, Line: refused.Line(), Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
	return entry.Reject(&policies.Rejection{Reason: refused.Err.Error(), Advice: refused.Cure()}), true
}

// pending is a policy that the datapath is waited for.
type pending struct {
	ref   cluster.PolicyRef
	at    time.Time // when the API had answered; zero when it was there before
	entry record.Applied
}

// await waits for one policy, and notes in its entry a rejection or how long the
// datapath took.
func (a *Applier) await(ctx context.Context, p *pending) error {
	ctx, cancel := context.WithTimeout(ctx, enforceTimeout)
	defer cancel()
	err := a.Datapath.Enforced(ctx, p.ref)
	var rejected *cluster.RejectedError
	switch {
	case errors.As(err, &rejected):
		p.entry = p.entry.Reject(rejected.Rejection)
	case err != nil:
		return fmt.Errorf("wait until %s %s is enforced: %w", p.ref.Kind, p.ref.Name, err)
	case !p.at.IsZero():
		ms := float64(time.Since(p.at).Microseconds()) / 1000
		p.entry.EnforcedMs = &ms
	}
	return nil
}

// Remove deletes objects side by side, in no order, and waits until the datapath
// no longer judges by those that are policies. What is not there is no error.
func (a *Applier) Remove(ctx context.Context, refs []manifests.Ref) error {
	errs := make([]error, len(refs))
	var group sync.WaitGroup
	for i, ref := range refs {
		group.Go(func() {
			uid, err := a.API.Delete(ctx, ref)
			if err != nil || uid == "" {
				errs[i] = err
				return
			}
			if isPolicy(ref) {
				gone := policyRef(ref, uid, 0)
				gone.Deleted = true
				errs[i] = a.await(ctx, &pending{ref: gone})
			}
			a.Tell(event.Deleted{Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name})
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func isPolicy(ref manifests.Ref) bool { return policies.Is(ref.GVK.GroupKind()) }

func policyRef(ref manifests.Ref, uid types.UID, generation int64) cluster.PolicyRef {
	return cluster.PolicyRef{Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name, UID: string(uid), Generation: generation}
}

func objectCount(n int) string {
	if n == 1 {
		return "1 policy object"
	}
	return fmt.Sprintf("%d policy objects", n)
}
