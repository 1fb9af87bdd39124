// Package cni connects pods to the node: an address of their own, a veth pair,
// and routes by which all their traffic passes the node's IP hooks. It knows no
// policy.
//
// A pod has a /32. Its gateway 169.254.1.1 is nobody's address: a permanent
// neighbour entry points it at the node's end of the pair, and one in the
// node points the pod's address at the pod. Nothing needs ARP, so nothing can
// be spoofed with it.
package cni

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
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
	gateway    = net.IPv4(169, 254, 1, 1).To4()
	gatewayMAC = net.HardwareAddr{0x02, 0x00, 169, 254, 1, 1}
)

// Config says what pods are connected to.
type Config struct {
	PodCIDR  netip.Prefix
	NodeAddr netip.Addr // what the node's own connections to pods come from
	MTU      int        // of pod links; 0 means 1500
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
	Addr       netip.Addr
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
	addresses, err := newAllocator(cfg.PodCIDR, path)
	if err != nil {
		return nil, err
	}
	return &Network{cfg: cfg, addresses: addresses}, nil
}

// Reserve gives the sandbox an address without connecting it yet, so that its
// identity can be told before its first packet. Attach uses that address.
func (n *Network) Reserve(sandbox string) (netip.Addr, error) { return n.addresses.take(sandbox) }

// Attach connects a sandbox. One that is connected already is connected anew.
// On error nothing of it is left but its address, which Detach frees.
func (n *Network) Attach(ctx context.Context, req AttachRequest) (Result, error) {
	addr, err := n.addresses.take(req.SandboxID)
	if err != nil {
		return Result{}, fmt.Errorf("attach %s/%s: %w", req.PodNamespace, req.PodName, err)
	}
	result := Result{Addr: addr, HostIface: hostIface(req.SandboxID), GatewayMAC: gatewayMAC}
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
		err = errors.Join(err, FlushConntrack(addr), n.addresses.free(sandbox))
	}
	if err != nil {
		return fmt.Errorf("detach sandbox %s: %w", sandbox, err)
	}
	return nil
}

// Addr returns the address of a sandbox.
func (n *Network) Addr(sandbox string) (netip.Addr, bool) { return n.addresses.lease(sandbox) }

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
		PeerHardwareAddr: podMAC(r.Addr),
	}); err != nil {
		return fmt.Errorf("add link %s: %w", r.HostIface, err)
	}
	if err := n.setUpPod(pod, r); err != nil {
		return err
	}
	if err := n.setUpNode(r); err != nil {
		return err
	}
	return waitForCarrier(ctx, pod)
}

// waitForCarrier returns when the pod's end sends: the kernel gives it a queue
// some time after the node's end went up, and drops until then.
func waitForCarrier(ctx context.Context, pod *netlink.Handle) error {
	ctx, cancel := context.WithTimeout(ctx, carrierPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		link, err := pod.LinkByName(PodIface)
		if err != nil {
			return fmt.Errorf("find pod's link: %w", err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until pod's link is up, it is %s: %w", link.Attrs().OperState, ctx.Err())
		case <-tick.C:
		}
	}
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
	// An error means a kernel without IPv6: nothing to shut there.
	_ = pod.LinkSetIP6AddrGenMode(link, noIPv6Address)
	if err := pod.LinkSetMTU(link, n.cfg.MTU); err != nil {
		return fmt.Errorf("set pod's MTU: %w", err)
	}
	if err := pod.AddrReplace(link, &netlink.Addr{IPNet: hostNet(r.Addr)}); err != nil {
		return fmt.Errorf("add pod's address: %w", err)
	}
	if err := pod.LinkSetUp(link); err != nil {
		return fmt.Errorf("set pod's link up: %w", err)
	}
	index := link.Attrs().Index
	if err := pod.NeighSet(permanent(index, gateway, r.GatewayMAC)); err != nil {
		return fmt.Errorf("add pod's gateway: %w", err)
	}
	if err := pod.RouteReplace(&netlink.Route{
		LinkIndex: index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: gateway, Mask: net.CIDRMask(32, 32)},
	}); err != nil {
		return fmt.Errorf("add route to pod's gateway: %w", err)
	}
	if err := pod.RouteReplace(&netlink.Route{
		LinkIndex: index, Gw: gateway,
		Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	}); err != nil {
		return fmt.Errorf("add pod's default route: %w", err)
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
	if err := netlink.NeighSet(permanent(index, r.Addr.AsSlice(), podMAC(r.Addr))); err != nil {
		return fmt.Errorf("add neighbour %s: %w", r.Addr, err)
	}
	route := &netlink.Route{LinkIndex: index, Dst: hostNet(r.Addr), Scope: netlink.SCOPE_LINK}
	if n.cfg.NodeAddr.IsValid() {
		route.Src = n.cfg.NodeAddr.AsSlice()
	}
	if err := netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("add route to %s: %w", r.Addr, err)
	}
	return nil
}

func permanent(index int, ip net.IP, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: index, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, IP: ip, HardwareAddr: mac,
	}
}

func hostNet(addr netip.Addr) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())}
}
