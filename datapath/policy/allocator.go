package policy

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/cache"
	"github.com/cilium/cilium/pkg/labels"
)

// The numbers that identities of pods have. They start above Cilium's well-known
// ones, as in a cluster.
const (
	FirstPodIdentity = 1024
	LastPodIdentity  = 65535
)

var errIdentitiesUsedUp = errors.New("no numeric identity is free")

// allocator numbers sets of labels, with reference counts. Pods get numbers of
// the cluster's range, CIDRs and DNS names of the node's own. It serves the
// IP cache as its identity allocator; unlike Cilium's it needs no key-value
// store and runs no goroutine.
type allocator struct {
	notify func(added, deleted identity.IdentityMap) // told of released identities
	// byName gives pods' labels the numbers that they have on other nodes too: where to
	// look for a free one first is a digest of the labels.
	byName bool

	mu       sync.Mutex
	byLabels map[string]*numbered
	byID     map[identity.NumericIdentity]*numbered
	next     map[identity.NumericIdentity]identity.NumericIdentity // scope → next to try
}

type numbered struct {
	identity *identity.Identity
	key      string
	labels   []string // for flows
	refs     int
}

func newAllocator(byName bool, notify func(added, deleted identity.IdentityMap)) *allocator {
	return &allocator{
		notify:   notify,
		byName:   byName,
		byLabels: map[string]*numbered{},
		byID:     map[identity.NumericIdentity]*numbered{},
		next:     map[identity.NumericIdentity]identity.NumericIdentity{},
	}
}

// acquire returns the identity of labels and takes a reference. fresh says that
// the selector caches do not know it yet.
func (a *allocator) acquire(lbls labels.Labels) (id *identity.Identity, fresh bool, err error) {
	if reserved := identity.LookupReservedIdentityByLabels(lbls); reserved != nil {
		return reserved, false, nil
	}
	key := string(lbls.SortedList())
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.byLabels[key]; n != nil {
		n.refs++
		return n.identity, false, nil
	}
	scope := identity.ScopeForLabels(lbls)
	first, last := identity.NumericIdentity(identity.MinAllocatorLocalIdentity), identity.NumericIdentity(identity.MaxAllocatorLocalIdentity)
	if scope == identity.IdentityScopeGlobal {
		first, last = FirstPodIdentity, LastPodIdentity
	}
	candidate := max(a.next[scope], first)
	if a.byName && scope == identity.IdentityScopeGlobal {
		digest := fnv.New32a()
		_, _ = digest.Write([]byte(key)) // a hash takes everything
		candidate = first + identity.NumericIdentity(digest.Sum32())%(last-first+1)
	}
	for range last - first + 1 {
		nid := candidate | scope
		if candidate++; candidate > last {
			candidate = first
		}
		if a.byID[nid] != nil {
			continue
		}
		a.next[scope] = candidate
		n := &numbered{identity: identity.NewIdentity(nid, lbls), key: key, refs: 1}
		n.labels = n.identity.LabelArray.GetModel()
		a.byLabels[key], a.byID[nid] = n, n
		return n.identity, true, nil
	}
	return nil, false, errIdentitiesUsedUp
}

// release gives references back and returns the identities that nobody holds
// any more. The caller tells the selector caches.
func (a *allocator) release(ids ...identity.NumericIdentity) (gone identity.IdentityMap) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone = identity.IdentityMap{}
	for _, id := range ids {
		n := a.byID[id]
		if n == nil {
			continue // reserved ones are never counted
		}
		if n.refs--; n.refs > 0 {
			continue
		}
		delete(a.byLabels, n.key)
		delete(a.byID, id)
		gone[id] = n.identity.LabelArray
	}
	return gone
}

// labelsOf returns an identity's labels for flows, sorted. Not to be changed.
func (a *allocator) labelsOf(id identity.NumericIdentity) []string {
	a.mu.Lock()
	n := a.byID[id]
	a.mu.Unlock()
	if n != nil {
		return n.labels
	}
	if r := identity.LookupReservedIdentity(id); r != nil {
		return r.LabelArray.GetModel()
	}
	return nil
}

func (a *allocator) AllocateLocalIdentity(lbls labels.Labels, notifyOwner bool, _ identity.NumericIdentity) (*identity.Identity, bool, error) {
	id, fresh, err := a.acquire(lbls)
	if err == nil && fresh && notifyOwner {
		a.notify(identity.IdentityMap{id.ID: id.LabelArray}, nil)
	}
	return id, fresh, err
}

func (a *allocator) AllocateIdentity(_ context.Context, lbls labels.Labels, notifyOwner bool, old identity.NumericIdentity) (*identity.Identity, bool, error) {
	return a.AllocateLocalIdentity(lbls, notifyOwner, old)
}

func (a *allocator) ReleaseLocalIdentities(ids ...identity.NumericIdentity) ([]identity.NumericIdentity, error) {
	gone := a.release(ids...)
	out := make([]identity.NumericIdentity, 0, len(gone))
	for id := range gone {
		out = append(out, id)
	}
	if len(gone) > 0 {
		a.notify(nil, gone)
	}
	return out, nil
}

func (a *allocator) Release(_ context.Context, id *identity.Identity, _ bool) (bool, error) {
	gone, err := a.ReleaseLocalIdentities(id.ID)
	return len(gone) > 0, err
}

func (a *allocator) LookupIdentity(_ context.Context, lbls labels.Labels) *identity.Identity {
	if r := identity.LookupReservedIdentityByLabels(lbls); r != nil {
		return r
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.byLabels[string(lbls.SortedList())]; n != nil {
		return n.identity
	}
	return nil
}

func (a *allocator) LookupIdentityByID(_ context.Context, id identity.NumericIdentity) *identity.Identity {
	return a.find(id)
}

// find returns the identity of that number; nil when there is none.
func (a *allocator) find(id identity.NumericIdentity) *identity.Identity {
	a.mu.Lock()
	n := a.byID[id]
	a.mu.Unlock()
	if n != nil {
		return n.identity
	}
	return identity.LookupReservedIdentity(id)
}

func (a *allocator) GetIdentityCache() identity.IdentityMap {
	out := identity.ListReservedIdentities()
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, n := range a.byID {
		out[id] = n.identity.LabelArray
	}
	return out
}

// The rest of cache.IdentityAllocator is for stores that several nodes share.

func (a *allocator) GetIdentities() cache.IdentitiesModel                 { return nil }
func (a *allocator) WaitForInitialGlobalIdentities(context.Context) error { return nil }
func (a *allocator) WithholdLocalIdentities([]identity.NumericIdentity)   {}
func (a *allocator) UnwithholdLocalIdentities([]identity.NumericIdentity) {}
func (a *allocator) Observe(_ context.Context, _ func(cache.IdentityChange), complete func(error)) {
	complete(nil)
}

var _ cache.IdentityAllocator = (*allocator)(nil)
