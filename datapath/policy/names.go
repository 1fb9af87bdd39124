package policy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/fqdn"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/source"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// names ties toFQDNs selectors to addresses: what DNS answered is labelled in
// the IP cache with the selectors that match the name. It does what Cilium's
// namemanager does, which cannot be linked without its endpoint manager.
type names struct {
	logger *slog.Logger
	ipc    *ipcache.IPCache
	ipv6   bool           // addresses of IPv6 count too
	cache  *fqdn.DNSCache // of all pods

	// mu guards what follows, and orders changes of the cache with those of the
	// IP cache. It is a leaf under the selector cache's lock.
	mu        sync.Mutex
	selectors map[api.FQDNSelector]*regexp.Regexp
	pending   uint64 // IP cache revision that holds the last change

	reverse reverseNames
}

func newNames(logger *slog.Logger, ipc *ipcache.IPCache, ipv6 bool) *names {
	n := &names{
		logger: logger, ipc: ipc, ipv6: ipv6, cache: fqdn.NewDNSCache(0),
		selectors: map[api.FQDNSelector]*regexp.Regexp{},
	}
	n.cache.DisableCleanupTrack()
	return n
}

// RegisterFQDNSelector is called by the selector cache for a selector's first user.
func (n *names) RegisterFQDNSelector(sel api.FQDNSelector) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	re, err := sel.ToRegex()
	if err != nil {
		n.logger.Error("DNS selector that passed validation does not compile", "selector", sel.String(), "error", err)
		return 0
	}
	n.selectors[sel] = re
	return n.relabel(n.cache.LookupByRegexp(re))
}

// UnregisterFQDNSelector is called by the selector cache after a selector's last user.
func (n *names) UnregisterFQDNSelector(sel api.FQDNSelector) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	re := n.selectors[sel]
	delete(n.selectors, sel)
	if re == nil {
		return 0
	}
	return n.relabel(n.cache.LookupByRegexp(re))
}

// learn records an answer that a pod got and returns when its addresses have
// the labels of the selectors that match the name.
func (n *names) learn(ctx context.Context, ep *endpoint, a verdict.Answer, now time.Time) error {
	ttl := int((a.TTL + time.Second - 1) / time.Second)
	var addrs []netip.Addr
	for _, ip := range a.Addrs {
		if ip = ip.Unmap(); ip.Is4() || n.ipv6 {
			addrs = append(addrs, ip)
		}
	}
	if len(addrs) == 0 {
		return nil
	}
	n.mu.Lock()
	ep.zombies.ForceExpireByNameIP(now, a.Name, addrs...)
	ep.history.Update(now, a.Name, addrs, ttl)
	if n.cache.Update(now, a.Name, addrs, ttl, ep.history).Upserted {
		n.relabel(map[string][]netip.Addr{a.Name: addrs})
	}
	n.mu.Unlock()
	n.reverse.put(a.Name, addrs)
	return n.settle(ctx) // another pod's same question may be on its way still
}

// relabel brings the IP cache's labels of these names' addresses up to date.
// The caller holds mu.
func (n *names) relabel(found map[string][]netip.Addr) (revision uint64) {
	var add, drop []ipcache.MU
	for name, addrs := range found {
		lbls := n.labelsLocked(name)
		for _, a := range addrs {
			if len(lbls) > 0 {
				add = append(add, nameUpdate(name, a, lbls))
			} else {
				drop = append(drop, nameUpdate(name, a, lbls))
			}
		}
	}
	if len(add) > 0 {
		revision = n.ipc.UpsertMetadataBatch(add...)
	}
	if len(drop) > 0 {
		revision = n.ipc.RemoveMetadataBatch(drop...)
	}
	n.pending = max(n.pending, revision)
	return revision
}

// labelsLocked gives the labels of the selectors that match a name. The caller
// holds mu.
func (n *names) labelsLocked(name string) labels.Labels {
	lbls := labels.Labels{}
	for sel, re := range n.selectors {
		if re.MatchString(name) {
			l := sel.IdentityLabel()
			lbls[l.Key] = l
		}
	}
	return lbls
}

