package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// headerSize is the length of a DNS message's header.
const headerSize = 12

// question is what a client asks, and the message it came in.
type question struct {
	raw []byte
	msg dns.Msg
	// out is the message as a server gets it, but for its ID. It is written from
	// what was judged: in the client's own bytes a name may point anywhere, be it
	// to the ID, which the proxy changes, and other readers may follow it otherwise.
	out []byte
}

// errIgnore marks what gets no answer at all: it is no question.
var errIgnore = errors.New("not a question")

// parseQuestion reads a client's message. Where it is a question that the proxy
// cannot judge, the answer to give is returned with an error.
func parseQuestion(raw []byte) (q question, refusal []byte, err error) {
	if len(raw) < headerSize || raw[2]&0x80 != 0 {
		return q, nil, errIgnore
	}
	q.raw = raw
	if err := q.msg.Unpack(raw); err != nil {
		return q, headerOnly(raw, dns.RcodeFormatError), fmt.Errorf("unpack question: %w", err)
	}
	if q.msg.Opcode != dns.OpcodeQuery {
		return q, headerOnly(raw, dns.RcodeNotImplemented), fmt.Errorf("opcode %d", q.msg.Opcode)
	}
	if n := len(q.msg.Question); n != 1 {
		return q, headerOnly(raw, dns.RcodeFormatError), fmt.Errorf("%d questions in one message", n)
	}
	if name := q.msg.Question[0].Name; ambiguous(name) {
		return q, headerOnly(raw, dns.RcodeFormatError), fmt.Errorf("name %s has a dot, a backslash or a control character in a label", name)
	}
	if q.out, err = q.write(); err != nil {
		return q, headerOnly(raw, dns.RcodeFormatError), err
	}
	return q, nil, nil
}

// write is the question as a server gets it: of the other records only what tells
// the client's abilities (EDNS0) goes with it.
func (q *question) write() ([]byte, error) {
	m := dns.Msg{MsgHdr: q.msg.MsgHdr, Question: q.msg.Question}
	if opt := q.msg.IsEdns0(); opt != nil {
		m.Extra = []dns.RR{opt}
	}
	out, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("write question: %w", err)
	}
	var again dns.Msg
	if err := again.Unpack(out); err != nil || len(again.Question) != 1 || again.Question[0] != q.msg.Question[0] {
		return nil, fmt.Errorf("the question for %s is another when it is written: %w", q.name(), err)
	}
	return out, nil
}

// ambiguous says whether a name, as the library presents it, has a character that
// other readers could take for the end of a label or of the name.
func ambiguous(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' {
			continue
		}
		i++
		switch {
		case i == len(name), name[i] == '.', name[i] == '\\':
			return true
		case name[i] == '0' && name[i+1] < '3' || name[i] == '0' && name[i+1] == '3' && name[i+2] < '2':
			return true // \000 to \031
		}
	}
	return false
}

// name is the question's name in lower case with its final dot.
func (q *question) name() string { return dns.CanonicalName(q.msg.Question[0].Name) }

func (q *question) qtype() uint16 { return q.msg.Question[0].Qtype }

// respond is an answer of the proxy's own with that code.
func (q *question) respond(rcode int) []byte {
	var m dns.Msg
	m.SetRcode(&q.msg, rcode)
	m.RecursionAvailable = true
	if opt := q.msg.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), opt.Do())
	}
	out, err := m.Pack()
	if err != nil {
		return headerOnly(q.raw, rcode)
	}
	return out
}

// headerOnly is an answer without any section, for what cannot be unpacked.
func headerOnly(raw []byte, rcode int) []byte {
	out := make([]byte, headerSize)
	copy(out, raw[:4])
	out[2] |= 0x80 // a response
	out[3] = 0x80 | byte(rcode&0xf)
	return out
}

// withID copies a message and gives it another ID.
func withID(raw []byte, id uint16) []byte {
	out := append([]byte(nil), raw...)
	binary.BigEndian.PutUint16(out, id)
	return out
}

// answers says whether raw is the answer to q as it was sent with that ID, and
// unpacks it. What is not may be somebody's attempt to get in first.
func (q *question) answers(raw []byte, id uint16) (*dns.Msg, error) {
	if len(raw) < headerSize {
		return nil, errors.New("answer is too short")
	}
	if got := binary.BigEndian.Uint16(raw); got != id {
		return nil, fmt.Errorf("answer has ID %d, not %d", got, id)
	}
	var m dns.Msg
	if err := m.Unpack(raw); err != nil {
		return nil, fmt.Errorf("unpack answer: %w", err)
	}
	if !m.Response {
		return nil, errors.New("answer is a question")
	}
	if len(m.Question) == 0 && m.Rcode != dns.RcodeSuccess {
		return &m, nil // some servers leave the question out of an error
	}
	asked := q.msg.Question[0]
	if len(m.Question) != 1 || m.Question[0].Qtype != asked.Qtype || m.Question[0].Qclass != asked.Qclass ||
		!strings.EqualFold(m.Question[0].Name, asked.Name) {
		return nil, errors.New("answer is to another question")
	}
	return &m, nil
}

// chain is what an answer says about a name: the addresses at the end of its
// CNAMEs, those CNAMEs in order, and the smallest TTL among them.
type chain struct {
	addrs  []netip.Addr
	cnames []string
	ttl    uint32
}

// follow reads the chain that starts at name. Records of other names are not
// about what was asked and are left out, wherever the server got them from.
func follow(m *dns.Msg, name string) chain {
	var c chain
	found := false
	lower := func(ttl uint32) {
		if !found || ttl < c.ttl {
			c.ttl, found = ttl, true
		}
	}
	seen := map[string]bool{}
	for next := name; next != "" && !seen[next]; {
		owner := next
		seen[owner], next = true, ""
		for _, rr := range m.Answer {
			if dns.CanonicalName(rr.Header().Name) != owner {
				continue
			}
			switch rr := rr.(type) {
			case *dns.CNAME:
				next = dns.CanonicalName(rr.Target)
				c.cnames = append(c.cnames, next)
				lower(rr.Hdr.Ttl)
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
					c.addrs = append(c.addrs, a)
					lower(rr.Hdr.Ttl)
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
					c.addrs = append(c.addrs, a)
					lower(rr.Hdr.Ttl)
				}
			}
		}
	}
	return c
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }
