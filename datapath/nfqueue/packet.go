package nfqueue

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
	protoSCTP = 132
)

// parse reads the start of an IPv4 packet into a query. ok is false for what is
// no first fragment of an IPv4 packet; ports that the bytes do not hold stay 0.
func parse(packet []byte) (q verdict.Query, ok bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return q, false
	}
	header := int(packet[0]&0xf) * 4
	fragment := binary.BigEndian.Uint16(packet[6:]) & 0x1fff
	if header < 20 || len(packet) < header || fragment != 0 {
		return q, false
	}
	q.Proto = packet[9]
	q.Src = netip.AddrFrom4([4]byte(packet[12:16]))
	q.Dst = netip.AddrFrom4([4]byte(packet[16:20]))
	payload := packet[header:]
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
	case protoICMP:
		if len(payload) < 2 {
			return q, false
		}
		q.DstPort, q.SrcPort = uint16(payload[0]), uint16(payload[1])
	}
	return q, true
}

// original reads what the ruleset put into a translated packet's mark and
// priority: the address and the port that the client dialled.
func original(mark, priority uint32) (netip.Addr, uint16) {
	if priority&ruleset.TranslatedFlag == 0 {
		return netip.Addr{}, 0
	}
	var addr [4]byte
	binary.NativeEndian.PutUint32(addr[:], mark)
	port := uint16(priority)
	if littleEndian {
		port = bits.ReverseBytes16(port)
	}
	return netip.AddrFrom4(addr), port
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
