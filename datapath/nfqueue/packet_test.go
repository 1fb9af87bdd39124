package nfqueue

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// ipv4 builds a packet from 10.0.0.1 to 10.0.0.2.
func ipv4(proto byte, options int, fragment uint16, payload ...byte) []byte {
	header := make([]byte, 20+options)
	header[0] = 0x40 | byte(len(header)/4)
	binary.BigEndian.PutUint16(header[6:], fragment)
	header[9] = proto
	copy(header[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	return append(header, payload...)
}

// ipv6 builds a packet from fd00::1 to fd00::2, whose first header after the
// fixed one is next.
func ipv6(next byte, payload ...byte) []byte {
	header := make([]byte, 8, 40)
	header[0], header[6] = 0x60, next
	header = append(header, netip.MustParseAddr("fd00::1").AsSlice()...)
	header = append(header, netip.MustParseAddr("fd00::2").AsSlice()...)
	return append(header, payload...)
}

func TestParse(t *testing.T) {
	tcp := []byte{0x30, 0x39, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0}
	for name, c := range map[string]struct {
		packet []byte
		want   verdict.Query
		bad    bool
	}{
		"tcp":             {packet: ipv4(6, 0, 0, tcp...), want: verdict.Query{Proto: 6, SrcPort: 12345, DstPort: 80, TCPFlags: 0x12}},
		"tcp, options":    {packet: ipv4(6, 8, 0, tcp...), want: verdict.Query{Proto: 6, SrcPort: 12345, DstPort: 80, TCPFlags: 0x12}},
		"tcp, cut short":  {packet: ipv4(6, 0, 0, tcp[:4]...), want: verdict.Query{Proto: 6, SrcPort: 12345, DstPort: 80}},
		"udp":             {packet: ipv4(17, 0, 0, 0x30, 0x39, 0, 53, 0, 8, 0, 0), want: verdict.Query{Proto: 17, SrcPort: 12345, DstPort: 53}},
		"sctp":            {packet: ipv4(132, 0, 0, 0, 1, 0, 2), want: verdict.Query{Proto: 132, SrcPort: 1, DstPort: 2}},
		"icmp":            {packet: ipv4(1, 0, 0, 3, 1, 0, 0), want: verdict.Query{Proto: 1, SrcPort: 1, DstPort: 3}},
		"igmp":            {packet: ipv4(2, 0, 0, 0x11), want: verdict.Query{Proto: 2}},
		"first fragment":  {packet: ipv4(17, 0, 0x2000, 0, 1, 0, 2), want: verdict.Query{Proto: 17, SrcPort: 1, DstPort: 2}},
		"later fragment":  {packet: ipv4(17, 0, 0x2001, 0, 1, 0, 2), bad: true},
		"no ports":        {packet: ipv4(6, 0, 0, 0, 1, 0), bad: true},
		"no ICMP code":    {packet: ipv4(1, 0, 0, 8), bad: true},
		"half a header":   {packet: ipv4(6, 0, 0)[:19], bad: true},
		"options missing": {packet: ipv4(6, 8, 0)[:24], bad: true},
		"length below 20": {packet: append([]byte{0x44}, ipv4(6, 0, 0, tcp...)[1:]...), bad: true},
		"nothing":         {bad: true},

		"6 tcp":            {packet: ipv6(6, tcp...), want: verdict.Query{Proto: 6, SrcPort: 12345, DstPort: 80, TCPFlags: 0x12}},
		"6 udp":            {packet: ipv6(17, 0x30, 0x39, 0, 53, 0, 8, 0, 0), want: verdict.Query{Proto: 17, SrcPort: 12345, DstPort: 53}},
		"6 icmp":           {packet: ipv6(58, 128, 1, 0, 0), want: verdict.Query{Proto: 58, SrcPort: 1, DstPort: 128}},
		"6 extensions":     {packet: ipv6(0, slices.Concat([]byte{60, 0, 0, 0, 0, 0, 0, 0, 6, 1}, make([]byte, 14), tcp)...), want: verdict.Query{Proto: 6, SrcPort: 12345, DstPort: 80, TCPFlags: 0x12}},
		"6 authenticated":  {packet: ipv6(51, slices.Concat([]byte{6, 1}, make([]byte, 10), tcp)...), want: verdict.Query{Proto: 6, SrcPort: 12345, DstPort: 80, TCPFlags: 0x12}},
		"6 first fragment": {packet: ipv6(44, 17, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2), want: verdict.Query{Proto: 17, SrcPort: 1, DstPort: 2}},
		"6 later fragment": {packet: ipv6(44, 17, 0, 0, 9, 0, 0, 0, 0, 0, 1, 0, 2), bad: true},
		"6 cut extension":  {packet: ipv6(0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2), bad: true},
		"6 half a header":  {packet: ipv6(6)[:39], bad: true},
		"6 no header":      {packet: append([]byte{0x60}, ipv4(6, 0, 0, tcp...)[1:]...), bad: true},
		"6 mapped":         {packet: append(append(ipv6(6)[:24:24], netip.MustParseAddr("::ffff:10.0.0.2").AsSlice()...), tcp...), bad: true},
		"other version":    {packet: append([]byte{0x50}, ipv4(6, 0, 0, tcp...)[1:]...), bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := parse(c.packet)
			if ok == c.bad {
				t.Fatalf("ok = %v", ok)
			}
			if c.bad {
				return
			}
			c.want.Src, c.want.Dst = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
			if strings.HasPrefix(name, "6") {
				c.want.Src, c.want.Dst = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOriginalPort(t *testing.T) {
	port := uint32(binary.NativeEndian.Uint16([]byte{0, 53}))
	if p, ok := originalPort(ruleset.TranslatedFlag | port); !ok || p != 53 {
		t.Errorf("got %d, %t", p, ok)
	}
	if _, ok := originalPort(port); ok {
		t.Error("what was not translated has an original port")
	}
}

// queuedMessage is a packet message as the kernel sends it.
func queuedMessage() []byte {
	msg := make([]byte, headerLen)
	msg = attr(msg, attrPacketHdr, []byte{0, 0, 0, 9, 8, 0, 0})
	msg = attr(msg, attrMark, []byte{0, 0, 1, 2})
	msg = attr(msg, attrPriority, []byte{0, 1, 0, 53})
	msg = attr(msg, attrPayload|unix.NLA_F_NET_BYTEORDER, []byte{0x45, 0, 7})
	native.PutUint32(msg, uint32(len(msg)))
	native.PutUint16(msg[4:], msgPacket)
	return msg
}

func TestParseQueued(t *testing.T) {
	p, ok := parseQueued(queuedMessage())
	if !ok || p.id != 9 || p.mark != 0x102 || p.priority != 0x10035 || len(p.payload) != 3 {
		t.Errorf("got %+v, %v", p, ok)
	}
	if _, ok := parseQueued(attr(make([]byte, headerLen), attrMark, []byte{0, 0, 0, 1})); ok {
		t.Error("a packet without an id cannot be answered for")
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(queuedMessage())
	f.Add(ipv6(0, 60, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4))
	f.Add(append(queuedMessage(), ipv4(6, 0, 0, 1, 2, 3, 4)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, ok := parseQueued(data); ok {
			parse(p.payload)
		}
		if q, ok := parse(data); ok && (q.Src.BitLen() != q.Dst.BitLen() || !q.Src.IsValid() || q.Dst.Is4In6()) {
			t.Errorf("addresses %v, %v", q.Src, q.Dst)
		}
	})
}
