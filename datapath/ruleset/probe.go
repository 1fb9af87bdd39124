package ruleset

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
)

// Feature is something that the datapath asks of the kernel.
type Feature struct {
	Name   string
	Module string // what provides it where the kernel is modular, several by commas; "" when it is no module's
	// Err says why it is missing; nil when it is there.
	Err error
}

// Features are what Probe found.
type Features []Feature

// Names of features that callers ask for.
const (
	FeatureNative = "queue expression"
	FeatureCompat = "NFQUEUE target"
)

// Has says whether the feature of that name is there.
func (f Features) Has(name string) bool {
	for _, feature := range f {
		if feature.Name == name {
			return feature.Err == nil
		}
	}
	return false
}

// Missing joins the errors of what Apply cannot do without; nil when it can
// load. One of the two ways to queue is enough.
func (f Features) Missing() error {
	var errs []error
	for _, feature := range f.lacking() {
		by := ""
		if feature.Module != "" {
			by = " (" + feature.Module + ")"
		}
		errs = append(errs, fmt.Errorf("%s%s: %w", feature.Name, by, feature.Err))
	}
	return errors.Join(errs...)
}

func (f Features) lacking() Features {
	queue := f.Has(FeatureNative) || f.Has(FeatureCompat)
	var lacking Features
	for _, feature := range f {
		isQueue := feature.Name == FeatureNative || feature.Name == FeatureCompat
		if feature.Err != nil && !(isQueue && queue) {
			lacking = append(lacking, feature)
		}
	}
	return lacking
}

// Modules names the modules that would bring what is missing.
func (f Features) Modules() []string {
	var names []string
	for _, feature := range f.lacking() {
		for _, name := range strings.Split(feature.Module, ", ") {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Probe asks the kernel for each feature in a network namespace of its own, and
// then for the table as Apply loads it, with IPv6 where that is asked for. The namespace is gone when Probe
// returns. The caller needs CAP_SYS_ADMIN in its user namespace; without, the
// error of unshare comes back.
func Probe(ipv6 bool) (Features, error) { return prober{nftables.New, ipv6}.probe() }

// prober asks the kernel in a network namespace that nobody else has: it leaves
// there what it made, since each removal would cost as much as the question.
type prober struct {
	dial func(...nftables.ConnOption) (*nftables.Conn, error)
	ipv6 bool
}

func (p prober) probe() (Features, error) {
	type result struct {
		features Features
		err      error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread, and the namespace with it, ends with the
		// goroutine.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("make network namespace: %w", err)}
			return
		}
		features := p.features()
		if features.Missing() == nil {
			features = append(features, Feature{"the node's table", "", p.loadTable()})
		}
		done <- result{features: features}
	}()
	r := <-done
	return r.features, r.err
}

// loadTable loads what Apply does, with addresses that nobody has.
func (p prober) loadTable() error {
	cfg := Config{PodIface: "nd"}
	cfg.Addresses.V4 = Addresses{
		PodCIDR: netip.MustParsePrefix("192.0.2.0/25"), ServiceCIDR: netip.MustParsePrefix("192.0.2.128/25"),
		NodeAddr: netip.MustParseAddr("198.51.100.1"), DNSProxy: netip.MustParseAddrPort("127.0.0.1:53"),
	}
	if p.ipv6 {
		cfg.Addresses.V6 = Addresses{
			PodCIDR: netip.MustParsePrefix("2001:db8:1::/112"), ServiceCIDR: netip.MustParsePrefix("2001:db8:2::/112"),
			NodeAddr: netip.MustParseAddr("2001:db8::1"), DNSProxy: netip.MustParseAddrPort("[::1]:53"),
		}
	}
	_, err := Apply(cfg)
	return err
}

// rule is an nftables rule that needs a feature.
type rule struct {
	feature, module string
	family          family.Family
	kind            nftables.ChainType
	hook            *nftables.ChainHook
	exprs           []expr.Any
}

// rules are those of the node's own table and of the Services', by what they
// need.
func rules(f family.Family) []rule {
	// Modules of one family are named after it.
	of, suffix, code := "", "_ipv4", uint8(3)
	if f.Proto == unix.NFPROTO_IPV6 {
		of, suffix, code = f.Name+" ", "_ipv6", 4
	}
	proto := byte(f.Proto)
	filter, nat := nftables.ChainTypeFilter, nftables.ChainTypeNAT
	pre, post := nftables.ChainHookPrerouting, nftables.ChainHookPostrouting
	list := []rule{
		{feature: "nftables", module: "nf_tables", kind: filter, hook: pre, exprs: []expr.Any{verdict(expr.VerdictAccept)}},
		{feature: "conntrack mark", module: "nft_ct", kind: filter, hook: pre, exprs: []expr.Any{ct(expr.CtKeyMARK), setCtMark()}},
		{feature: "masquerading", module: "nft_masq", kind: nat, hook: post, exprs: []expr.Any{&expr.Masq{}}},
		{feature: "address translation", module: "nft_nat", kind: nat, hook: pre, exprs: []expr.Any{load(f.Multicast.Addr().AsSlice()),
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: f.Proto, RegAddrMin: reg, RegAddrMax: reg}}},
		{feature: "route look-up", module: "nft_fib" + suffix, kind: filter, hook: pre, exprs: []expr.Any{
			&expr.Fib{Register: reg, FlagSADDR: true, FlagIIF: true, ResultOIF: true}}},
		{feature: "socket look-up", module: "nft_socket", kind: filter, hook: pre, exprs: []expr.Any{&expr.Socket{Key: expr.SocketKeyTransparent, Register: reg}}},
		{feature: "transparent proxy", module: "nft_tproxy", kind: filter, hook: pre, exprs: []expr.Any{
			meta(expr.MetaKeyL4PROTO), is([]byte{unix.IPPROTO_TCP}),
			load([]byte{0, 53}), &expr.TProxy{Family: proto, TableFamily: proto, RegPort: reg}}},
		{feature: "random choice", module: "nft_numgen", kind: filter, hook: pre, exprs: []expr.Any{&expr.Numgen{Register: reg, Modulus: 2, Type: unix.NFT_NG_RANDOM}}},
		{feature: "rejection", module: "nft_reject" + suffix, kind: filter, hook: pre, exprs: []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code}}},
	}
	for i := range list {
		list[i].feature, list[i].family = of+list[i].feature, f
	}
	return list
}

