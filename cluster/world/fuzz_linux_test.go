package world

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// Whatever a policy names, what is served are names that DNS can carry, and
// serving them again says the same.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"cilium.io", "*.cilium.io", "**.a.b", "sub*.x.io", "*", "", "..", "a..b", "https://x.io", "1.2.3.4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, err := expand(text)
		if err != nil && names != nil {
			t.Errorf("%q gives %q and %v", text, names, err)
		}
		for _, name := range names {
			if _, ok := dns.IsDomainName(name); !ok || inCluster(name) {
				t.Errorf("%q gives %q", text, name)
			}
			if again, err := expand(name); err != nil || len(again) != 1 || again[0] != name {
				t.Errorf("%q gives %q, which gives %q, %v", text, name, again, err)
			}
		}
	})
}

// Any question that can be read has an answer that can be sent and matches it.
func FuzzAnswer(f *testing.F) {
	r := &resolver{newBook(newPicker(1), false)}
	if _, _, err := r.book.add("kubernetes.io"); err != nil {
		f.Fatal(err)
	}
	if err := r.book.alias("docs.test", "kubernetes.io"); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []*dns.Msg{
		new(dns.Msg).SetQuestion("kubernetes.io.", dns.TypeA),
		new(dns.Msg).SetQuestion("Docs.Test.", dns.TypeAAAA),
		new(dns.Msg).SetQuestion("1.2.3.4.in-addr.arpa.", dns.TypePTR),
		new(dns.Msg).SetQuestion(".", dns.TypeNS).SetEdns0(1232, true),
	} {
		packet, err := seed.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		query := new(dns.Msg)
		if query.Unpack(packet) != nil {
			return
		}
		reply := r.answer(query)
		if reply.Id != query.Id || !reply.Response {
			t.Errorf("to %v: %v", query, reply)
		}
		if _, err := reply.Pack(); err != nil {
			t.Errorf("to %v: %v", query, err)
		}
	})
}

func FuzzParseSYN(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 168, 77, 2, 44, 0, 0, 1, 0x9c, 0x40, 1, 187})
	six := []byte{0x60, 0, 0, 0, 0, 20, 6, 64}
	six = append(six, netip.MustParseAddr("fd00:10:244::a").AsSlice()...)
	f.Add(append(append(six, netip.MustParseAddr("2001:db8::1").AsSlice()...), 0x9c, 0x40, 1, 187))
	f.Fuzz(func(t *testing.T, packet []byte) {
		key, ok := parseSYN(packet)
		if ok && (!key.from.IsValid() || !key.to.IsValid() || key.from.Addr().Is4() != (packet[0]>>4 == 4)) {
			t.Errorf("%x gives %v", packet, key)
		}
	})
}
