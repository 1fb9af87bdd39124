package busybox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const nslookupUsage = `nslookup [-type=QUERY_TYPE] [-debug] HOST [DNS_SERVER]

Query DNS about HOST

QUERY_TYPE: ns,a,aaaa,cname,mx,txt,ptr,srv,any`

// resolvConf names the servers; busybox's nslookup takes names as they are, without
// the search list.
const resolvConf = "/etc/resolv.conf"

func (p *program) nslookup(args []string) int {
	kind, operands := "", []string{}
	for _, arg := range args {
		switch {
		case arg == "-debug":
		case strings.HasPrefix(arg, "-type="), strings.HasPrefix(arg, "-querytype="), strings.HasPrefix(arg, "-q="):
			_, kind, _ = strings.Cut(arg, "=")
			kind = strings.ToLower(kind)
		case strings.HasPrefix(arg, "-"):
			p.fail("invalid option -- '%s'", arg[1:])
			return p.usage()
		default:
			operands = append(operands, arg)
		}
	}
	if len(operands) < 1 || len(operands) > 2 {
		return p.usage()
	}
	server, code := p.server(operands[1:])
	if code != 0 {
		return code
	}
	fmt.Fprintf(p.out, "Server:\t\t%s\nAddress:\t%s\n\n", server.Addr(), server)
	q := &question{server: server}
	return p.answer(q, operands[0], kind)
}

func (p *program) server(given []string) (netip.AddrPort, int) {
	name, port := "127.0.0.1", uint16(53)
	if len(given) > 0 {
		name = given[0]
		if at, err := netip.ParseAddrPort(name); err == nil {
			return at, 0
		}
	} else if data, err := os.ReadFile(resolvConf); err == nil {
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
				name = f[1]
				break
			}
		}
	}
	addr, found := lookup(context.Background(), name)
	if !found {
		return netip.AddrPort{}, p.fail("bad address '%s'", name)
	}
	return netip.AddrPortFrom(addr, port), 0
}

// question asks one server, once more when no answer came, and notes what the
// answers say: the resolver tells an answer without records from none at all.
type question struct {
	server netip.AddrPort
	mu     sync.Mutex
	rcode  byte // the last
	seen   bool
}

const nslookupWait = 10 * time.Second // five seconds, twice

func (q *question) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, q.server.String())
		if err != nil {
			return nil, err
		}
		if udp, ok := conn.(*net.UDPConn); ok {
			return &noted{udp, q}, nil
		}
		return conn, nil
	}}
}

// noted is a socket to the server. It stays a net.PacketConn, by which the resolver
// knows that a message is a datagram.
type noted struct {
	*net.UDPConn
	q *question
}

func (n *noted) Read(b []byte) (int, error) {
	size, err := n.UDPConn.Read(b)
	if err == nil && size >= 4 {
		n.q.mu.Lock()
		n.q.rcode, n.q.seen = b[3]&0xf, true
		n.q.mu.Unlock()
	}
	return size, err
}

// rcodes are the answers that carry no records, as nslookup names them.
var rcodes = map[byte]string{1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

// answer asks for the records of a kind, of addresses when it is empty, and prints
// them.
func (p *program) answer(q *question, name, kind string) int {
	ctx, cancel := context.WithTimeout(context.Background(), nslookupWait)
	defer cancel()
	lines, err := q.lines(ctx, name, kind)
	if len(lines) > 0 {
		fmt.Fprintln(p.out, strings.Join(lines, "\n")+"\n")
		return 0
	}
	q.mu.Lock()
	rcode, seen := q.rcode, q.seen
	q.mu.Unlock()
	switch {
	case !seen && errors.Is(err, errKind):
		return p.fail("invalid query type \"%s\"", kind)
	case !seen:
		fmt.Fprint(p.out, ";; connection timed out; no servers could be reached\n\n")
	case rcode != 0:
		text, known := rcodes[rcode]
		if !known {
			text = "Unknown"
		}
		fmt.Fprintf(p.out, "** server can't find %s: %s\n\n", name, text)
	default:
		fmt.Fprintf(p.out, "*** Can't find %s: No answer\n\n", name)
	}
	return 1
}

var errKind = errors.New("no such type")

func (q *question) lines(ctx context.Context, name, kind string) ([]string, error) {
	r := q.resolver()
	full := strings.TrimSuffix(name, ".") + "."
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	ip := netip.Addr{}
	if a, err := netip.ParseAddr(name); err == nil && kind == "" {
		ip, kind = a, "ptr"
	}
	var err error
	switch kind {
	case "", "any", "a", "aaaa":
		network := map[string]string{"a": "ip4", "aaaa": "ip6"}[kind]
		if network == "" {
			network = "ip"
		}
		var addrs []netip.Addr
		addrs, err = r.LookupNetIP(ctx, network, full)
		slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
		for _, a := range addrs {
			add("Name:\t%s\nAddress: %s", strings.TrimSuffix(name, "."), a.Unmap())
		}
	case "ptr":
		if !ip.IsValid() {
			return nil, errKind
		}
		var names []string
		names, err = r.LookupAddr(ctx, ip.String())
		for _, n := range names {
			add("%s\tname = %s", reverse(ip), strings.TrimSuffix(n, "."))
		}
	case "cname":
		var target string
		if target, err = r.LookupCNAME(ctx, full); err == nil && target != full {
			add("%s\tcanonical name = %s", name, strings.TrimSuffix(target, "."))
		}
	case "txt":
		var texts []string
		texts, err = r.LookupTXT(ctx, full)
		for _, t := range texts {
			add("%s\ttext = %q", name, t)
		}
	case "mx":
		var all []*net.MX
		all, err = r.LookupMX(ctx, full)
		for _, m := range all {
			add("%s\tmail exchanger = %d %s", name, m.Pref, strings.TrimSuffix(m.Host, "."))
		}
	case "ns":
		var all []*net.NS
		all, err = r.LookupNS(ctx, full)
		for _, n := range all {
			add("%s\tnameserver = %s", name, strings.TrimSuffix(n.Host, "."))
		}
	case "srv":
		var all []*net.SRV
		_, all, err = r.LookupSRV(ctx, "", "", full)
		for _, s := range all {
			add("%s\tservice = %d %d %d %s", name, s.Priority, s.Weight, s.Port, strings.TrimSuffix(s.Target, "."))
		}
	default:
		return nil, errKind
	}
	return out, err
}

// reverse is the name under which an address's name stands.
func reverse(ip netip.Addr) string {
	if !ip.Is4() {
		return ip.String()
	}
	b := ip.As4()
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
}
