// Package ruleset holds the node's netfilter table: which packets are judged,
// how a judgement is carried out and remembered, and what is masqueraded. It
// is static: a change of policy only replaces the epoch. It knows addresses
// and interfaces, no policy.
//
// A packet that enters the node is judged after Service translation unless it
// is a reply, an ICMP error about a known connection, or part of a connection
// whose conntrack mark holds the present epoch. To judge is to queue it to
// userspace, which answers with a mark (see Kind); with nobody there it is
// dropped. What the node's own processes send is not judged.
package ruleset

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// Priorities of the prerouting chains: after Service translation (-100).
const (
	judgePriority = -90
	applyPriority = -89
)

// TableName is the name of the IPv4 and the IPv6 table.
const TableName = "netdojo"

// Config says what the tables are about.
type Config struct {
	// PodIface is what the names of the node's ends of pod links begin with.
	PodIface string
	// Addresses are those of each family. A family without is shut: nothing of it comes
	// from pods or passes the node.
	Addresses ipfamily.Pair[Addresses]
	// Queue is the first of Queues netfilter queues; 0 Queues means one.
	Queue, Queues uint16
	// KeepPodAddress leaves the source address of packets to the world as it is;
	// otherwise they leave with the outgoing interface's address.
	KeepPodAddress bool
	// TellGroup is the netlink group (NFULA) that later packets of connections are told to;
	// 0 tells of none.
	TellGroup uint16
	// Epoch is the first one.
	Epoch uint32
}

// Addresses are those of one family.
type Addresses struct {
	PodCIDR netip.Prefix // of this node's pods
	// ClusterCIDR holds the pods of all nodes, which see each other's addresses as
	// they are. The zero value is PodCIDR.
	ClusterCIDR netip.Prefix
	ServiceCIDR netip.Prefix
	// BalancerCIDR holds the addresses of load balancers; the zero value is none. Of
	// IPv6 it has the first 96 bits of ServiceCIDR.
	BalancerCIDR netip.Prefix
	// NodeAddr is the source of a pod's connection to itself, seen by the pod.
	NodeAddr netip.Addr
	// DNSProxy, HTTPProxy and TLSProxy are transparent sockets of the node.
	// Connections for a proxy whose port is 0 are dropped.
	DNSProxy, HTTPProxy, TLSProxy netip.AddrPort
}

// Dialled is the address that a queued packet's mark stands for, where its
// priority says that it was translated. A mark has 32 bits: of IPv6 it is the end
// of an address in ServiceCIDR or BalancerCIDR, or 0 for the node's.
func (a Addresses) Dialled(mark uint32) netip.Addr {
	word := native(mark)
	if !a.ServiceCIDR.Addr().Is6() {
		return netip.AddrFrom4([4]byte(word))
	}
	if mark == 0 {
		return a.NodeAddr
	}
	out := a.ServiceCIDR.Masked().Addr().As16()
	copy(out[12:], word)
	return netip.AddrFrom16(out)
}

// Table is the loaded ruleset, of both families where there are two, of the network namespace that Apply ran in. Its
// methods are safe for concurrent use.
type Table struct {
	cfg    Config
	native bool

	mu     sync.Mutex // guards epoch and the order of transactions
	epoch  uint32
	halves []*half
	conn   *nftables.Conn
}

// half is the table of one family.
type half struct {
	family.Family
	Addresses
	cfg    *Config
	native bool
	nft    *nftables.Table
	live   *nftables.Set
}

// Apply loads the table in one transaction, in place of one left by an earlier
// run, and the routing rule that hands marked packets to the node's proxies.
func Apply(cfg Config) (*Table, error) {
	cfg.Queues = max(cfg.Queues, 1)
	for _, a := range []*Addresses{&cfg.Addresses.V4, &cfg.Addresses.V6} {
		if !a.ClusterCIDR.IsValid() {
			a.ClusterCIDR = a.PodCIDR
		}
	}
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	t := &Table{cfg: cfg, epoch: cfg.Epoch & EpochMask, conn: conn}
	if err := t.loadAny(); err != nil {
		_ = conn.CloseLasting()
		return nil, &UnsupportedError{Err: fmt.Errorf("load nftables table: %w", err)}
	}
	for _, h := range t.halves {
		if err := addRouting(h.Family); err != nil {
			return nil, errors.Join(err, t.Delete())
		}
	}
	return t, nil
}

// loadAny loads the table with what the kernel has of two ways to queue, and without
// telling of later packets where it cannot.
func (t *Table) loadAny() error {
	for {
		var errs []error
		for _, native := range []bool{true, false} {
			t.native = native
			err := t.load()
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		if t.cfg.TellGroup == 0 {
			return errors.Join(errs...)
		}
		t.cfg.TellGroup = 0
	}
}

// Tells says whether later packets of connections are told of.
func (t *Table) Tells() bool { return t.cfg.TellGroup != 0 }

// UnsupportedError is a kernel that cannot hold the table.
type UnsupportedError struct{ Err error }

func (e *UnsupportedError) Error() string { return e.Err.Error() }
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Cure says what to do about it.
func (e *UnsupportedError) Cure() string {
	return "the kernel needs nftables with conntrack, NAT, fib, socket, tproxy and NFQUEUE, for each IP family that the cluster has (modules nft_queue or nft_compat with xt_NFQUEUE): run `netdojo doctor`"
}

// NativeQueue says whether the kernel's own queue expression is used, rather
// than the xtables target.
func (t *Table) NativeQueue() bool { return t.native }

// SetEpoch makes connections that were judged under another epoch be judged
// again with their next packet. It returns when that holds.
func (t *Table) SetEpoch(epoch uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	epoch &= EpochMask
	if epoch == t.epoch {
		return nil
	}
	for _, h := range t.halves {
		if err := t.conn.SetDeleteElements(h.live, liveElements(t.epoch)); err != nil {
			return fmt.Errorf("set epoch: %w", err)
		}
		if err := t.conn.SetAddElements(h.live, liveElements(epoch)); err != nil {
			return fmt.Errorf("set epoch: %w", err)
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("set epoch: %w", err)
	}
	t.epoch = epoch
	return nil
}

// Delete removes the tables and the routing rule. After it nothing is judged.
func (t *Table) Delete() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range []family.Family{family.IPv4, family.IPv6} {
		t.conn.DelTable(&nftables.Table{Family: f.Table, Name: TableName})
	}
	err := t.conn.Flush()
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	errs := []error{err}
	for _, h := range t.halves {
		errs = append(errs, delRouting(h.Family))
	}
	return errors.Join(append(errs, t.conn.CloseLasting())...)
}

// liveElements says what to do with a packet by its connection's mark.
func liveElements(epoch uint32) []nftables.SetElement {
	return []nftables.SetElement{
		{Key: native(Mark(KindAllow, epoch)), VerdictData: &expr.Verdict{Kind: expr.VerdictAccept}},
		{Key: native(Mark(KindDNS, epoch)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainRemark}},
		{Key: native(Mark(KindHTTP, epoch)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainRemark}},
		{Key: native(Mark(KindTLS, epoch)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainRemark}},
	}
}
