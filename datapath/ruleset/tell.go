package ruleset

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// What the flow log is told of connections beside their first packets, which are
// judged: the packets that open, end and reset one of TCP, answers of DNS servers, and
// of pings. The kernel copies the start of each to a netlink group, and nobody waits for
// it.
const (
	// TellRate is how many packets a second are told of, those of each family: what is more
	// goes untold, so that many connections do not cost more than their verdicts.
	TellRate  = 600
	tellBurst = 600

	// tellAtOnce is how many packets the kernel collects before it wakes the reader, which
	// sets how long it may take for that.
	tellAtOnce = 32

	// TellBytes are copied of each packet.
	TellBytes = 128

	// Prefixes of what is told: which way the packet goes.
	TellForward = "forward"
	TellProxied = "proxied"
	TellReply   = "reply"
)

const dnsPort = 53

// Of the TCP header: its flags are the byte at 13.
const (
	tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

	tcpFlagsAt = 13
)

// telling picks the packets to tell of.
func (h *half) telling() [][]expr.Any {
	if h.cfg.TellGroup == 0 {
		return nil
	}
	header := func(offset, length uint32) expr.Any {
		return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: length}
	}
	flags := func(mask byte) []expr.Any {
		return join(header(tcpFlagsAt, 1),
			&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{mask}, Xor: []byte{0}})
	}
	reply := join(ct(expr.CtKeyDIRECTION), is([]byte{1}))
	return [][]expr.Any{
		// A SYN alone is a first packet.
		join(meta(expr.MetaKeyL4PROTO), is([]byte{unix.IPPROTO_TCP}),
			flags(tcpFIN|tcpSYN|tcpRST), isNot([]byte{0}),
			flags(tcpFIN|tcpSYN|tcpRST|tcpACK), isNot([]byte{tcpSYN}), jump(chainTell)),
		join(meta(expr.MetaKeyL4PROTO), is([]byte{unix.IPPROTO_UDP}),
			header(0, 2), is([]byte{0, dnsPort}), reply, jump(chainTell)),
		join(meta(expr.MetaKeyL4PROTO), is([]byte{h.ICMP}), header(0, 1), is([]byte{h.EchoReply}), reply, jump(chainTell)),
	}
}

// tell tells of a packet of a connection that was judged, and goes back.
func (h *half) tell() [][]expr.Any {
	if h.cfg.TellGroup == 0 {
		return nil
	}
	back := verdict(expr.VerdictReturn)
	log := func(prefix string) expr.Any {
		return &expr.Log{
			Key:   1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_QTHRESHOLD,
			Group: h.cfg.TellGroup, Snaplen: TellBytes, QThreshold: tellAtOnce, Data: []byte(prefix),
		}
	}
	return [][]expr.Any{
		join(ct(expr.CtKeyMARK), is(native(0)), back),
		join(ct(expr.CtKeyMARK), is(native(Mark(KindHairpin, 0))), back),
		join(&expr.Limit{Type: expr.LimitTypePkts, Rate: TellRate, Unit: expr.LimitTimeSecond, Burst: tellBurst, Over: true}, back),
		join(ct(expr.CtKeyDIRECTION), is([]byte{1}), log(TellReply), back),
		join(ct(expr.CtKeyMARK), and(kindMask, 0), is(native(uint32(KindAllow)<<kindShift)), log(TellForward), back),
		join(log(TellProxied)),
	}
}
