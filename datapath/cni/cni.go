// Package cni connects pods to the node: an address of their own, a veth pair,
// and routes by which all their traffic passes the node's IP hooks. It knows no
// policy.
//
// A pod has a /32, and a /128 where pods have IPv6. Its gateways 169.254.1.1 and
// fe80::1 are nobody's addresses: a permanent neighbour entry points them at the
// node's end of the pair, and one in the node points the pod's address at the
// pod. Nothing needs ARP or neighbour discovery, so nothing can be spoofed with it.
package cni

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

const (
	// IfacePrefix is what the names of the node's ends of pod links begin with.
	IfacePrefix = "nd"
	// PodIface is the name of the pod's end.
	PodIface   = "eth0"
	defaultMTU = 1500
	// carrierPatience bounds the wait for a link that takes some milliseconds.
	carrierPatience = 5 * time.Second
)

var (
	gateways = map[int]netip.Addr{ // by the size of an address
		4: netip.MustParseAddr("169.254.1.1"), 16: netip.MustParseAddr("fe80::1"),
	}
	gatewayMAC = net.HardwareAddr{0x02, 0x00, 169, 254, 1, 1}
)

// Config says what pods are connected to.
type Config struct {
	// PodCIDR is a range of each family, both of one size: a pod has the same place in
	// both. Without one of IPv6 pods have no such address.
	PodCIDR  ipfamily.Pair[netip.Prefix]
	NodeAddr ipfamily.Pair[netip.Addr] // what the node's own connections to pods come from
	MTU      int                       // of pod links; 0 means 1500
	// RunDir holds the leases of a run; empty keeps them in memory.
	RunDir string
	Logger *slog.Logger
}

// AttachRequest names a pod's sandbox.
type AttachRequest struct {
	SandboxID    string
	NetNS        string // path of its network namespace
	PodNamespace string
	PodName      string
	PodUID       string
	// HostNetwork says that the pod lives in the node's network namespace.
	HostNetwork bool
}

// Result is how a sandbox was connected.
type Result struct {
	Addrs      []netip.Addr // one of each family, IPv4 first
	HostIface  string
	GatewayMAC net.HardwareAddr
}

// Network connects sandboxes. Methods are safe for concurrent use, for
// different sandboxes.
type Network struct {
	cfg       Config
	addresses *allocator
}

// New returns the network of the calling process's network namespace, with the
// leases that an earlier process of the same run saved.
func New(cfg Config) (*Network, error) {
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	path := ""
	if cfg.RunDir != "" {
		path = filepath.Join(cfg.RunDir, "addresses.json")
	}
	addresses, err := newAllocator(cfg.PodCIDR.V4, path)
	if err != nil {
		return nil, err
	}
	return &Network{cfg: cfg, addresses: addresses}, nil
}

// Reserve gives the sandbox its addresses, one of each family, without connecting
// it yet, so that its identity can be told before its first packet. Attach uses
// these.
func (n *Network) Reserve(sandbox string) ([]netip.Addr, error) {
	addr, err := n.addresses.take(sandbox)
	if err != nil {
		return nil, err
	}
	return n.both(addr), nil
}

// both are the addresses of the pod that has addr.
func (n *Network) both(addr netip.Addr) []netip.Addr {
	if !n.cfg.PodCIDR.V6.IsValid() {
		return []netip.Addr{addr}
	}
	place := binary.BigEndian.Uint32(addr.AsSlice()) - binary.BigEndian.Uint32(n.cfg.PodCIDR.V4.Masked().Addr().AsSlice())
	six := n.cfg.PodCIDR.V6.Masked().Addr().As16()
	binary.BigEndian.PutUint32(six[12:], binary.BigEndian.Uint32(six[12:])+place)
	return []netip.Addr{addr, netip.AddrFrom16(six)}
}

// Attach connects a sandbox. One that is connected already is connected anew.
// On error nothing of it is left but its address, which Detach frees.
func (n *Network) Attach(ctx context.Context, req AttachRequest) (Result, error) {
	addrs, err := n.Reserve(req.SandboxID)
	if err != nil {
		return Result{}, fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
	}
	result := Result{Addrs: addrs, HostIface: hostIface(req.SandboxID), GatewayMAC: gatewayMAC}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if err := n.connect(ctx, req, result); err != nil {
		err = fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
		return Result{}, errors.Join(err, deleteLink(result.HostIface))
	}
	return result, nil
}

// Detach removes a sandbox's link, its conntrack entries and its lease, in
// that order: the next owner of the address meets no old connection. What is
// gone already is no error.
func (n *Network) Detach(ctx context.Context, sandbox string) error {
	addr, ok := n.addresses.lease(sandbox)
	err := deleteLink(hostIface(sandbox))
	if ok {
		err = errors.Join(err, FlushConntrack(n.both(addr)...), n.addresses.free(sandbox))
	}
	if err != nil {
		return fmt.Errorf("detach sandbox %s: %w", sandbox, err)
	}
	return nil
}

// Addrs returns the addresses of a sandbox; none when it has no lease.
func (n *Network) Addrs(sandbox string) []netip.Addr {
	addr, ok := n.addresses.lease(sandbox)
	if !ok {
		return nil
	}
	return n.both(addr)
}

// Attached says whether a sandbox has its link: one that an earlier process
// connected may be gone since.
func (n *Network) Attached(sandbox string) bool {
	_, err := netlink.LinkByName(hostIface(sandbox))
	return err == nil
}

// hostIface is the name of the node's end of a sandbox's link.
func hostIface(sandbox string) string {
	sum := sha256.Sum256([]byte(sandbox))
	return IfacePrefix + hex.EncodeToString(sum[:6])
}

