package world

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The lifetimes that answers carry, in seconds. A name that is not there is
// forgotten at once, because Serve may add it in the next moment.
const (
	answerTTL   = 30
	negativeTTL = 1
)

// resolver answers DNS from the book, with authority over everything.
type resolver struct {
	book *book
}

// ServeDNS answers one query.
func (r *resolver) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := r.answer(query)
	if w.RemoteAddr().Network() == "udp" {
		reply.Truncate(datagramSize(query))
	}
	// A client that went away is all that can fail here.
	_ = w.WriteMsg(reply)
}

// datagramSize is how long an answer by UDP the client takes: 512 bytes (RFC 1035,
// 4.2.1) unless it says more (RFC 6891, 6.2.3).
func datagramSize(query *dns.Msg) int {
	if opt := query.IsEdns0(); opt != nil {
		return max(int(opt.UDPSize()), dns.MinMsgSize)
	}
	return dns.MinMsgSize
}

func (r *resolver) answer(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	if query.Opcode != dns.OpcodeQuery || len(query.Question) != 1 {
		return reply.SetRcode(query, dns.RcodeNotImplemented)
	}
	reply.SetReply(query)
	reply.Authoritative = true
	reply.RecursionAvailable = true
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(dns.DefaultMsgSize, opt.Do())
	}

	q := query.Question[0]
	if q.Qclass != dns.ClassINET {
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	if q.Qtype == dns.TypePTR {
		r.pointer(reply, q.Name)
		return reply
	}
	chain, addrs, exists := r.book.resolve(canonical(q.Name))
	if q.Qtype != dns.TypeCNAME {
		chain = r.follow(reply, q.Name, chain)
	} else if len(chain) > 1 {
		reply.Answer = append(reply.Answer, cname(q.Name, chain[1]))
	}
	last := q.Name
	if len(chain) > 1 {
		last = dns.Fqdn(chain[len(chain)-1])
	}
	found := records(addrs, q.Qtype, last)
	switch {
	case !exists:
		reply.Rcode = dns.RcodeNameError
		reply.Ns = []dns.RR{soa(q.Name)}
	case len(found) > 0:
		reply.Answer = append(reply.Answer, found...)
	case q.Qtype != dns.TypeCNAME || len(chain) == 1:
		reply.Ns = []dns.RR{soa(q.Name)}
	}
	return reply
}

// records are those of that type among addresses.
func records(addrs []netip.Addr, qtype uint16, owner string) (found []dns.RR) {
	for _, a := range addrs {
		switch {
		case a.Is4() && qtype == dns.TypeA:
			found = append(found, &dns.A{Hdr: header(owner, qtype), A: a.AsSlice()})
		case a.Is6() && qtype == dns.TypeAAAA:
			found = append(found, &dns.AAAA{Hdr: header(owner, qtype), AAAA: a.AsSlice()})
		}
	}
	return found
}

// follow writes the CNAMEs of a chain. The first owner keeps the question's
// spelling: resolvers that vary its case compare it.
func (r *resolver) follow(reply *dns.Msg, owner string, chain []string) []string {
	for _, target := range chain[1:] {
		reply.Answer = append(reply.Answer, cname(owner, target))
		owner = dns.Fqdn(target)
	}
	return chain
}

func (r *resolver) pointer(reply *dns.Msg, qname string) {
	if addr, ok := reverse(qname); ok {
		if name, ok := r.book.owner(addr); ok && name != addr.String() {
			reply.Answer = []dns.RR{&dns.PTR{Hdr: header(qname, dns.TypePTR), Ptr: dns.Fqdn(name)}}
			return
		}
	}
	reply.Rcode = dns.RcodeNameError
	reply.Ns = []dns.RR{soa(qname)}
}

// reverse reads the address out of a name under in-addr.arpa or ip6.arpa.
func reverse(qname string) (netip.Addr, bool) {
	if nibbles, ok := strings.CutSuffix(canonical(qname), ".ip6.arpa"); ok {
		digits := strings.Split(nibbles, ".")
		slices.Reverse(digits)
		raw, err := hex.DecodeString(strings.Join(digits, ""))
		if err != nil || len(digits) != 32 || len(raw) != 16 {
			return netip.Addr{}, false
		}
		return netip.AddrFrom16([16]byte(raw)), true
	}
	labels, ok := strings.CutSuffix(canonical(qname), ".in-addr.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(labels, ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	addr, err := netip.ParseAddr(strings.Join(parts, "."))
	return addr, err == nil && addr.Is4()
}

func header(owner string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: answerTTL}
}

func cname(owner, target string) dns.RR {
	return &dns.CNAME{Hdr: header(owner, dns.TypeCNAME), Target: dns.Fqdn(target)}
}

// soa is the record that lets a resolver remember that there is nothing. Its
// owner is the name's top-level domain.
func soa(qname string) dns.RR {
	zone := "."
	if labels := dns.SplitDomainName(qname); len(labels) > 0 {
		zone = dns.Fqdn(labels[len(labels)-1])
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: negativeTTL},
		Ns:  "ns.world.invalid.", Mbox: "nobody.world.invalid.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
	}
}
