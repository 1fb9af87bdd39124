package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cilium/cilium/pkg/fqdn"
)

// savedNames is what DNS answered a pod, in Cilium's own form.
type savedNames struct {
	History *fqdn.DNSCache          `json:"history"`
	Zombies *fqdn.DNSZombieMappings `json:"zombies"`
}

// Learned has a value when DNS answered something since it was last read.
func (e *Engine) Learned() <-chan struct{} { return e.learned }

// SaveNames returns what DNS answered the pods of this node, by pod UID, for
// RestoreNames of a later engine.
func (e *Engine) SaveNames() (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for uid, ep := range e.pods.all() {
		if ep.id == 0 {
			continue
		}
		data, err := json.Marshal(savedNames{ep.history, ep.zombies})
		if err != nil {
			return nil, fmt.Errorf("save DNS names: %w", err)
		}
		out[uid] = data
	}
	return out, nil
}

// RestoreNames makes a pod of this node have the names that an earlier engine
// saved, and returns when their addresses have the labels of the selectors that
// match. A pod that is not known has none.
func (e *Engine) RestoreNames(ctx context.Context, uid string, data json.RawMessage) error {
	ep := e.pods.uid(uid)
	if ep == nil || ep.id == 0 {
		return nil
	}
	// Cilium's own decoders replace what the receiver holds, and nothing else.
	if err := json.Unmarshal(data, &savedNames{ep.history, ep.zombies}); err != nil {
		return fmt.Errorf("restore DNS names: %w", err)
	}
	if err := e.names.restore(ctx, ep, time.Now(), e.cfg.GCInterval); err != nil {
		return err
	}
	return nil
}

// restore takes over an endpoint's names. Those that only live connections hold
// stay until the next collection has looked for these.
func (n *names) restore(ctx context.Context, ep *endpoint, now time.Time, interval time.Duration) error {
	n.mu.Lock()
	found := map[string][]netip.Addr{}
	n.cache.UpdateFromCache(ep.history)
	for addr, names := range ep.history.GetIPs() {
		for _, name := range names {
			found[name] = append(found[name], addr)
		}
	}
	holdSeconds := int(3 * interval / time.Second)
	for _, z := range ep.zombies.DumpAlive(nil) {
		for _, name := range z.Names {
			n.cache.Update(now, name, []netip.Addr{z.IP}, holdSeconds)
			if !slices.Contains(found[name], z.IP) {
				found[name] = append(found[name], z.IP)
			}
		}
	}
	n.relabel(found)
	n.mu.Unlock()
	for name, addrs := range found {
		n.reverse.put(name, addrs)
	}
	return n.settle(ctx)
}
