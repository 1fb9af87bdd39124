package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/verdict"
)

func TestMain(m *testing.M) { testnet.Main(m) }

const divertMark = 0x200

var (
	nodeAddr   = netip.MustParseAddr("192.168.77.2")
	clientAddr = netip.MustParseAddr("10.244.0.10")
	otherAddr  = netip.MustParseAddr("10.244.0.11")
	serverAddr = netip.MustParseAddr("10.244.0.53")
	// serviceAddr is translated to serverAddr before anything else.
	serviceAddr = netip.MustParseAddr("10.96.0.10")
)

// fake decides by name and remembers what it was told.
type fake struct {
	mu      sync.Mutex
	deny    map[string]bool
	asked   []verdict.Query
	learned []verdict.Answer
	clients []netip.Addr
	fail    error
	gate    chan struct{} // when set, LearnDNS waits for it
	events  []verdict.Event
}

func (f *fake) DecideDNS(q verdict.Query, name string) verdict.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, q)
	if f.deny[name] {
		return verdict.Verdict{Action: verdict.Drop, Direction: verdict.Egress}
	}
	return verdict.Verdict{Action: verdict.Allow, Direction: verdict.Egress}
}

func (f *fake) LearnDNS(ctx context.Context, client netip.Addr, a verdict.Answer) error {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.learned, f.clients = append(f.learned, a), append(f.clients, client)
	return f.fail
}

func (f *fake) Publish(e verdict.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// record is what a fake was told so far.
type record struct {
	asked   []verdict.Query
	learned []verdict.Answer
	clients []netip.Addr
	events  []verdict.Event
}

// told returns what f was told since the last time.
func (f *fake) told() record {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := record{f.asked, f.learned, f.clients, f.events}
	f.asked, f.learned, f.clients, f.events = nil, nil, nil, nil
	return r
}

// set changes how f answers.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// plenty is how long is waited for what has to come.
const plenty = time.Minute

// rig is a client pod, a server pod and the proxy between them.
type rig struct {
	*fake
	proxy          *Proxy
	client, server *testnet.Pod
	other          *testnet.Pod  // another client
	patience       time.Duration // of a client
}

func newRig(t testing.TB, handler dns.HandlerFunc, change ...func(*Config)) *rig {
	t.Helper()
	testnet.Node(t, nodeAddr)
	r := &rig{fake: &fake{deny: map[string]bool{}}, patience: plenty}
	r.client = testnet.NewPod(t, "client", clientAddr)
	r.other = testnet.NewPod(t, "other", otherAddr)
	r.server = testnet.NewPod(t, "server", serverAddr)
	serve(t, &dns.Server{Listener: r.server.Listen(t, ":53"), Handler: handler})
	serve(t, &dns.Server{PacketConn: r.server.ListenPacket(t, ":53"), Handler: handler})

	var err error
	cfg := Config{Decider: r, Sink: r, Mark: 0x400, Timeout: plenty}
	for _, f := range change {
		f(&cfg)
	}
	r.proxy, err = Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	divert(t, r.proxy.Addr(), "client", "other")
	return r
}

func serve(t testing.TB, s *dns.Server) {
	t.Helper()
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
}

// divert has port 53 from links go to the proxy, as the ruleset does.
func divert(t testing.TB, to netip.AddrPort, links ...string) {
	t.Helper()
	c := &nftables.Conn{}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "divert"})
	chain := c.AddChain(&nftables.Chain{Name: "pre", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-89)})
	// What answers a transparent socket goes to it.
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1},
		&expr.Cmp{Register: 1, Data: []byte{1}},
		&expr.Socket{Key: expr.SocketKeyTransparent, Register: 1},
		&expr.Cmp{Register: 1, Data: []byte{1}},
		&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(divertMark)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
	}})
	nat := c.AddChain(&nftables.Chain{Name: "nat", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
	c.AddRule(&nftables.Rule{Table: table, Chain: nat, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Register: 1, Data: serviceAddr.AsSlice()},
		&expr.Immediate{Register: 1, Data: serverAddr.AsSlice()},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}})
	for _, link := range links {
		for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
				&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
				&expr.Cmp{Register: 1, Data: append([]byte(link), make([]byte, 16-len(link))...)},
				&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
				&expr.Cmp{Register: 1, Data: []byte{proto}},
				&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
				&expr.Cmp{Register: 1, Data: binaryutil.BigEndian.PutUint16(53)},
				&expr.Immediate{Register: 1, Data: to.Addr().AsSlice()},
				&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(to.Port())},
				&expr.TProxy{Family: unix.NFPROTO_IPV4, TableFamily: unix.NFPROTO_IPV4, RegAddr: 1, RegPort: 2},
				&expr.Immediate{Register: 1, Data: binaryutil.NativeEndian.PutUint32(divertMark)},
				&expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
				&expr.Verdict{Kind: expr.VerdictAccept},
			}})
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	rule := netlink.NewRule()
	rule.Mark, rule.Table, rule.Family = divertMark, 100, netlink.FAMILY_V4
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	local := &netlink.Route{LinkIndex: lo.Attrs().Index, Table: 100, Type: unix.RTN_LOCAL,
		Scope: netlink.SCOPE_HOST, Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}
	if err := errors.Join(netlink.RuleAdd(rule), netlink.RouteAdd(local)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.DelTable(table)
		if err := errors.Join(c.Flush(), netlink.RuleDel(rule), netlink.RouteDel(local)); err != nil {
			t.Error(err)
		}
	})
}

