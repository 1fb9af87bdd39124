// Package testnet gives kernel tests a network of their own: the test process
// runs in a fresh user and network namespace, which plays the node, and pods
// are namespaces behind veths, routed as the datapath routes them. All of it
// ends with the process.
package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	inside  = "NETDOJO_TESTNET"
	refused = "refused"
)

// Every pod's next hops.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

// Main runs the tests again in namespaces of their own and exits with their
// code. Call it from TestMain.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	code, err := reexec("1", &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	})
	if err != nil {
		// No namespaces here: the tests run and say what they need.
		code, err = reexec(refused, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run tests:", err)
		code = 1
	}
	os.Exit(code)
}

func reexec(state string, attr *syscall.SysProcAttr) (int, error) {
	runtime.LockOSThread() // the death signal is tied to the parent's thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"="+state)
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Node prepares the process's own namespace as a node with that address: it
// forwards, and everything without another route leaves by a dead end, as by an
// uplink. It skips the test where namespaces are refused.
func Node(t testing.TB, addr netip.Addr) {
	t.Helper()
	if os.Getenv(inside) != "1" {
		t.Skip("needs user and network namespaces")
	}
	write(t, "/proc/sys/net/ipv4/ip_forward", "1")
	bits := 24
	if addr.Is6() {
		write(t, "/proc/sys/net/ipv6/conf/all/forwarding", "1")
		bits = 64
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	if _, err := netlink.LinkByName("eth0"); err == nil {
		return
	}
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "uplink"}))
	for _, name := range []string{"eth0", "uplink"} {
		link, err := netlink.LinkByName(name)
		must(t, err)
		if name == "eth0" {
			must(t, netlink.AddrAdd(link, own(addr, bits)))
		}
		must(t, netlink.LinkSetUp(link))
		if name == "eth0" {
			must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: prefix(zero(addr), 0), Scope: netlink.SCOPE_LINK}))
		}
	}
	waitUp(t, "eth0")
	must(t, waitLocal(addr))
}

// Pod is a namespace with one address behind the node.
type Pod struct {
	Addr netip.Addr
	Link string // the node's end
	ns   netns.NsHandle
}

// NewPod makes a pod; it goes away with the test.
func NewPod(t testing.TB, link string, addr netip.Addr) *Pod {
	t.Helper()
	p := &Pod{Addr: addr, Link: link}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in its namespace
		ns, err := netns.New()
		p.ns = ns
		done <- err
	}()
	must(t, <-done)
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: link}, PeerName: "eth0", PeerNamespace: netlink.NsFd(p.ns),
	}))
	host, err := netlink.LinkByName(link)
	must(t, err)
	must(t, netlink.LinkSetUp(host))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: host.Attrs().Index, Dst: prefix(addr, addr.BitLen()), Scope: netlink.SCOPE_LINK}))
	t.Cleanup(func() {
		_ = netlink.LinkDel(host)
		_ = p.ns.Close()
	})
	must(t, p.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		index, gateway := eth0.Attrs().Index, gateway4
		if addr.Is6() {
			gateway = gateway6
		}
		return errors.Join(
			netlink.LinkSetUp(lo), netlink.LinkSetUp(eth0),
			netlink.AddrAdd(eth0, own(addr, addr.BitLen())),
			netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: prefix(gateway, addr.BitLen()), Scope: netlink.SCOPE_LINK}),
			netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: gateway.AsSlice(),
				HardwareAddr: host.Attrs().HardwareAddr, State: netlink.NUD_PERMANENT}),
			netlink.RouteAdd(&netlink.Route{LinkIndex: index, Gw: gateway.AsSlice(), Dst: prefix(zero(addr), 0)}),
		)
	}))
	must(t, netlink.NeighSet(&netlink.Neigh{LinkIndex: host.Attrs().Index, IP: addr.AsSlice(),
		HardwareAddr: p.mac(t), State: netlink.NUD_PERMANENT}))
	waitUp(t, link)
	must(t, p.Do(func() error { waitUp(t, "eth0"); return waitLocal(addr) }))
	return p
}

// waitUp waits until a link carries packets: the kernel activates it some time
// after both ends are up, and drops what is sent before.
func waitUp(t testing.TB, name string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if link, err := netlink.LinkByName(name); err == nil && link.Attrs().OperState == netlink.OperUp {
			return
		}
	}
	t.Errorf("link %s does not come up", name)
}

// waitLocal waits until the calling thread's namespace takes what is sent to
// addresses: those of IPv6 are added in the background.
func waitLocal(addrs ...netip.Addr) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		missing := slices.IndexFunc(addrs, func(a netip.Addr) bool {
			routes, err := netlink.RouteGet(a.AsSlice())
			return err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL
		})
		switch {
		case missing < 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("address %s is not taken", addrs[missing])
		}
	}
}

// Do runs f on a thread in the pod's namespace. Sockets that f opens stay
// there; goroutines that it starts do not.
func (p *Pod) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(p.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// Dial connects from the pod.
func (p *Pod) Dial(d net.Dialer, network, addr string) (c net.Conn, err error) {
	err = p.Do(func() (err error) { c, err = d.Dial(network, addr); return err })
	return c, err
}

// Listen opens a TCP socket in the pod.
func (p *Pod) Listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	must(t, p.Do(func() (err error) { l, err = net.Listen("tcp", addr); return err }))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// ListenPacket opens a UDP socket in the pod.
func (p *Pod) ListenPacket(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	var c net.PacketConn
	must(t, p.Do(func() (err error) { c, err = net.ListenPacket("udp", addr); return err }))
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UDPConn)
}

func (p *Pod) mac(t testing.TB) (hw net.HardwareAddr) {
	t.Helper()
	must(t, p.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err == nil {
			hw = link.Attrs().HardwareAddr
		}
		return err
	}))
	return hw
}

// own is an address for a link, usable at once.
func own(a netip.Addr, bits int) *netlink.Addr {
	out := &netlink.Addr{IPNet: prefix(a, bits)}
	if a.Is6() {
		out.Flags = unix.IFA_F_NODAD
	}
	return out
}

func prefix(a netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}

func write(t testing.TB, path, value string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(value), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