func (p prober) features() Features {
	var features Features
	all := rules(family.IPv4)
	if p.ipv6 {
		all = append(all, rules(family.IPv6)...)
		features = append(features, Feature{Name: "IPv6", Module: "ipv6", Err: haveIPv6()})
	}
	// A transaction takes many times longer than its rules do: one by one they are
	// asked for only where not all are there.
	missing := p.try(all...) != nil
	for _, r := range all {
		f := Feature{Name: r.feature, Module: r.module}
		if missing {
			f.Err = p.try(r)
		}
		features = append(features, f)
	}
	for _, r := range []rule{
		{feature: FeatureNative, module: "nft_queue", exprs: []expr.Any{(&half{cfg: &Config{Queues: 1}, native: true}).queue()}},
		{feature: FeatureCompat, module: "nft_compat, xt_NFQUEUE", exprs: []expr.Any{(&half{cfg: &Config{Queues: 1}}).queue()}},
	} {
		r.family, r.kind, r.hook = family.IPv4, nftables.ChainTypeFilter, nftables.ChainHookPrerouting
		features = append(features, Feature{r.feature, r.module, p.try(r)})
	}
	return append(features,
		Feature{"packet queue", "nfnetlink_queue", listen()},
		Feature{"conntrack table", "nf_conntrack_netlink", listConntrack()},
		Feature{"veth link", "veth", addVeth()},
		Feature{"transparent sockets", "", openTransparent()},
	)
}

// try loads rules in one transaction, each in a table of its own.
func (p prober) try(rules ...rule) error {
	conn, err := p.dial()
	if err != nil {
		return err
	}
	for _, r := range rules {
		table := conn.AddTable(&nftables.Table{Family: r.family.Table, Name: TableName + " probe: " + r.feature})
		chain := conn.AddChain(&nftables.Chain{
			Name: "probe", Table: table, Type: r.kind, Hooknum: r.hook, Priority: nftables.ChainPriorityFilter,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: r.exprs})
	}
	return conn.Flush()
}

// Of linux/netfilter/nfnetlink_queue.h.
const (
	queueConfig = unix.NFNL_SUBSYS_QUEUE<<8 | 2 // NFQNL_MSG_CONFIG
	queueCmd    = 1                             // NFQA_CFG_CMD
	queueBind   = 1                             // NFQNL_CFG_CMD_BIND
)

// listen binds a queue; it is free again with the socket.
func listen() error {
	req := nl.NewNetlinkRequest(queueConfig, unix.NLM_F_ACK)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET})
	req.AddData(nl.NewRtAttr(queueCmd, []byte{queueBind, 0, 0, unix.AF_INET}))
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	return err
}

// haveIPv6 says why the calling thread's network has no IPv6.
func haveIPv6() error {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err
}

func listConntrack() error {
	_, err := netlink.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	return err
}

func addVeth() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "probe"
	return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"})
}

// openTransparent opens a socket as a proxy has it that answers from any address.
func openTransparent() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return os.NewSyscallError("setsockopt IP_TRANSPARENT", unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1))
}