// ask sends a question from the client pod to the server's address.
func (r *rig) ask(t testing.TB, network string, m *dns.Msg) (*dns.Msg, error) {
	t.Helper()
	return r.askAt(t, serverAddr, network, m)
}

func (r *rig) askAt(t testing.TB, server netip.Addr, network string, m *dns.Msg) (*dns.Msg, error) {
	t.Helper()
	c, err := r.client.Dial(net.Dialer{Timeout: plenty}, network, server.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dc := &dns.Conn{Conn: c, UDPSize: 4096}
	_ = dc.SetDeadline(time.Now().Add(r.patience))
	if err := dc.WriteMsg(m); err != nil {
		t.Fatal(err)
	}
	return dc.ReadMsg()
}

func query(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype)
}

// zone answers from lines of zone files.
func zone(t testing.TB, lines ...string) dns.HandlerFunc {
	var rrs []dns.RR
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		want := dns.CanonicalName(q.Question[0].Name)
		for range rrs {
			for _, rr := range rrs {
				h := rr.Header()
				if h.Name != want || slices.Contains(m.Answer, rr) {
					continue
				}
				if c, ok := rr.(*dns.CNAME); ok {
					m.Answer, want = append(m.Answer, rr), c.Target
				} else if h.Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		if o := q.IsEdns0(); o != nil {
			m.SetEdns0(o.UDPSize(), o.Do())
		}
		_ = w.WriteMsg(m)
	}
}

func TestAllowedAnswerIsLearnedAndReleased(t *testing.T) {
	r := newRig(t, zone(t,
		"www.example.org. 300 IN CNAME edge.example.net.",
		"edge.example.net. 30 IN A 203.0.113.7",
		"edge.example.net. 60 IN A 203.0.113.8"))
	for _, network := range []string{"udp4", "tcp4"} {
		t.Run(network, func(t *testing.T) {
			got, err := r.ask(t, network, query("WwW.eXample.org.", dns.TypeA))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Answer) != 3 || got.Question[0].Name != "WwW.eXample.org." {
				t.Errorf("answer %v", got)
			}
			r := r.told()
			want := verdict.Answer{Name: "www.example.org.", TTL: 30 * time.Second,
				Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8")}}
			if len(r.learned) != 1 || r.learned[0].Name != want.Name || r.learned[0].TTL != want.TTL ||
				!slices.Equal(r.learned[0].Addrs, want.Addrs) || r.clients[0] != clientAddr {
				t.Errorf("learned %v for %v, want %v for %v", r.learned, r.clients, want, clientAddr)
			}
			q := r.asked[0]
			if q.Src != clientAddr || q.Dst != serverAddr || q.DstPort != 53 || q.SrcPort == 0 {
				t.Errorf("judged %+v", q)
			}
			if len(r.events) != 2 || r.events[0].DNS.Response || !r.events[1].DNS.Response {
				t.Fatalf("events %+v", r.events)
			}
			d := r.events[1].DNS
			if d.Name != "www.example.org." || len(d.Addrs) != 2 || d.TTL != 30 || d.Latency <= 0 ||
				!slices.Equal(d.CNAMEs, []string{"edge.example.net."}) {
				t.Errorf("response event %+v", d)
			}
		})
	}
}

// TestThroughService asks a Service's address, with both sources that the
// proxy can ask the server from.
func TestThroughService(t *testing.T) {
	for _, clientSource := range []bool{false, true} {
		t.Run(fmt.Sprintf("clientSource=%v", clientSource), func(t *testing.T) {
			sources := make(chan netip.Addr, 1)
			inner := zone(t, "a.test. 5 IN A 203.0.113.1")
			r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
				from, err := netip.ParseAddrPort(w.RemoteAddr().String())
				if err != nil {
					t.Error(err)
				}
				sources <- from.Addr()
				inner(w, q)
			}, func(c *Config) { c.ClientSource = clientSource })
			want := nodeAddr
			if clientSource {
				want = clientAddr
			}
			for _, network := range []string{"udp4", "tcp4"} {
				got, err := r.askAt(t, serviceAddr, network, query("a.test.", dns.TypeA))
				if err != nil || len(got.Answer) != 1 {
					t.Fatalf("%s: got %v, %v", network, got, err)
				}
				if from := <-sources; from != want {
					t.Errorf("%s: the server saw %v, want %v", network, from, want)
				}
			}
			if q := r.told().asked[0]; q.Dst != serverAddr {
				t.Errorf("judged %+v, want the endpoint as destination", q)
			}
		})
	}
}

