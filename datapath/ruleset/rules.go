package ruleset

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Chains. Those with a hook come last in load, since rules name the others.
const (
	chainFromPod  = "from-pod"
	chainFromElse = "from-elsewhere"
	chainReply    = "reply"
	chainRemark   = "remark"
	chainSave     = "save"
	chainDNS      = "to-dns-proxy"
	chainHTTP     = "to-http-proxy"
	chainTLS      = "to-tls-proxy"
	chainJudge    = "judge"
	chainApply    = "apply"
	chainForward  = "forward"
	chainSource   = "source"
	chainV6In     = "in"
	chainV6Fwd    = "forward"
)

var multicast = netip.MustParsePrefix("224.0.0.0/3") // with class E and 255.255.255.255

// load replaces both tables in one transaction.
func (t *Table) load() error {
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: TableName}
	t.conn.AddTable(table) // so that deleting it cannot fail
	t.conn.DelTable(table)
	t.conn.AddTable(table)
	chains := map[string]*nftables.Chain{}
	for _, name := range []string{chainFromPod, chainFromElse, chainReply, chainRemark, chainSave, chainDNS, chainHTTP, chainTLS} {
		chains[name] = t.conn.AddChain(&nftables.Chain{Name: name, Table: table})
	}
	base := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority) {
		chains[name] = t.conn.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: kind, Hooknum: hook, Priority: &priority,
		})
	}
	base(chainJudge, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, judgePriority)
	base(chainApply, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, applyPriority)
	base(chainForward, nftables.ChainTypeFilter, nftables.ChainHookForward, 10)
	base(chainSource, nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)

	t.live = &nftables.Set{
		Table: table, Name: "live", IsMap: true, Size: 16,
		KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict,
	}
	hairpin := nftables.SetElement{
		Key: native(Mark(KindHairpin, 0)), VerdictData: &expr.Verdict{Kind: expr.VerdictAccept},
	}
	if err := t.conn.AddSet(t.live, append(liveElements(t.epoch), hairpin)); err != nil {
		return err
	}
	kinds := &nftables.Set{
		Table: table, Name: "kinds", IsMap: true, Size: 16,
		KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict,
	}
	if err := t.conn.AddSet(kinds, []nftables.SetElement{
		{Key: native(uint32(KindAllow) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainSave}},
		{Key: native(uint32(KindHairpin) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainSave}},
		{Key: native(uint32(KindDNS) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainDNS}},
		{Key: native(uint32(KindHTTP) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainHTTP}},
		{Key: native(uint32(KindTLS) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainTLS}},
	}); err != nil {
		return err
	}

	for _, name := range []string{
		chainFromPod, chainFromElse, chainReply, chainRemark, chainSave, chainDNS, chainHTTP, chainTLS,
		chainJudge, chainApply, chainForward, chainSource,
	} {
		for _, rule := range t.rules(name) {
			t.conn.AddRule(&nftables.Rule{Table: table, Chain: chains[name], Exprs: rule})
		}
	}
	t.loadV6()
	return t.conn.Flush()
}