// podMAC is the pod's link address, the same for an address every time.
func podMAC(addr netip.Addr) net.HardwareAddr {
	ip := addr.As4()
	return net.HardwareAddr{0x02, 0x01, ip[0], ip[1], ip[2], ip[3]}
}

func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil
		}
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// connect makes the pair and sets both ends up.
func (n *Network) connect(ctx context.Context, req AttachRequest, r Result) error {
	if err := deleteLink(r.HostIface); err != nil {
		return err
	}
	ns, err := netns.GetFromPath(req.NetNS)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", req.NetNS, err)
	}
	defer ns.Close()
	pod, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", req.NetNS, err)
	}
	defer pod.Close()

	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = r.HostIface, n.cfg.MTU, gatewayMAC
	if err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: PodIface, PeerNamespace: netlink.NsFd(ns),
		PeerHardwareAddr: podMAC(r.Addrs[0]),
	}); err != nil {
		return fmt.Errorf("add link %s: %w", r.HostIface, err)
	}
	if err := n.setUpPod(pod, r); err != nil {
		return err
	}
	if err := n.setUpNode(r); err != nil {
		return err
	}
	return waitUntilReady(ctx, pod, r.Addrs)
}

// waitUntilReady returns when the pod sends and receives. The kernel gives its end
// a queue some time after the node's end went up, and drops until then; and what
// is sent to an address of IPv6 is the pod's only when a worker of the kernel's
// has made it so.
func waitUntilReady(ctx context.Context, pod *netlink.Handle, addrs []netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, carrierPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		link, err := pod.LinkByName(PodIface)
		if err != nil {
			return fmt.Errorf("find pod's link: %w", err)
		}
		up := link.Attrs().OperState == netlink.OperUp
		if up && !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is6() && !isLocal(pod, a) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until pod's link is up with its addresses, it is %s: %w", link.Attrs().OperState, ctx.Err())
		case <-tick.C:
		}
	}
}

// isLocal says whether a namespace takes what is sent to an address. An error is
// that there is no way there at all.
func isLocal(h *netlink.Handle, a netip.Addr) bool {
	routes, err := h.RouteGet(a.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// noIPv6Address keeps a link from having a link-local address.
const noIPv6Address = 1

func (n *Network) setUpPod(pod *netlink.Handle, r Result) error {
	lo, err := pod.LinkByName("lo")
	if err == nil {
		err = pod.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set pod's lo up: %w", err)
	}
	link, err := pod.LinkByName(PodIface)
	if err != nil {
		return fmt.Errorf("find pod's link: %w", err)
	}
	// Link-local addresses would be a way past the pod's own. An error means a
	// kernel without IPv6: nothing to shut there.
	_ = pod.LinkSetIP6AddrGenMode(link, noIPv6Address)
	if err := pod.LinkSetMTU(link, n.cfg.MTU); err != nil {
		return fmt.Errorf("set pod's MTU: %w", err)
	}
	if err := pod.LinkSetUp(link); err != nil {
		return fmt.Errorf("set pod's link up: %w", err)
	}
	for _, addr := range r.Addrs {
		if err := addPodAddr(pod, link, addr, r.GatewayMAC); err != nil {
			return err
		}
	}
	return nil
}

// addPodAddr gives the pod's end an address, and the way by its gateway.
func addPodAddr(pod *netlink.Handle, link netlink.Link, addr netip.Addr, gatewayMAC net.HardwareAddr) error {
	f, index := family.Of(addr), link.Attrs().Index
	gateway := gateways[int(f.Size)]
	own := &netlink.Addr{IPNet: hostNet(addr)}
	if addr.Is6() {
		own.Flags = unix.IFA_F_NODAD // nobody else is on the link
	}
	if err := pod.AddrReplace(link, own); err != nil {
		return fmt.Errorf("add pod's address %s: %w", addr, err)
	}
	if err := pod.NeighSet(permanent(index, gateway, gatewayMAC)); err != nil {
		return fmt.Errorf("add pod's gateway %s: %w", gateway, err)
	}
	if err := pod.RouteReplace(&netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_LINK, Dst: hostNet(gateway)}); err != nil {
		return fmt.Errorf("add route to pod's gateway %s: %w", gateway, err)
	}
	if err := pod.RouteReplace(&netlink.Route{LinkIndex: index, Gw: gateway.AsSlice(), Dst: f.Everything()}); err != nil {
		return fmt.Errorf("add pod's default route of %s: %w", f.Name, err)
	}
	return nil
}

func (n *Network) setUpNode(r Result) error {
	link, err := netlink.LinkByName(r.HostIface)
	if err != nil {
		return fmt.Errorf("find link %s: %w", r.HostIface, err)
	}
	_ = netlink.LinkSetIP6AddrGenMode(link, noIPv6Address)
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", r.HostIface, err)
	}
	index := link.Attrs().Index
	for _, addr := range r.Addrs {
		if err := netlink.NeighSet(permanent(index, addr, podMAC(r.Addrs[0]))); err != nil {
			return fmt.Errorf("add neighbour %s: %w", addr, err)
		}
		route := &netlink.Route{LinkIndex: index, Dst: hostNet(addr), Scope: netlink.SCOPE_LINK}
		if src := n.cfg.NodeAddr.Of(addr); src.IsValid() {
			route.Src = src.AsSlice()
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("add route to %s: %w", addr, err)
		}
	}
	return nil
}

func permanent(index int, ip netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: index, Family: family.Of(ip).Route, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac,
	}
}

func hostNet(addr netip.Addr) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())}
}