func TestDeniedIsRefused(t *testing.T) {
	asked := make(chan string, 4)
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked <- q.Question[0].Name
		_ = w.WriteMsg(new(dns.Msg).SetReply(q))
	})
	r.set(func() { r.deny["cilium.io."] = true })
	for _, network := range []string{"udp4", "tcp4"} {
		got, err := r.ask(t, network, query("Cilium.io.", dns.TypeAAAA).SetEdns0(1232, false))
		if err != nil {
			t.Fatal(err)
		}
		if got.Rcode != dns.RcodeRefused || got.IsEdns0() == nil || len(got.Question) != 1 {
			t.Errorf("%s: got %v, want REFUSED with the question", network, got)
		}
	}
	if len(asked) != 0 {
		t.Error("the server was asked")
	}
	events := r.told().events
	if e := events[0]; len(events) != 2 || e.Action != verdict.Drop || e.Reason != verdict.ReasonL7 {
		t.Errorf("events %+v", events)
	}
}

func TestAnswerWaitsUntilLearned(t *testing.T) {
	r := newRig(t, zone(t, "a.test. 5 IN A 203.0.113.1"))
	gate := make(chan struct{})
	r.set(func() { r.gate = gate })
	type result struct {
		m   *dns.Msg
		err error
	}
	done := make(chan result, 1)
	go func() {
		m, err := r.ask(t, "udp4", query("a.test.", dns.TypeA))
		done <- result{m, err}
	}()
	select {
	case <-done:
		t.Fatal("answered before the address was learned")
	case <-time.After(100 * time.Millisecond):
	}
	close(gate)
	if got := <-done; got.err != nil || len(got.m.Answer) != 1 {
		t.Fatalf("got %+v", got)
	}
}