// rules are the IPv4 rules of a chain, in order.
func (t *Table) rules(chain string) [][]expr.Any {
	c := t.cfg
	accept, drop := verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)
	vmap := func(set string) expr.Any {
		return &expr.Lookup{SourceRegister: reg, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set}
	}
	switch chain {
	case chainJudge:
		return [][]expr.Any{
			join(iface(expr.MetaKeyIIFNAME, "lo", true, expr.CmpOpEq), accept),
			join(iface(expr.MetaKeyIIFNAME, c.PodIface, false, expr.CmpOpEq), jump(chainFromPod)),
			join(iface(expr.MetaKeyIIFNAME, c.PodIface, false, expr.CmpOpNeq), jump(chainFromElse)),
			join(ct(expr.CtKeySTATE), hasBits(expr.CtStateBitINVALID), drop),
			join(ct(expr.CtKeyDIRECTION), is([]byte{1}), goTo(chainReply)),
			// ICMP errors only: what else a conntrack helper relates is judged.
			join(ct(expr.CtKeySTATE), hasBits(expr.CtStateBitRELATED),
				meta(expr.MetaKeyL4PROTO), is([]byte{unix.IPPROTO_ICMP}), accept),
			join(ct(expr.CtKeyMARK), vmap("live")),
			// From elsewhere to the node's own sockets: there is no host firewall.
			join(iface(expr.MetaKeyIIFNAME, c.PodIface, false, expr.CmpOpNeq),
				&expr.Fib{Register: reg, FlagDADDR: true, ResultADDRTYPE: true},
				is(native(unix.RTN_LOCAL)), accept),
			join(ct(expr.CtKeySTATUS), hasBits(ctStatusDNAT),
				ct(expr.CtKeyDST), setMeta(expr.MetaKeyMARK),
				ct(expr.CtKeyPROTODST), and(0xffff, TranslatedFlag), setMeta(expr.MetaKeyPRIORITY)),
			join(t.queue()),
		}
	case chainFromPod:
		return [][]expr.Any{
			// No answer may leave by this link: the source is not the link's address.
			join(&expr.Fib{Register: reg, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, is(native(0)),
				load(native(SpoofedFlag)), setMeta(expr.MetaKeyPRIORITY), t.queue()),
			join(within(saddr, netip.PrefixFrom(netip.IPv4Unspecified(), 8), expr.CmpOpEq), drop),
			join(within(daddr, multicast, expr.CmpOpEq), drop),
		}
	case chainFromElse:
		return [][]expr.Any{join(within(saddr, c.PodCIDR, expr.CmpOpEq), drop)}
	case chainReply:
		return [][]expr.Any{
			join(&expr.Socket{Key: expr.SocketKeyTransparent, Register: reg}, is([]byte{1}),
				load(native(Mark(KindReply, 0))), setMeta(expr.MetaKeyMARK)),
			join(accept),
		}
	case chainRemark:
		return [][]expr.Any{join(ct(expr.CtKeyMARK), setMeta(expr.MetaKeyMARK), accept)}
	case chainApply:
		return [][]expr.Any{join(meta(expr.MetaKeyMARK), and(kindMask, 0), vmap("kinds"))}
	case chainSave:
		return [][]expr.Any{
			join(meta(expr.MetaKeyMARK), setCtMark()),
			join(load(native(0)), setMeta(expr.MetaKeyMARK), setMeta(expr.MetaKeyPRIORITY), accept),
		}
	case chainDNS:
		return proxyRules(c.DNSProxy)
	case chainHTTP:
		return proxyRules(c.HTTPProxy)
	case chainTLS:
		return proxyRules(c.TLSProxy)
	case chainForward:
		// A Service address that nothing translated is nowhere: not the world's.
		rules := [][]expr.Any{join(within(daddr, c.ServiceCIDR, expr.CmpOpEq), drop)}
		if c.BalancerCIDR.IsValid() {
			rules = append(rules, join(within(daddr, c.BalancerCIDR, expr.CmpOpEq), drop))
		}
		return rules
	case chainSource:
		rules := [][]expr.Any{
			join(ct(expr.CtKeyMARK), is(native(Mark(KindHairpin, 0))),
				load(c.NodeAddr.AsSlice()),
				&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg, RegAddrMax: reg}),
		}
		if !c.KeepPodAddress {
			rules = append(rules, join(
				within(saddr, c.PodCIDR, expr.CmpOpEq),
				within(daddr, c.ClusterCIDR, expr.CmpOpNeq),
				iface(expr.MetaKeyOIFNAME, c.PodIface, false, expr.CmpOpNeq),
				iface(expr.MetaKeyOIFNAME, "lo", true, expr.CmpOpNeq),
				&expr.Masq{}))
		}
		return rules
	}
	return nil
}

const ctStatusDNAT = 1 << 5 // IPS_DST_NAT

// queue hands a packet to userspace, and drops it when nobody is there.
func (t *Table) queue() expr.Any {
	if t.native {
		return &expr.Queue{Num: t.cfg.Queue, Total: t.cfg.Queues}
	}
	// struct xt_NFQ_info_v3: first queue, number of them, flags; padded to 8.
	info := make([]byte, 8)
	binary.NativeEndian.PutUint16(info, t.cfg.Queue)
	binary.NativeEndian.PutUint16(info[2:], t.cfg.Queues)
	target := xt.Unknown(info)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &target}
}

// proxyRules save the mark and hand a packet to a transparent socket. Where
// there is none the packet falls to the drop.
func proxyRules(proxy netip.AddrPort) [][]expr.Any {
	drop := [][]expr.Any{join(verdict(expr.VerdictDrop))}
	if proxy.Port() == 0 {
		return drop
	}
	port := binary.BigEndian.AppendUint16(nil, proxy.Port())
	assign := func(proto byte) []expr.Any {
		tproxy := &expr.TProxy{Family: unix.NFPROTO_IPV4, TableFamily: unix.NFPROTO_IPV4, RegPort: reg}
		rule := join(meta(expr.MetaKeyL4PROTO), is([]byte{proto}))
		if proxy.Addr().IsValid() && !proxy.Addr().IsUnspecified() {
			tproxy.RegAddr = unix.NFT_REG_2
			rule = join(rule, &expr.Immediate{Register: unix.NFT_REG_2, Data: proxy.Addr().AsSlice()})
		}
		return join(rule, load(port), tproxy, verdict(expr.VerdictAccept))
	}
	return append([][]expr.Any{
		join(meta(expr.MetaKeyMARK), setCtMark()),
		join(load(native(0)), setMeta(expr.MetaKeyPRIORITY)),
		assign(unix.IPPROTO_TCP),
		assign(unix.IPPROTO_UDP),
	}, drop...)
}

// loadV6 shuts IPv6 from pods, which have no address of it: their link-local
// one would reach the node past judgement.
func (t *Table) loadV6() {
	table := &nftables.Table{Family: nftables.TableFamilyIPv6, Name: TableName}
	t.conn.AddTable(table)
	t.conn.DelTable(table)
	t.conn.AddTable(table)
	raw, filter := *nftables.ChainPriorityRaw, *nftables.ChainPriorityFilter
	in := t.conn.AddChain(&nftables.Chain{
		Name: chainV6In, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: &raw,
	})
	t.conn.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: join(
		iface(expr.MetaKeyIIFNAME, t.cfg.PodIface, false, expr.CmpOpEq), verdict(expr.VerdictDrop))})
	policy := nftables.ChainPolicyDrop
	t.conn.AddChain(&nftables.Chain{
		Name: chainV6Fwd, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: &filter, Policy: &policy,
	})
}
