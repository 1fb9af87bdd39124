package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// enforceTimeout bounds the wait for the datapath to judge by a policy.
const enforceTimeout = 20 * time.Second

// policyKinds are the kinds that the datapath judges by.
var policyKinds = []schema.GroupVersionKind{
	{Group: "cilium.io", Version: "v2", Kind: "CiliumNetworkPolicy"},
	{Group: "cilium.io", Version: "v2", Kind: "CiliumClusterwideNetworkPolicy"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "policy.networking.k8s.io", Version: "v1alpha2", Kind: "ClusterNetworkPolicy"},
}

func isPolicy(gvk schema.GroupVersionKind) bool {
	return slices.ContainsFunc(policyKinds, func(k schema.GroupVersionKind) bool { return k.GroupKind() == gvk.GroupKind() })
}

// applyFiles applies the objects of files in their order, then waits side by
// side until the datapath judges by the policies and the rest is ready.
func (s *session) applyFiles(ctx context.Context, task *record.Task, files []string, detail func(string)) error {
	objects, err := s.read(files)
	if err != nil {
		return err
	}
	type pending struct {
		ref   manifests.Ref
		res   manifests.Result
		entry record.Applied
	}
	var policies []*pending
	var others []manifests.Ref
	for _, obj := range objects {
		entry := record.Applied{File: obj.File, Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
		ref, res, err := s.apply(ctx, obj)
		var refused *manifests.ApplyError
		if errors.As(err, &refused) && refused.Rejected() && isPolicy(obj.GroupVersionKind()) {
			entry.Line, entry.Rejected = refused.Line(), refused.Err.Error()
			task.Policies = append(task.Policies, entry)
			s.emit(event.PolicyRejected{Task: task.ID, Object: entry})
			continue
		}
		if err != nil {
			return err
		}
		s.applied = append(s.applied, ref)
		if !isPolicy(ref.GVK) {
			others = append(others, ref)
			continue
		}
		entry.Namespace = ref.Namespace
		policies = append(policies, &pending{ref: ref, res: res, entry: entry})
	}
	if len(policies) > 0 {
		detail("waiting until the datapath judges by " + plural(len(policies), "policy object"))
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, p := range policies {
		group.Go(func() error {
			entry, err := s.enforced(gctx, policyRef(p.ref, string(p.res.GetUID()), p.res.GetGeneration()), p.entry)
			if entry.Rejected == "" && err == nil {
				ms := milliseconds(time.Since(p.res.At))
				entry.EnforcedMs = &ms
			}
			p.entry = entry
			return err
		})
	}
	group.Go(func() error { return s.conn.objects.Wait(gctx, others, detail) })
	if err := group.Wait(); err != nil {
		return err
	}
	for _, p := range policies {
		task.Policies = append(task.Policies, p.entry)
		if p.entry.Rejected != "" {
			s.emit(event.PolicyRejected{Task: task.ID, Object: p.entry})
		} else {
			s.emit(event.Applied{Task: task.ID, Object: p.entry})
		}
	}
	return nil
}

// enforced waits for one policy, and notes a rejection in its entry.
func (s *session) enforced(ctx context.Context, ref cluster.PolicyRef, entry record.Applied) (record.Applied, error) {
	wctx, cancel := context.WithTimeout(ctx, enforceTimeout)
	defer cancel()
	err := s.handle.Enforced(wctx, ref)
	var rejected *cluster.RejectedError
	switch {
	case errors.As(err, &rejected):
		entry.Rejected = rejected.Reason
		return entry, nil
	case err != nil:
		return entry, fmt.Errorf("wait until %s %s is enforced: %w", ref.Kind, ref.Name, err)
	}
	return entry, nil
}

func policyRef(ref manifests.Ref, uid string, generation int64) cluster.PolicyRef {
	return cluster.PolicyRef{Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name, UID: uid, Generation: generation}
}

func firstRejected(applied []record.Applied) *record.Applied {
	for i := range applied {
		if applied[i].Rejected != "" {
			return &applied[i]
		}
	}
	return nil
}

// standing lists the policies that a learner has, waits until the datapath
// judges by them, and tells those that it rejects.
func (s *session) standing(ctx context.Context) ([]record.Applied, error) {
	found, err := s.policies(ctx)
	if err != nil {
		return nil, &EnvironmentError{During: "List the policies", Err: err}
	}
	entries := make([]record.Applied, len(found))
	group, gctx := errgroup.WithContext(ctx)
	for i, p := range found {
		group.Go(func() error {
			entry := record.Applied{Kind: p.ref.GVK.Kind, Namespace: p.ref.Namespace, Name: p.ref.Name}
			entry, err := s.enforced(gctx, policyRef(p.ref, p.uid, p.generation), entry)
			entries[i] = entry
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, &EnvironmentError{During: "Read the policies", Err: err}
	}
	for _, e := range entries {
		if e.Rejected != "" {
			s.emit(event.PolicyRejected{Object: e})
		}
	}
	return entries, nil
}

// astray names policies that have a solution's name and kind but stand in a
// namespace where they select none of the lab's pods.
func (s *session) astray(ctx context.Context) error {
	for _, t := range s.tasks {
		objects, err := s.read(t.Solution)
		if err != nil {
			return err
		}
		for _, obj := range objects {
			want := obj.Ref(s.o.Lab.Namespace)
			if !isPolicy(want.GVK) {
				continue
			}
			items, err := s.conn.objects.List(ctx, want.GVK, "", "")
			if err != nil {
				return &EnvironmentError{During: "List the policies", Err: err}
			}
			for _, found := range items {
				ns := found.GetNamespace()
				if found.GetName() != want.Name || ns == "" || ns == want.Namespace {
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

type policyObject struct {
	ref        manifests.Ref
	uid        string
	generation int64
}

// policies lists every policy that can judge the lab's pods: those of its
// namespaces and the clusterwide ones, sorted by kind and name.
func (s *session) policies(ctx context.Context) ([]policyObject, error) {
	namespaces := []string{s.o.Lab.Namespace}
	for _, t := range s.o.Lab.Tasks {
		for _, c := range t.Checks {
			if !slices.Contains(namespaces, c.From.Namespace) {
				namespaces = append(namespaces, c.From.Namespace)
			}
		}
	}
	var mu sync.Mutex // guards found
	var found []policyObject
	group, gctx := errgroup.WithContext(ctx)
	for _, gvk := range policyKinds {
		in := namespaces
		if gvk.Kind == "CiliumClusterwideNetworkPolicy" || gvk.Kind == "ClusterNetworkPolicy" {
			in = []string{""}
		}
		for _, ns := range in {
			group.Go(func() error {
				items, err := s.conn.objects.List(gctx, gvk, ns, "")
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				for i := range items {
					if _, marker := items[i].GetLabels()[cluster.MarkerLabel]; marker {
						continue
					}
					found = append(found, policyObject{
						ref: manifests.Ref{GVK: gvk, Namespace: items[i].GetNamespace(), Name: items[i].GetName()},
						uid: string(items[i].GetUID()), generation: items[i].GetGeneration(),
					})
				}
				return nil
			})
		}
	}
	err := group.Wait()
	slices.SortFunc(found, func(a, b policyObject) int {
		return compareText(a.ref.String(), b.ref.String())
	})
	return found, err
}

// cleanState removes the policies that the lab's files name, and says which
// others stay and will judge the lab's pods.
func (s *session) cleanState(ctx context.Context) error {
	found, err := s.policies(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	ours := map[string]bool{}
	for _, t := range s.o.Lab.Tasks {
		files := slices.Clone(t.Solution)
		for _, w := range t.Wrong {
			files = append(files, w.Files...)
		}
		objects, err := s.read(files)
		if err != nil {
			return err
		}
		for _, obj := range objects {
			ref := obj.Ref(s.o.Lab.Namespace)
			ours[ref.GVK.Kind+" "+ref.Name] = true
		}
	}
	var old []manifests.Ref
	for _, p := range found {
		// Somebody's clusterwide policy on their own cluster is theirs, whatever it is called.
		if ours[p.ref.GVK.Kind+" "+p.ref.Name] && (p.ref.Namespace != "" || s.visit.home == "") {
			old = append(old, p.ref)
			continue
		}
		s.emit(event.Notice{Text: p.ref.String() + " is not the lab's; it stays and may change what the checks see"})
	}
	if err := s.remove(ctx, old); err != nil {
		return err
	}
	for _, ref := range old {
		s.emit(event.Notice{Text: ref.String() + " was there from before; the lab begins without it"})
	}
	return nil
}

// remove deletes objects side by side, last first where order matters to nobody,
// and waits until the datapath no longer judges by those that are policies.
func (s *session) remove(ctx context.Context, refs []manifests.Ref) error {
	errs := make([]error, len(refs))
	var group sync.WaitGroup
	for i, ref := range refs {
		group.Go(func() {
			uid, err := s.conn.objects.Delete(ctx, ref)
			if err != nil || uid == "" {
				errs[i] = err
				return
			}
			if isPolicy(ref.GVK) {
				gone := policyRef(ref, string(uid), 0)
				gone.Deleted = true
				_, errs[i] = s.enforced(ctx, gone, record.Applied{})
			}
			s.emit(event.Deleted{Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name})
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
