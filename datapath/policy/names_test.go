package policy

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// TestNamesExpire: a name goes after its TTL, except while a connection that it
// opened lives, and a question renews it.
func TestNamesExpire(t *testing.T) {
	var mu sync.Mutex
	var live []Conn
	var listErr error
	e := newEngine(t, func(c *Config) {
		c.ActiveConns = func(context.Context) ([]Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			return live, listErr
		}
	})
	set := func(c []Conn, err error) { mu.Lock(); live, listErr = c, err; mu.Unlock() }
	twoPods(t, e)
	apply(t, e, fqdnPolicy)
	one, two := netip.MustParseAddr("147.75.40.1"), netip.MustParseAddr("147.75.40.2")
	answer := verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{one, two}, TTL: 5 * time.Second}
	if err := e.LearnDNS(t.Context(), addrA, answer); err != nil {
		t.Fatal(err)
	}
	wantAction(t, e, to("147.75.40.1", 443), verdict.Allow)
	if p := e.Peer(one); len(p.Names) != 1 || p.Names[0] != "kubernetes.io." {
		t.Errorf("names of %v: %v", one, p.Names)
	}
	now := time.Now()
	rounds := func(n int, step time.Duration) {
		t.Helper()
		for range n {
			now = now.Add(step)
			if err := e.collectOnce(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	rounds(2, time.Second) // before the TTL
	wantAction(t, e, to("147.75.40.1", 443), verdict.Allow)

	set([]Conn{{addrA, one}}, nil)
	rounds(6, 10*time.Second)
	wantAction(t, e, to("147.75.40.1", 443), verdict.Allow)

	set(nil, errors.New("no conntrack")) // unknown is not dead
	rounds(6, 10*time.Second)
	wantAction(t, e, to("147.75.40.1", 443), verdict.Allow)

	set(nil, nil)
	before := e.Epoch()
	rounds(6, 10*time.Second)
	wantAction(t, e, to("147.75.40.1", 443), verdict.Drop)
	wantAction(t, e, to("147.75.40.2", 443), verdict.Drop)
	if e.Epoch() == before {
		t.Error("an expired name started no new epoch")
	}
	if p := e.Peer(one); len(p.Names) != 0 || p.Identity != 2 {
		t.Errorf("after expiry %v is %+v", one, p)
	}
	if err := e.LearnDNS(t.Context(), addrA, answer); err != nil {
		t.Fatal(err)
	}
	wantAction(t, e, to("147.75.40.1", 443), verdict.Allow)
}

// TestNamesOfRemovedPod: what only a removed pod had asked for goes.
func TestNamesOfRemovedPod(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	p := makePod("default", "a2")
	p.Labels["app"] = "a"
	second := netip.MustParseAddr("10.244.0.12")
	if _, err := e.SetPod(t.Context(), p, second); err != nil {
		t.Fatal(err)
	}
	apply(t, e, fqdnPolicy)
	site := netip.MustParseAddr("147.75.40.1")
	if err := e.LearnDNS(t.Context(), second, verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{site}, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	wantAction(t, e, to("147.75.40.1", 443), verdict.Allow) // names are the node's, as in Cilium
	e.RemovePod(t.Context(), "default-a2")
	for i := range 3 {
		if err := e.collectOnce(t.Context(), time.Now().Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	wantAction(t, e, to("147.75.40.1", 443), verdict.Drop)
}

// TestLearnForeign: answers for what is no pod here open nothing.
func TestLearnForeign(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	apply(t, e, fqdnPolicy)
	a := verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{netip.MustParseAddr("147.75.40.1")}, TTL: time.Hour}
	if err := e.LearnDNS(t.Context(), netip.MustParseAddr("9.9.9.9"), a); err != nil {
		t.Fatal(err)
	}
	wantAction(t, e, to("147.75.40.1", 443), verdict.Drop)
	// A name that points into the cluster selects no pod and no node.
	a.Addrs = []netip.Addr{addrB, nodeAddr}
	if err := e.LearnDNS(t.Context(), addrA, a); err != nil {
		t.Fatal(err)
	}
	wantAction(t, e, to(addrB.String(), 80), verdict.Drop)
	wantAction(t, e, to(nodeAddr.String(), 80), verdict.Drop)
}
