package ruleset

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/family"
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
	chainShutIn   = "in"
	chainTell     = "tell"
	chainSent     = "sent"
	chainTaken    = "taken"
)

// load replaces the tables of both families, each in one transaction.
func (t *Table) load() error {
	t.halves = nil
	for _, h := range []*half{
		{Family: family.IPv4, Addresses: t.cfg.Addresses.V4},
		{Family: family.IPv6, Addresses: t.cfg.Addresses.V6},
	} {
		h.cfg, h.native = &t.cfg, t.native
		h.nft = &nftables.Table{Family: h.Table, Name: TableName}
		t.conn.AddTable(h.nft) // so that deleting it cannot fail
		t.conn.DelTable(h.nft)
		t.conn.AddTable(h.nft)
		if h.PodCIDR.IsValid() {
			if err := h.load(t.conn, t.epoch); err != nil {
				return err
			}
			t.halves = append(t.halves, h)
		} else {
			h.shut(t.conn)
		}
		if err := t.conn.Flush(); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

// load adds the table's chains and sets.
func (h *half) load(conn *nftables.Conn, epoch uint32) error {
	table := h.nft
	chains := map[string]*nftables.Chain{}
	for _, name := range []string{chainFromPod, chainFromElse, chainReply, chainRemark, chainSave, chainDNS, chainHTTP, chainTLS, chainTell} {
		chains[name] = conn.AddChain(&nftables.Chain{Name: name, Table: table})
	}
	base := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority) {
		chains[name] = conn.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: kind, Hooknum: hook, Priority: &priority,
		})
	}
	base(chainJudge, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, judgePriority)
	base(chainApply, nftables.ChainTypeFilter, nftables.ChainHookPrerouting, applyPriority)
	base(chainForward, nftables.ChainTypeFilter, nftables.ChainHookForward, 10)
	if h.cfg.TellGroup != 0 { // before the source is translated
		base(chainSent, nftables.ChainTypeFilter, nftables.ChainHookPostrouting, *nftables.ChainPriorityFilter)
		base(chainTaken, nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter)
	}
	base(chainSource, nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)

	h.live = &nftables.Set{
		Table: table, Name: "live", IsMap: true, Size: 16,
		KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict,
	}
	hairpin := nftables.SetElement{
		Key: native(Mark(KindHairpin, 0)), VerdictData: &expr.Verdict{Kind: expr.VerdictAccept},
	}
	if err := conn.AddSet(h.live, append(liveElements(epoch), hairpin)); err != nil {
		return err
	}
	kinds := &nftables.Set{
		Table: table, Name: "kinds", IsMap: true, Size: 16,
		KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict,
	}
	if err := conn.AddSet(kinds, []nftables.SetElement{
		{Key: native(uint32(KindAllow) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainSave}},
		{Key: native(uint32(KindHairpin) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainSave}},
		{Key: native(uint32(KindDNS) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainDNS}},
		{Key: native(uint32(KindHTTP) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainHTTP}},
		{Key: native(uint32(KindTLS) << kindShift), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chainTLS}},
	}); err != nil {
		return err
	}

	for _, name := range []string{
		chainTell, chainFromPod, chainFromElse, chainReply, chainRemark, chainSave, chainDNS, chainHTTP, chainTLS,
		chainSent, chainTaken, chainJudge, chainApply, chainForward, chainSource,
	} {
		for _, rule := range h.rules(name) {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chains[name], Exprs: rule})
		}
	}
	return nil
}

