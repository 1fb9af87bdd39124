package monitor

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/cilium/cilium/pkg/monitor/api"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// Sizes and flags of Cilium's notifications (pkg/monitor, bpf/lib/drop.h, trace.h
// and policy_log.h).
const (
	verdictLen = 40
	dropLen    = 48 // version 3
	traceLen   = 48 // version 1

	verdictVersion = 1
	dropVersion    = 3
	traceVersion   = 1

	verdictWithoutLink = 0x80 // the packet begins with its IP header
	dropWithoutLink    = 2
	traceWithoutLink   = 2

	verdictMatchShift = 3

	traceEstablished = 1 // why: 0 is a new connection
	traceReply       = 2

	verdictIPv6 = 4 // the IP header is of that family
	dropIPv6    = 1
	traceIPv6   = 1
)

// ifIPv6 is the flag where the event is about IPv6, else 0.
func ifIPv6(e verdict.Event, flag byte) byte {
	if e.Query.Dst.Unmap().Is6() {
		return flag
	}
	return 0
}

// notifications are what Cilium would tell of an event.
func (c Config) notifications(e verdict.Event) [][]byte {
	if e.DNS != nil || e.HTTP != nil {
		return [][]byte{accessLog(c.Node, e)}
	}
	if e.Later != 0 {
		return [][]byte{trace(e)}
	}
	var out [][]byte
	if e.Direction != 0 {
		out = append(out, policyVerdict(e))
	}
	if e.Action == verdict.Drop {
		return append(out, drop(e))
	}
	return append(out, trace(e))
}

// header begins a notification of that length with the packet behind it.
func header(length int, version, kind, sub uint8, endpoint uint32, e verdict.Event) []byte {
	p := packet(e.Query)
	b := make([]byte, length, length+len(p))
	b[0], b[1] = kind, sub
	binary.NativeEndian.PutUint16(b[2:], uint16(endpoint))
	binary.NativeEndian.PutUint32(b[4:], flowHash(e.Query))
	binary.NativeEndian.PutUint32(b[8:], uint32(len(p)))
	binary.NativeEndian.PutUint16(b[12:], uint16(len(p)))
	b[14] = version
	return append(b, p...)
}

// local is the endpoint whose policy decided, and the identity at its other end.
func local(e verdict.Event) (endpoint, remote uint32) {
	if e.Direction == verdict.Ingress {
		return e.Dst.Endpoint, e.Src.Identity
	}
	return e.Src.Endpoint, e.Dst.Identity
}

func policyVerdict(e verdict.Event) []byte {
	endpoint, remote := local(e)
	b := header(verdictLen, verdictVersion, api.MessageTypePolicyVerdict, 0, endpoint, e)
	binary.NativeEndian.PutUint32(b[16:], remote)
	result := int32(0)
	switch {
	case e.Action == verdict.Drop:
		result = -int32(dropCode(e.Reason))
	case e.Action.Redirects():
		result = 1 // Cilium has the proxy's port here; any number above 0 is a redirect
	}
	binary.NativeEndian.PutUint32(b[20:], uint32(result))
	binary.NativeEndian.PutUint16(b[24:], e.Query.DstPort)
	b[26] = e.Query.Proto
	b[27] = api.PolicyEgress | verdictWithoutLink
	if e.Direction == verdict.Ingress {
		b[27] = api.PolicyIngress | verdictWithoutLink
	}
	b[27] |= ifIPv6(e, verdictIPv6) | e.Match<<verdictMatchShift
	return b
}

func drop(e verdict.Event) []byte {
	endpoint, _ := local(e)
	b := header(dropLen, dropVersion, api.MessageTypeDrop, dropCode(e.Reason), endpoint, e)
	binary.NativeEndian.PutUint32(b[16:], e.Src.Identity)
	binary.NativeEndian.PutUint32(b[20:], e.Dst.Identity)
	if e.Direction == verdict.Ingress { // what leaves is not on its way to an endpoint yet
		binary.NativeEndian.PutUint32(b[24:], e.Dst.Endpoint)
	}
	b[36] = dropWithoutLink | ifIPv6(e, dropIPv6)
	return b
}

func trace(e verdict.Event) []byte {
	to, id := e.Point(), uint32(0)
	if to == verdict.ToEndpoint {
		id = e.Dst.Endpoint
	}
	b := header(traceLen, traceVersion, api.MessageTypeTrace, uint8(to), e.Src.Endpoint, e)
	binary.NativeEndian.PutUint32(b[16:], e.Src.Identity)
	binary.NativeEndian.PutUint32(b[20:], e.Dst.Identity)
	binary.NativeEndian.PutUint16(b[24:], uint16(id))
	switch e.Later {
	case verdict.LaterForward, verdict.LaterProxied:
		b[26] = traceEstablished
	case verdict.LaterReply:
		b[26] = traceReply
	}
	b[27] = traceWithoutLink | ifIPv6(e, traceIPv6)
	return b
}

// dropCode is Cilium's number of a reason; what is the datapath's own is a denial
// by policy.
func dropCode(r verdict.Reason) uint8 {
	if r > 0 && r < 256 {
		return uint8(r)
	}
	return uint8(verdict.ReasonPolicy)
}

// flowHash tells connections apart; it is another one than the kernel's.
func flowHash(q verdict.Query) uint32 {
	h := fnv.New32a()
	h.Write(q.Src.AsSlice())
	h.Write(q.Dst.AsSlice())
	h.Write([]byte{q.Proto, byte(q.SrcPort >> 8), byte(q.SrcPort), byte(q.DstPort >> 8), byte(q.DstPort)})
	return h.Sum32()
}

// packet rebuilds the headers of a query's packet. Checksums are left out: nobody
// looks at them.
func packet(q verdict.Query) []byte {
	src, dst := q.Src.Unmap().AsSlice(), q.Dst.Unmap().AsSlice()
	var ip []byte
	lengthAt, lengthOf := 2, 0 // where the header has its length field, and what that leaves out
	if q.Dst.Unmap().Is4() {
		ip = slices.Concat([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, q.Proto, 0, 0}, src, dst)
	} else {
		ip = slices.Concat([]byte{0x60, 0, 0, 0, 0, 0, q.Proto, 64}, src, dst)
		lengthAt, lengthOf = 4, 40
	}
	var l4 []byte
	switch q.Proto {
	case 6:
		l4 = make([]byte, 20)
		l4[12], l4[13] = 5<<4, q.TCPFlags
	case 17:
		l4 = make([]byte, 8)
		l4[5] = 8
	case 132:
		l4 = make([]byte, 12)
	case 1, 58:
		ip = append(ip, uint8(q.DstPort), uint8(q.SrcPort), 0, 0, 0, 0, 0, 0)
	}
	if len(l4) > 0 {
		binary.BigEndian.PutUint16(l4, q.SrcPort)
		binary.BigEndian.PutUint16(l4[2:], q.DstPort)
		ip = append(ip, l4...)
	}
	binary.BigEndian.PutUint16(ip[lengthAt:], uint16(len(ip)-lengthOf))
	return ip
}
