package testnet

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
)

// NeedNamespaces skips the test where Main was refused namespaces.
func NeedNamespaces(t testing.TB) {
	t.Helper()
	if os.Getenv(inside) != "1" {
		t.Skip("needs user and network namespaces")
	}
}

// Bare makes a namespace without any link but lo; it goes away with the test.
func Bare(t testing.TB) *Pod {
	t.Helper()
	p := &Pod{}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in its namespace
		ns, err := netns.New()
		p.ns = ns
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.ns.Close() })
	return p
}

// Path names the pod's namespace for programs that open it.
func (p *Pod) Path() string { return fmt.Sprintf("/proc/self/fd/%d", p.ns) }

// Handle is the pod's namespace.
func (p *Pod) Handle() netns.NsHandle { return p.ns }