func nameUpdate(name string, a netip.Addr, lbls labels.Labels) ipcache.MU {
	return ipcache.MU{
		Prefix:   cmtypes.NewLocalPrefixCluster(netip.PrefixFrom(a, a.BitLen())),
		Source:   source.Generated,
		Resource: ipcachetypes.NewResourceID(ipcachetypes.ResourceKindDaemon, "dns", name),
		Metadata: []ipcache.IPMetadata{lbls},
	}
}

// settle waits until the IP cache holds what selectors asked for so far.
func (n *names) settle(ctx context.Context) error {
	n.mu.Lock()
	revision := n.pending
	n.mu.Unlock()
	if revision == 0 {
		return nil
	}
	if err := waitIPCache(ctx, n.ipc, revision); err != nil {
		return fmt.Errorf("label addresses of DNS names: %w", err)
	}
	return nil
}

// of returns the names that gave an address, newest first. Not to be changed.
func (n *names) of(a netip.Addr) []string { return n.reverse.get(a) }

// collect drops what expired and no live connection uses. alive is nil when
// the live connections are not known, and then nothing that expired goes. It
// returns whether an address lost a name.
func (n *names) collect(ctx context.Context, eps []*endpoint, alive map[netip.Addr]map[netip.Addr]bool, now time.Time, interval time.Duration) (bool, error) {
	holdSeconds := int(2*interval/time.Second) + 1
	held := fqdn.NewDNSCache(0)
	clean := sets.New[string]()
	n.mu.Lock()
	owned := sets.New[string]()
	caches := []*fqdn.DNSCache{held}
	for _, ep := range eps {
		if alive != nil {
			for _, addr := range ep.addrs {
				for dst := range alive[addr] {
					ep.zombies.MarkAlive(now, dst)
				}
			}
			ep.zombies.SetCTGCTime(now, now.Add(interval))
		}
		owned = owned.Union(ep.history.DumpNames())
		clean = clean.Union(ep.history.GC(now, ep.zombies))
		living, dead := ep.zombies.GC()
		for _, z := range living {
			for _, name := range z.Names {
				clean.Insert(name)
				owned.Insert(name)
				// By the clock that ReplaceFromCacheByNames goes by, not by now.
				held.Update(time.Now(), name, []netip.Addr{z.IP}, holdSeconds)
			}
		}
		for _, z := range dead {
			clean.Insert(z.Names...)
		}
		caches = append(caches, ep.history)
	}
	clean = clean.Union(n.cache.DumpNames().Difference(owned))
	var drop []ipcache.MU
	if clean.Len() > 0 {
		stale := n.cache.ReplaceFromCacheByNames(clean.UnsortedList(), caches...)
		n.cache.RemoveKnown(stale)
		for a, gone := range stale {
			for _, name := range gone {
				drop = append(drop, nameUpdate(name, a, labels.Labels{}))
			}
			n.reverse.drop(a, gone)
		}
	}
	if len(drop) > 0 {
		n.pending = max(n.pending, n.ipc.RemoveMetadataBatch(drop...))
	}
	n.mu.Unlock() // or the wait below could wait for itself
	if len(drop) == 0 {
		return false, nil
	}
	return true, n.settle(ctx)
}

// reverseNames finds the names of an address, newest first.
type reverseNames struct {
	mu sync.RWMutex
	m  map[netip.Addr][]string
}

func (r *reverseNames) get(a netip.Addr) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.m[a]
}

func (r *reverseNames) put(name string, addrs []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[netip.Addr][]string{}
	}
	for _, a := range addrs {
		if old := r.m[a]; len(old) == 0 || old[0] != name {
			r.m[a] = slices.Concat([]string{name}, without(old, name))
		}
	}
}

func (r *reverseNames) drop(a netip.Addr, gone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := without(r.m[a], gone...)
	if len(left) == 0 {
		delete(r.m, a)
		return
	}
	r.m[a] = left
}

func without(list []string, gone ...string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(gone, s) {
			out = append(out, s)
		}
	}
	return out
}
