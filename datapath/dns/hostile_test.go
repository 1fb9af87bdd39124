package dns

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// raw makes an answer to q from records in wire format, which no library would
// write.
func raw(q *dns.Msg, records int, wire ...byte) []byte {
	m := new(dns.Msg).SetReply(q)
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint16(b[6:], uint16(records))
	return append(b, wire...)
}

// record is an A record of the name at the end of the pointer, or of whatever
// bytes are given as its name.
func aRecord(name []byte, addr [4]byte) []byte {
	b := append(slices.Clone(name), 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(b, addr[:]...)
}

// The pointer to the question's name, and the bogus address.
var (
	asked = []byte{0xc0, headerSize}
	bogus = [4]byte{198, 51, 100, 66}
)

// TestHostileServers has a server answer with what it should not. Nothing of it
// is learned, and no client is left with an answer that the proxy could not read.
func TestHostileServers(t *testing.T) {
	reply := func(q *dns.Msg, lines ...string) []byte {
		m := new(dns.Msg).SetReply(q)
		for _, l := range lines {
			rr, err := dns.NewRR(l)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name   string
		answer func(q *dns.Msg) []byte
		passed bool // the client gets it all the same
	}{
		{"a name that points to itself", func(q *dns.Msg) []byte {
			b := raw(q, 1)
			at := uint16(0xc000 | len(b))
			return append(b, aRecord(binary.BigEndian.AppendUint16(nil, at), bogus)...)
		}, false},
		{"names that point to each other", func(q *dns.Msg) []byte {
			b := raw(q, 1)
			at := uint16(0xc000 | len(b))
			return append(b, aRecord([]byte{byte((at + 2) >> 8), byte(at + 2), byte(at >> 8), byte(at)}, bogus)...)
		}, false},
		{"a pointer past the end", func(q *dns.Msg) []byte {
			return append(raw(q, 1), aRecord([]byte{0xff, 0xff}, bogus)...)
		}, false},
		{"a record that is cut off", func(q *dns.Msg) []byte {
			return append(raw(q, 1), aRecord(asked, bogus)[:8]...)
		}, false},
		{"an address of three bytes", func(q *dns.Msg) []byte {
			b := aRecord(asked, bogus)
			b[len(b)-5] = 3
			return append(raw(q, 1), b[:len(b)-1]...)
		}, false},
		{"another id", func(q *dns.Msg) []byte {
			b := reply(q, "a.test. 60 IN A 198.51.100.66")
			b[0]++
			return b
		}, false},
		{"another question", func(q *dns.Msg) []byte {
			b := reply(query("b.test.", dns.TypeA), "a.test. 60 IN A 198.51.100.66")
			binary.BigEndian.PutUint16(b, q.Id)
			return b
		}, false},
		{"two questions", func(q *dns.Msg) []byte {
			m := new(dns.Msg).SetReply(q)
			m.Question = append(m.Question, m.Question[0])
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}, false},
		{"a question for an answer", func(q *dns.Msg) []byte {
			b := reply(q, "a.test. 60 IN A 198.51.100.66")
			b[2] &^= 0x80
			return b
		}, false},
		{"addresses of another name", func(q *dns.Msg) []byte {
			return reply(q, "bank.test. 60 IN A 198.51.100.66", "www.a.test. 60 IN A 198.51.100.66")
		}, true},
		{"an alias whose address is another's", func(q *dns.Msg) []byte {
			return reply(q, "a.test. 60 IN CNAME b.test.", "c.test. 60 IN A 198.51.100.66")
		}, true},
		{"aliases in a circle", func(q *dns.Msg) []byte {
			return reply(q, "a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test.")
		}, true},
		{"an error with addresses", func(q *dns.Msg) []byte {
			b := reply(q, "a.test. 60 IN A 198.51.100.66")
			b[3] |= dns.RcodeNameError
			return b
		}, true},
		{"nothing", func(q *dns.Msg) []byte { return reply(q) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait := 200 * time.Millisecond // for an answer that does not come
			if c.passed {
				wait = plenty
			}
			r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) { _, _ = w.Write(c.answer(q)) }, func(cfg *Config) { cfg.Timeout = wait })
			r.patience = 2 * wait
			for _, network := range []string{"udp4", "tcp4"} {
				got, err := r.ask(t, network, query("a.test.", dns.TypeA))
				switch {
				case c.passed && err != nil:
					t.Errorf("%s: %v", network, err)
				case !c.passed && err == nil && got.Rcode != dns.RcodeServerFailure:
					t.Errorf("%s: the client got %v", network, got)
				}
				for _, a := range r.told().learned {
					t.Errorf("%s: learned %v", network, a)
				}
			}
		})
	}
}