func TestFailures(t *testing.T) {
	t.Run("learning fails", func(t *testing.T) {
		r := newRig(t, zone(t, "a.test. 5 IN A 203.0.113.1"))
		r.set(func() { r.fail = errors.New("no room") })
		got, err := r.ask(t, "udp4", query("a.test.", dns.TypeA))
		if err != nil || got.Rcode != dns.RcodeServerFailure || len(got.Answer) != 0 {
			t.Errorf("got %v, %v; want SERVFAIL", got, err)
		}
	})
	t.Run("server is silent", func(t *testing.T) {
		r := newRig(t, func(dns.ResponseWriter, *dns.Msg) {}, func(c *Config) { c.Timeout = 200 * time.Millisecond })
		r.patience = 400 * time.Millisecond
		if got, err := r.ask(t, "udp4", query("a.test.", dns.TypeA)); err == nil {
			t.Errorf("got %v, want silence", got)
		}
	})
	t.Run("no server", func(t *testing.T) {
		r := newRig(t, func(dns.ResponseWriter, *dns.Msg) {})
		c, err := r.client.Dial(net.Dialer{}, "udp4", nodeAddr.String()+":53")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		dc := &dns.Conn{Conn: c}
		_ = dc.SetDeadline(time.Now().Add(plenty))
		if err := dc.WriteMsg(query("a.test.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if got, err := dc.ReadMsg(); err != nil || got.Rcode != dns.RcodeServerFailure {
			t.Errorf("got %v, %v; want SERVFAIL", got, err)
		}
	})
}

func TestForgedAnswersArePassedOver(t *testing.T) {
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		forged := new(dns.Msg).SetReply(q)
		forged.Id++
		forged.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: 1, Ttl: 9}, A: net.IP{198, 51, 100, 66}}}
		_ = w.WriteMsg(forged)
		other := new(dns.Msg).SetReply(q)
		other.Question[0].Name = "other.test."
		_ = w.WriteMsg(other)
		_, _ = w.Write([]byte("junk"))
		real := new(dns.Msg).SetReply(query("a.test.", dns.TypeA))
		real.Id = q.Id
		real.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "a.test.", Rrtype: dns.TypeA, Class: 1, Ttl: 9}, A: net.IP{203, 0, 113, 1}},
			&dns.A{Hdr: dns.RR_Header{Name: "bank.test.", Rrtype: dns.TypeA, Class: 1, Ttl: 1}, A: net.IP{198, 51, 100, 67}}}
		_ = w.WriteMsg(real)
	})
	got, err := r.ask(t, "udp4", query("a.test.", dns.TypeA))
	if err != nil || len(got.Answer) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	learned := r.told().learned
	if len(learned) != 1 || len(learned[0].Addrs) != 1 || learned[0].Addrs[0].String() != "203.0.113.1" || learned[0].TTL != 9*time.Second {
		t.Errorf("learned %v", learned)
	}
}

// TestParallelQuestions asks A and AAAA from one socket at once, as musl does,
// with an answer to the first that comes after the second's.
func TestParallelQuestions(t *testing.T) {
	second := make(chan struct{})
	inner := zone(t, "a.test. 5 IN A 203.0.113.1", "a.test. 5 IN AAAA 2001:db8::1")
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Qtype == dns.TypeA {
			<-second
		} else {
			defer close(second)
		}
		inner(w, q)
	})
	c, err := r.client.Dial(net.Dialer{}, "udp4", serverAddr.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dc := &dns.Conn{Conn: c}
	_ = dc.SetDeadline(time.Now().Add(plenty))
	v4, v6 := query("a.test.", dns.TypeA), query("a.test.", dns.TypeAAAA)
	v4.Id, v6.Id = 7, 8
	if err := errors.Join(dc.WriteMsg(v4), dc.WriteMsg(v6)); err != nil {
		t.Fatal(err)
	}
	var ids []uint16
	for range 2 {
		m, err := dc.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Answer) != 1 || m.Answer[0].Header().Rrtype != m.Question[0].Qtype {
			t.Errorf("answer %v", m)
		}
		ids = append(ids, m.Id)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []uint16{7, 8}) {
		t.Errorf("IDs %v", ids)
	}
}

