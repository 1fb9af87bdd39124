package cni

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

func take(t *testing.T, a *allocator, sandbox string) string {
	t.Helper()
	addr, err := a.take(sandbox)
	if err != nil {
		t.Fatalf("take %s: %v", sandbox, err)
	}
	return addr.String()
}

func free(t *testing.T, a *allocator, sandbox string) {
	t.Helper()
	if err := a.free(sandbox); err != nil {
		t.Fatalf("free %s: %v", sandbox, err)
	}
}

func TestAllocatorGoesRound(t *testing.T) {
	// /29: .0 network, .1 looks like a gateway, .7 broadcast.
	a, err := newAllocator(netip.MustParsePrefix("10.0.0.0/29"), "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	a.now = func() time.Time { return now }
	if got := take(t, a, "a"); got != "10.0.0.2" {
		t.Errorf("first address is %s", got)
	}
	if got := take(t, a, "a"); got != "10.0.0.2" {
		t.Errorf("the same sandbox got another address: %s", got)
	}
	free(t, a, "a")
	for i, want := range []string{"10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"} {
		if got := take(t, a, string(rune('b'+i))); got != want {
			t.Errorf("got %s, want %s: a freed address did not rest", got, want)
		}
	}
	now = now.Add(time.Second)
	free(t, a, "d")
	// All free ones are resting: the one that rested longest is given.
	if got := take(t, a, "f"); got != "10.0.0.2" {
		t.Errorf("got %s, want 10.0.0.2", got)
	}
	if got := take(t, a, "g"); got != "10.0.0.5" {
		t.Errorf("got %s, want the last free one", got)
	}
	var full *ExhaustedError
	if _, err := a.take("h"); !errors.As(err, &full) || full.Cure() == "" {
		t.Errorf("a full prefix gives %v", err)
	}
}

func TestAllocatorSaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "addresses.json")
	prefix := netip.MustParsePrefix("10.0.0.0/24")
	a, err := newAllocator(prefix, path)
	if err != nil {
		t.Fatal(err)
	}
	first, second := take(t, a, "a"), take(t, a, "b")
	free(t, a, "b")
	again, err := newAllocator(prefix, path)
	if err != nil {
		t.Fatal(err)
	}
	if got := take(t, again, "a"); got != first {
		t.Errorf("after a restart a has %s, had %s", got, first)
	}
	if got := take(t, again, "c"); got == second {
		t.Errorf("after a restart %s is given at once again", got)
	}
}