// rules are the rules of a chain, in order.
func (h *half) rules(chain string) [][]expr.Any {
	c := h.cfg
	accept, drop := verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)
	vmap := func(set string) expr.Any {
		return &expr.Lookup{SourceRegister: reg, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: set}
	}
	switch chain {
	case chainJudge:
		return slices.Concat([][]expr.Any{
			join(iface(expr.MetaKeyIIFNAME, "lo", true, expr.CmpOpEq), accept),
		}, h.neighbours(), [][]expr.Any{
			join(iface(expr.MetaKeyIIFNAME, c.PodIface, false, expr.CmpOpEq), jump(chainFromPod)),
			join(iface(expr.MetaKeyIIFNAME, c.PodIface, false, expr.CmpOpNeq), jump(chainFromElse)),
			join(ct(expr.CtKeySTATE), hasBits(expr.CtStateBitINVALID), drop),
			join(ct(expr.CtKeyDIRECTION), is([]byte{1}), goTo(chainReply)),
			// ICMP errors only: what else a conntrack helper relates is judged.
			join(ct(expr.CtKeySTATE), hasBits(expr.CtStateBitRELATED),
				meta(expr.MetaKeyL4PROTO), is([]byte{h.ICMP}), accept),
			join(ct(expr.CtKeyMARK), vmap("live")),
			// From elsewhere to the node's own sockets: there is no host firewall.
			join(iface(expr.MetaKeyIIFNAME, c.PodIface, false, expr.CmpOpNeq),
				&expr.Fib{Register: reg, FlagDADDR: true, ResultADDRTYPE: true},
				is(native(unix.RTN_LOCAL)), accept),
		}, h.translated(), [][]expr.Any{join(h.queue())})
	case chainTell:
		return h.tell()
	case chainSent, chainTaken:
		return h.telling()
	case chainFromPod:
		return [][]expr.Any{
			// No answer may leave by this link: the source is not the link's address.
			join(&expr.Fib{Register: reg, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, is(native(0)),
				load(native(SpoofedFlag)), setMeta(expr.MetaKeyPRIORITY), h.queue()),
			join(within(h.Source, h.Unspecified, expr.CmpOpEq), drop),
			join(within(h.Destination, h.Multicast, expr.CmpOpEq), drop),
		}
	case chainFromElse:
		return [][]expr.Any{join(within(h.Source, h.PodCIDR, expr.CmpOpEq), drop)}
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
		return h.proxyRules(h.DNSProxy)
	case chainHTTP:
		return h.proxyRules(h.HTTPProxy)
	case chainTLS:
		return h.proxyRules(h.TLSProxy)
	case chainForward:
		// A Service address that nothing translated is nowhere: not the world's.
		rules := [][]expr.Any{join(within(h.Destination, h.ServiceCIDR, expr.CmpOpEq), drop)}
		if h.BalancerCIDR.IsValid() {
			rules = append(rules, join(within(h.Destination, h.BalancerCIDR, expr.CmpOpEq), drop))
		}
		return rules
	case chainSource:
		rules := [][]expr.Any{
			join(ct(expr.CtKeyMARK), is(native(Mark(KindHairpin, 0))),
				load(h.NodeAddr.AsSlice()),
				&expr.NAT{Type: expr.NATTypeSourceNAT, Family: h.Proto, RegAddrMin: reg, RegAddrMax: reg}),
		}
		if !c.KeepPodAddress {
			rules = append(rules, join(
				within(h.Source, h.PodCIDR, expr.CmpOpEq),
				within(h.Destination, h.ClusterCIDR, expr.CmpOpNeq),
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
func (h *half) queue() expr.Any {
	if h.native {
		return &expr.Queue{Num: h.cfg.Queue, Total: h.cfg.Queues}
	}
	// struct xt_NFQ_info_v3: first queue, number of them, flags; padded to 8.
	info := make([]byte, 8)
	binary.NativeEndian.PutUint16(info, h.cfg.Queue)
	binary.NativeEndian.PutUint16(info[2:], h.cfg.Queues)
	target := xt.Unknown(info)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &target}
}

// proxyRules save the mark and hand a packet to a transparent socket. Where
// there is none the packet falls to the drop.
func (h *half) proxyRules(proxy netip.AddrPort) [][]expr.Any {
	drop := [][]expr.Any{join(verdict(expr.VerdictDrop))}
	if proxy.Port() == 0 {
		return drop
	}
	port := binary.BigEndian.AppendUint16(nil, proxy.Port())
	assign := func(proto byte) []expr.Any {
		tproxy := &expr.TProxy{Family: byte(h.Proto), TableFamily: byte(h.Proto), RegPort: reg}
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

// neighbours let pass how IPv6 finds a neighbour, which is no connection of
// anybody's: what is sent to all of a link. The questions and answers between two
// addresses are to the node's own, or judged as anything else.
func (h *half) neighbours() [][]expr.Any {
	if h.Proto != unix.NFPROTO_IPV6 {
		return nil
	}
	var rules [][]expr.Any
	for _, kind := range []byte{neighbourSolicitation, neighbourAdvertisement} {
		rules = append(rules, join(
			meta(expr.MetaKeyL4PROTO), is([]byte{h.ICMP}),
			&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Len: 1}, is([]byte{kind}),
			within(h.Destination, linkMulticast, expr.CmpOpEq), verdict(expr.VerdictAccept)))
	}
	return rules
}

// Of RFC 4861 and RFC 4291.
const (
	neighbourSolicitation  = 135
	neighbourAdvertisement = 136
)

var linkMulticast = netip.MustParsePrefix("ff02::/16")

// translated has a packet to be queued tell what its client dialled: see
// Addresses.Dialled.
func (h *half) translated() [][]expr.Any {
	dialled := func(tell ...any) []expr.Any {
		return join(ct(expr.CtKeySTATUS), hasBits(ctStatusDNAT), join(tell...),
			ct(expr.CtKeyPROTODST), and(0xffff, TranslatedFlag), setMeta(expr.MetaKeyPRIORITY))
	}
	if h.Proto != unix.NFPROTO_IPV6 {
		return [][]expr.Any{dialled(ct(expr.CtKeyDST), setMeta(expr.MetaKeyMARK))}
	}
	rules := [][]expr.Any{dialled(ct(expr.CtKeyDST), is(h.NodeAddr.AsSlice()))}
	for _, p := range []netip.Prefix{h.ServiceCIDR, h.BalancerCIDR} {
		if p.IsValid() {
			rules = append(rules, dialled(ct(expr.CtKeyDST), in(p, expr.CmpOpEq), ct(expr.CtKeyDST),
				&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG32_03, SourceRegister: true}))
		}
	}
	return rules
}

// shut lets nothing of the family come from pods, which have no address of it, or
// pass the node: a pod's link-local address would reach the node past judgement.
func (h *half) shut(conn *nftables.Conn) {
	raw, filter := *nftables.ChainPriorityRaw, *nftables.ChainPriorityFilter
	in := conn.AddChain(&nftables.Chain{
		Name: chainShutIn, Table: h.nft, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: &raw,
	})
	conn.AddRule(&nftables.Rule{Table: h.nft, Chain: in, Exprs: join(
		iface(expr.MetaKeyIIFNAME, h.cfg.PodIface, false, expr.CmpOpEq), verdict(expr.VerdictDrop))})
	policy := nftables.ChainPolicyDrop
	conn.AddChain(&nftables.Chain{
		Name: chainForward, Table: h.nft, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: &filter, Policy: &policy,
	})
}