func TestTruncationAndManyQuestionsOverTCP(t *testing.T) {
	r := newRig(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			m.Truncated = true
		} else {
			for range 60 {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: 1}, Txt: []string{strings.Repeat("x", 200)}})
			}
		}
		_ = w.WriteMsg(m)
	})
	got, err := r.ask(t, "udp4", query("big.test.", dns.TypeTXT))
	if err != nil || !got.Truncated {
		t.Fatalf("got %v, %v; want TC", got, err)
	}
	c, err := r.client.Dial(net.Dialer{}, "tcp4", serverAddr.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dc := &dns.Conn{Conn: c}
	_ = dc.SetDeadline(time.Now().Add(plenty))
	for id := range uint16(5) {
		q := query("big.test.", dns.TypeTXT)
		q.Id = id
		if err := dc.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint16(5) {
		m, err := dc.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if m.Id != id || len(m.Answer) != 60 {
			t.Errorf("answer %d has %d records", m.Id, len(m.Answer))
		}
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	var began time.Time
	t.Cleanup(func() { // after the proxy's end
		if took := time.Since(began); took > plenty {
			t.Errorf("it ends after %v", took)
		}
	})
	asked := make(chan struct{}, 1)
	r := newRig(t, func(dns.ResponseWriter, *dns.Msg) { asked <- struct{}{} }, func(c *Config) { c.Timeout = 2 * plenty })
	c, err := r.client.Dial(net.Dialer{}, "tcp4", serverAddr.String()+":53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := (&dns.Conn{Conn: c}).WriteMsg(query("a.test.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(plenty):
		t.Fatal("the server is not asked")
	}
	began = time.Now()
}

// FuzzQuestion feeds messages of any kind to a proxy that denies all. What it
// answers must be a response to that message, and nothing may reach a server.
func FuzzQuestion(f *testing.F) {
	for _, m := range []*dns.Msg{
		query("a.test.", dns.TypeA), query("b.test.", dns.TypeANY).SetEdns0(512, true), new(dns.Msg).SetReply(query("c.test.", dns.TypeA)),
		{MsgHdr: dns.MsgHdr{Opcode: dns.OpcodeUpdate}}, {Question: make([]dns.Question, 2)},
	} {
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("short"))
	p := &Proxy{ctx: f.Context(), cfg: Config{Decider: denyAll{}, Sink: denyAll{}, Timeout: time.Second, DenyCode: dns.RcodeRefused, Logger: slog.New(slog.DiscardHandler)}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ask := func(context.Context, *question, uint16) ([]byte, *dns.Msg, error) {
			t.Error("a server was asked")
			return nil, nil, net.ErrClosed
		}
		answer := p.exchange(protoUDP, netip.AddrPort{}, netip.AddrPort{}, raw, ask)
		if answer == nil {
			if len(raw) >= headerSize && raw[2]&0x80 == 0 {
				t.Error("a question stayed without answer")
			}
			return
		}
		if len(answer) < headerSize || answer[2]&0x80 == 0 || answer[0] != raw[0] || answer[1] != raw[1] || answer[3]&0xf == 0 {
			t.Errorf("answer %x to %x", answer, raw)
		}
	})
}

type denyAll struct{}

func (denyAll) DecideDNS(verdict.Query, string) verdict.Verdict { return verdict.Verdict{} }
func (denyAll) LearnDNS(context.Context, netip.Addr, verdict.Answer) error {
	return errors.New("nothing to learn")
}
func (denyAll) Publish(verdict.Event) {}

// BenchmarkQuestion asks one name again and again, with the proxy and past it.
func BenchmarkQuestion(b *testing.B) {
	r := newRig(b, zone(b, "a.test. 5 IN A 203.0.113.1"), func(c *Config) { c.ClientSource = true })
	other := testnet.NewPod(b, "direct", netip.MustParseAddr("10.244.0.11"))
	for name, pod := range map[string]*testnet.Pod{"proxied": r.client, "direct": other} {
		b.Run(name, func(b *testing.B) {
			c, err := pod.Dial(net.Dialer{}, "udp4", serverAddr.String()+":53")
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			dc := &dns.Conn{Conn: c}
			for b.Loop() {
				_ = dc.SetDeadline(time.Now().Add(time.Second))
				if err := dc.WriteMsg(query("a.test.", dns.TypeA)); err != nil {
					b.Fatal(err)
				}
				if _, err := dc.ReadMsg(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
