package world

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/cilium/pkg/netns"
	"golang.org/x/sys/unix"
)

var testConfig = Config{
	NodeAddr:    netip.MustParseAddr("192.168.77.2"),
	GatewayAddr: netip.MustParseAddr("192.168.77.1"),
	PodCIDR:     netip.MustParsePrefix("10.244.0.0/16"),
	Seed:        7,
}

// newNode makes a network namespace that stands for the node's, or skips the
// test where this user may not.
func newNode(t testing.TB) *netns.NetNS {
	t.Helper()
	ns, err := netns.New()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("needs CAP_SYS_ADMIN to make network namespaces")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// startWorld starts a world linked with the node and closes it with the test.
func startWorld(t testing.TB, node *netns.NetNS, cfg Config) *World {
	t.Helper()
	var w *World
	err := node.Do(func() (err error) {
		w, err = Start(t.Context(), cfg)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// addressOf is where the world serves a name; one that it does not serve ends
// the test.
func addressOf(t testing.TB, w *World, name string) netip.Addr {
	t.Helper()
	addrs := w.Lookup(name)
	if len(addrs) == 0 {
		t.Fatalf("%s is not served", name)
	}
	return addrs[0]
}

// threadsNamespaces counts the distinct network namespaces of this process's
// threads: one, unless a thread was left in another.
func threadsNamespaces(t testing.TB) int {
	t.Helper()
	runtime.GC()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/task/" + e.Name() + "/ns/net")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread ended
		}
		if err != nil {
			t.Fatal(err)
		}
		seen[target] = true
	}
	return len(seen)
}

// openSockets counts this process's descriptors of sockets and namespaces.
func openSockets(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && (strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "net:")) {
			count++
		}
	}
	return count
}
