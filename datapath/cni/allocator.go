package cni

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/keep"
)

// rest is how long a freed address is left alone while another one is free.
const rest = time.Minute

// ExhaustedError says that every address of the prefix is taken.
type ExhaustedError struct{ Prefix netip.Prefix }

func (e *ExhaustedError) Error() string { return fmt.Sprintf("no free address in %s", e.Prefix) }

// Cure says what to do about it.
func (e *ExhaustedError) Cure() string { return "delete pods, or use a larger pod network" }

// allocator hands out a prefix's addresses round robin, so that a freed one
// comes back as late as possible. Safe for concurrent use.
type allocator struct {
	prefix netip.Prefix
	path   string // where leases are saved; empty saves nothing
	now    func() time.Time

	mu    sync.Mutex // guards all below
	state state
	freed map[netip.Addr]time.Time
}

// state is what outlives a restart.
type state struct {
	Last   netip.Addr            `json:"last"`
	Leases map[string]netip.Addr `json:"leases"` // by sandbox
}

func newAllocator(prefix netip.Prefix, path string) (*allocator, error) {
	a := &allocator{prefix: prefix.Masked(), path: path, now: time.Now, freed: map[netip.Addr]time.Time{}}
	if path != "" {
		if err := keep.Load(path, &a.state); err != nil {
			return nil, fmt.Errorf("read leases: %w", err)
		}
	}
	if a.state.Leases == nil {
		a.state.Leases = map[string]netip.Addr{}
	}
	if !a.prefix.Contains(a.state.Last) {
		a.state.Last = a.first().Prev()
	}
	return a, nil
}

// first is the lowest address given: the network's own and the one that looks
// like a gateway are not.
func (a *allocator) first() netip.Addr { return a.prefix.Addr().Next().Next() }

// usable says whether an address may be given: all but the broadcast address
// from first on.
func (a *allocator) usable(addr netip.Addr) bool {
	return a.prefix.Contains(addr) && a.prefix.Contains(addr.Next())
}

// take returns the sandbox's address, a new one if it has none.
func (a *allocator) take(sandbox string) (netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if addr, ok := a.state.Leases[sandbox]; ok {
		return addr, nil
	}
	taken := make(map[netip.Addr]bool, len(a.state.Leases))
	for _, addr := range a.state.Leases {
		taken[addr] = true
	}
	now := a.now()
	var addr, tired netip.Addr // tired is the free one that has rested longest
	next := a.state.Last
	for range 1 << (a.prefix.Addr().BitLen() - a.prefix.Bits()) {
		next = a.after(next)
		if taken[next] {
			continue
		}
		freed, was := a.freed[next]
		if !was || now.Sub(freed) >= rest {
			addr = next
			break
		}
		if !tired.IsValid() || freed.Before(a.freed[tired]) {
			tired = next
		}
	}
	if !addr.IsValid() {
		addr = tired
	}
	if !addr.IsValid() {
		return addr, &ExhaustedError{a.prefix}
	}
	a.state.Leases[sandbox], a.state.Last = addr, addr
	delete(a.freed, addr)
	return addr, a.save()
}

// after is the address that follows addr in a round.
func (a *allocator) after(addr netip.Addr) netip.Addr {
	if next := addr.Next(); a.usable(next) {
		return next
	}
	return a.first()
}

// lease returns a sandbox's address.
func (a *allocator) lease(sandbox string) (netip.Addr, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	addr, ok := a.state.Leases[sandbox]
	return addr, ok
}

// free gives the sandbox's address back.
func (a *allocator) free(sandbox string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	addr, ok := a.state.Leases[sandbox]
	if !ok {
		return nil
	}
	delete(a.state.Leases, sandbox)
	a.freed[addr] = a.now()
	return a.save()
}

func (a *allocator) save() error {
	if a.path == "" {
		return nil
	}
	if err := keep.Save(a.path, a.state); err != nil {
		return fmt.Errorf("save leases: %w", err)
	}
	return nil
}
