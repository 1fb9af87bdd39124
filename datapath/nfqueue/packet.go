package nfqueue

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// parse reads the start of an IP packet into a query. ok is false for what is no
// first fragment of one, and for one whose ports the bytes do not hold.
func parse(packet []byte) (q verdict.Query, ok bool) {
	if len(packet) < 20 {
		return q, false
	}
	var payload []byte
	switch packet[0] >> 4 {
	case 4:
		header := int(packet[0]&0xf) * 4
		fragment := binary.BigEndian.Uint16(packet[6:]) & 0x1fff
		if header < 20 || len(packet) < header || fragment != 0 {
			return q, false
		}
		q.Proto, payload = packet[9], packet[header:]
		q.Src, q.Dst = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	case 6:
		if len(packet) < 40 {
			return q, false
		}
		q.Src, q.Dst = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		// The rest of the program takes such an address for the one of IPv4 in it.
		if q.Src.Is4In6() || q.Dst.Is4In6() {
			return q, false
		}
		if q.Proto, payload, ok = transport(packet[6], packet[40:]); !ok {
			return q, false
		}
	default:
		return q, false
	}
	switch q.Proto {
	case protoTCP, protoUDP, protoSCTP:
		if len(payload) < 4 {
			return q, false
		}
		q.SrcPort = binary.BigEndian.Uint16(payload)
		q.DstPort = binary.BigEndian.Uint16(payload[2:])
		if q.Proto == protoTCP && len(payload) >= 14 {
			q.TCPFlags = payload[13]
		}
	case protoICMP, protoICMPv6:
		if len(payload) < 2 {
			return q, false
		}
		q.DstPort, q.SrcPort = uint16(payload[0]), uint16(payload[1])
	}
	return q, true
}

// Extension headers of IPv6 (RFC 8200) that stand before the transport's: those
// that the kernel's conntrack skips, or it would remember for a transport what was
// judged of something else.
const (
	extHopByHop = 0
	extRouting  = 43
	extFragment = 44
	extAuth     = 51
	extOptions  = 60
)

// transport walks the extension headers of an IPv6 packet, of which next is the
// first, to the transport's header.
func transport(next byte, b []byte) (proto byte, payload []byte, ok bool) {
	for {
		size := 8
		switch next {
		case extHopByHop, extRouting, extOptions:
			if len(b) < 2 {
				return 0, nil, false
			}
			size += int(b[1]) * 8
		case extAuth:
			if len(b) < 2 {
				return 0, nil, false
			}
			size = (int(b[1]) + 2) * 4
		case extFragment:
			if len(b) < 4 || binary.BigEndian.Uint16(b[2:])>>3 != 0 {
				return 0, nil, false
			}
		default:
			return next, b, true
		}
		if len(b) < size {
			return 0, nil, false
		}
		next, b = b[0], b[size:]
	}
}

// originalPort reads what the ruleset put into a translated packet's priority:
// the port that the client dialled; false where nothing was translated.
func originalPort(priority uint32) (uint16, bool) {
	port := uint16(priority)
	if littleEndian {
		port = bits.ReverseBytes16(port)
	}
	return port, priority&ruleset.TranslatedFlag != 0
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
