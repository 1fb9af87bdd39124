package policy

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// TestRestoreNames: what DNS answered before an agent's end holds after it, for
// the pod that had asked.
func TestRestoreNames(t *testing.T) {
	before := newEngine(t)
	twoPods(t, before)
	apply(t, before, fqdnPolicy)
	site := netip.MustParseAddr("147.75.40.1")
	if err := before.LearnDNS(t.Context(), addrA, verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{site}, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-before.Learned():
	default:
		t.Error("an answer was learnt, and nobody is told")
	}
	saved, err := before.SaveNames()
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	saved = nil
	if err := json.Unmarshal(file, &saved); err != nil {
		t.Fatal(err)
	}

	after := newEngine(t)
	twoPods(t, after)
	apply(t, after, fqdnPolicy)
	wantAction(t, after, to("147.75.40.1", 443), verdict.Drop)
	for uid, names := range saved {
		if err := after.RestoreNames(t.Context(), uid, names); err != nil {
			t.Fatal(err)
		}
	}
	wantAction(t, after, to("147.75.40.1", 443), verdict.Allow)
	wantAction(t, after, to("147.75.40.2", 443), verdict.Drop)
	if p := after.Peer(site); len(p.Names) != 1 || p.Names[0] != "kubernetes.io." {
		t.Errorf("names of %v: %v", site, p.Names)
	}
	// They expire like names that were learnt here.
	now := time.Now().Add(2 * time.Hour)
	for i := range 6 {
		if err := after.collectOnce(t.Context(), now.Add(time.Duration(i)*10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	wantAction(t, after, to("147.75.40.1", 443), verdict.Drop)

	// A policy that comes later finds them too.
	late := newEngine(t)
	twoPods(t, late)
	if err := late.RestoreNames(t.Context(), "default-a", saved["default-a"]); err != nil {
		t.Fatal(err)
	}
	apply(t, late, fqdnPolicy)
	wantAction(t, late, to("147.75.40.1", 443), verdict.Allow)
	if err := late.RestoreNames(t.Context(), "nobody", saved["default-a"]); err != nil {
		t.Errorf("a pod that is gone: %v", err)
	}
	if err := late.RestoreNames(t.Context(), "default-a", json.RawMessage("[]")); err == nil {
		t.Error("names that are none are no error")
	}
}
