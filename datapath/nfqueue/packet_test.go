package nfqueue

import (
	"encoding/binary"
	"net/netip"
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
		"ipv6":            {packet: append([]byte{0x60}, ipv4(6, 0, 0, tcp...)[1:]...), bad: true},
		"nothing":         {bad: true},
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
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOriginal(t *testing.T) {
	mark := binary.NativeEndian.Uint32([]byte{10, 96, 0, 10})
	port := uint32(binary.NativeEndian.Uint16([]byte{0, 53}))
	if addr, p := original(mark, ruleset.TranslatedFlag|port); addr.String() != "10.96.0.10" || p != 53 {
		t.Errorf("got %v, %d", addr, p)
	}
	if addr, p := original(mark, port); addr.IsValid() || p != 0 {
		t.Errorf("not translated: got %v, %d", addr, p)
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
	f.Add(append(queuedMessage(), ipv4(6, 0, 0, 1, 2, 3, 4)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, ok := parseQueued(data); ok {
			parse(p.payload)
		}
		if q, ok := parse(data); ok && (!q.Src.Is4() || !q.Dst.Is4()) {
			t.Errorf("addresses %v, %v", q.Src, q.Dst)
		}
	})
}