// Behind a bad answer the good one is still heard: whoever is first does not win.
func TestGoodAnswerAfterBadOnes(t *testing.T) {
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		for range 50 {
			_, _ = w.Write(append(raw(q, 1), aRecord([]byte{0xff, 0xff}, bogus)...))
		}
		zone(t, "a.test. 5 IN A 203.0.113.1")(w, q)
	})
	got, err := r.ask(t, "udp4", query("a.test.", dns.TypeA))
	if err != nil || len(got.Answer) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if l := r.told().learned; len(l) != 1 || l[0].Addrs[0] != netip.MustParseAddr("203.0.113.1") {
		t.Errorf("learned %v", l)
	}
}

// An answer of the largest size is read, learned and passed on.
func TestManyAddresses(t *testing.T) {
	const n = 1000
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for i := range n {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: uint32(60 + i)},
				A:   net.IPv4(203, 0, byte(i>>8), byte(i)),
			})
		}
		m.Compress = true
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		_ = w.WriteMsg(m)
	})
	short, err := r.ask(t, "udp4", query("a.test.", dns.TypeA).SetEdns0(1232, false))
	if err != nil || !short.Truncated {
		t.Fatalf("UDP: %v, %v", short, err)
	}
	r.told()
	got, err := r.ask(t, "tcp4", query("a.test.", dns.TypeA))
	if err != nil || len(got.Answer) != n {
		t.Fatalf("TCP: %v", err)
	}
	if l := r.told().learned; len(l) != 1 || len(l[0].Addrs) != n || l[0].TTL != time.Minute {
		t.Errorf("learned %d answers", len(l))
	}
}

func TestDenyCode(t *testing.T) {
	for code, want := range map[int]int{0: dns.RcodeRefused, dns.RcodeNameError: dns.RcodeNameError} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			r := newRig(t, zone(t), func(c *Config) { c.DenyCode = code })
			r.set(func() { r.deny["a.test."] = true })
			for _, network := range []string{"udp4", "tcp4"} {
				if got, err := r.ask(t, network, query("a.test.", dns.TypeA)); err != nil || got.Rcode != want {
					t.Errorf("%s: %v, %v", network, got, err)
				}
			}
		})
	}
}

// FuzzAnswer holds that an answer that is taken is one to the question, and that
// only addresses at the end of the name's own aliases are read from it.
func FuzzAnswer(f *testing.F) {
	q := question{msg: *query("a.test.", dns.TypeA)}
	q.msg.Id = 7
	for _, lines := range [][]string{
		{"a.test. 1 IN A 203.0.113.1"}, {"a.test. 1 IN CNAME b.test.", "b.test. 2 IN A 203.0.113.2"}, {"a.test. 1 IN CNAME a.test."}, nil,
	} {
		m := new(dns.Msg).SetReply(&q.msg)
		for _, l := range lines {
			rr, err := dns.NewRR(l)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(append(raw(&q.msg, 1), aRecord([]byte{0xc0, 0xff}, bogus)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := q.answers(b, 7)
		if err != nil {
			return
		}
		if !m.Response || m.Id != 7 {
			t.Errorf("taken: %v", m)
		}
		names := map[string]bool{"a.test.": true}
		c := follow(m, "a.test.")
		for _, n := range c.cnames {
			names[n] = true
		}
		owned := map[netip.Addr]bool{}
		for _, rr := range m.Answer {
			if !names[dns.CanonicalName(rr.Header().Name)] {
				continue
			}
			switch rr := rr.(type) {
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					owned[a] = true
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
					owned[a] = true
				}
			}
		}
		for _, a := range c.addrs {
			if !owned[a] {
				t.Errorf("%v is not the name's", a)
			}
		}
	})
}
