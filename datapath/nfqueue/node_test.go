package nfqueue

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/cni"
	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

func TestMain(m *testing.M) { testnet.Main(m) }

// stack is the addresses of one family.
type stack struct {
	node, world, far netip.Addr // far is the world's too, on another network
	pods, services   netip.Prefix
	icmp             uint8
}

var (
	four = stack{
		node: netip.MustParseAddr("192.168.77.2"), world: netip.MustParseAddr("192.168.77.1"), far: netip.MustParseAddr("203.0.113.5"),
		pods: netip.MustParsePrefix("10.244.0.0/24"), services: netip.MustParsePrefix("10.96.0.0/16"), icmp: protoICMP,
	}
	six = stack{
		node: netip.MustParseAddr("fd00:77::2"), world: netip.MustParseAddr("fd00:77::1"), far: netip.MustParseAddr("2001:db8::5"),
		pods: netip.MustParsePrefix("fd00:10:244::/120"), services: netip.MustParsePrefix("fd00:10:96::/112"), icmp: protoICMPv6,
	}
)

// eachFamily runs a test on a node of IPv4, and by IPv6 on one of both.
func eachFamily(t *testing.T, test func(*testing.T, stack)) {
	t.Run("IPv4", func(t *testing.T) { test(t, four) })
	t.Run("IPv6", func(t *testing.T) { test(t, six) })
}

// service is the Service address of that number.
func (f stack) service(n byte) netip.Addr {
	b := f.services.Addr().AsSlice()
	b[len(b)-1] = n
	a, _ := netip.AddrFromSlice(b)
	return a
}

// proxy is where a proxy of the node listens.
func (f stack) proxy() netip.AddrPort {
	if f.node.Is6() {
		return netip.AddrPortFrom(netip.IPv6Loopback(), 10053)
	}
	return netip.MustParseAddrPort("127.0.0.1:10053")
}

func (f stack) header() (destination, size uint32) {
	if f.node.Is6() {
		return 24, 16
	}
	return 16, 4
}

func at(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }

// fakeDecider judges by a function that tests replace.
type fakeDecider struct {
	judge atomic.Pointer[func(verdict.Query) verdict.Action]
	epoch atomic.Uint32
}

func (d *fakeDecider) Decide(q verdict.Query) verdict.Verdict {
	epoch := d.epoch.Load()
	v := verdict.Verdict{Action: (*d.judge.Load())(q), Direction: verdict.Egress, Epoch: epoch}
	if v.Action == verdict.Drop {
		v.Reason = verdict.ReasonPolicy
	}
	return v
}

func (d *fakeDecider) Epoch() uint32 { return d.epoch.Load() }

// recorder keeps the events.
type recorder struct {
	mu     sync.Mutex
	events []verdict.Event
}

func (r *recorder) Publish(e verdict.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// find returns the first event that matches.
func (r *recorder) find(match func(verdict.Event) bool) (verdict.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if match(e) {
			return e, true
		}
	}
	return verdict.Event{}, false
}

// tellGroup is the netlink group of later packets.
const tellGroup = 3

// node is the test process's namespace with the datapath loaded.
type node struct {
	stack
	*fakeDecider
	recorder
	t      testing.TB
	table  *ruleset.Table
	queues *Queues
	net    *cni.Network
	world  *testnet.Pod
}

// pod is a namespace that cni connected.
type pod struct {
	*testnet.Pod
	addr    netip.Addr // of the stack's family
	link    string     // the node's end
	sandbox string
}

// newNode loads the datapath into the process's namespace, with IPv6 where that is
// the stack's. Behind it there is a world that has a route to pods.
func newNode(t testing.TB, f stack, dns netip.AddrPort) *node {
	t.Helper()
	testnet.NeedNamespaces(t)
	dual := f.node.Is6()
	features, err := ruleset.Probe(dual)
	must(t, err)
	if err := features.Missing(); err != nil {
		t.Skipf("needs %v", err)
	}
	must(t, ruleset.PrepareNode(dual))
	world := testnet.World{
		Node: ipfamily.Pair[netip.Addr]{V4: four.node}, Addr: ipfamily.Pair[netip.Addr]{V4: four.world}, Serves: []netip.Addr{four.far}, Behind: []netip.Prefix{four.pods},
	}
	cfg := cni.Config{}
	cfg.PodCIDR.V4, cfg.NodeAddr.V4 = four.pods, four.node
	if dual {
		world.Node.V6, world.Addr.V6 = six.node, six.world
		world.Serves, world.Behind = append(world.Serves, six.far), append(world.Behind, six.pods)
		cfg.PodCIDR.V6, cfg.NodeAddr.V6 = six.pods, six.node
	}
	n := &node{stack: f, t: t, fakeDecider: &fakeDecider{}, world: world.Connect(t)}
	n.epoch.Store(7)
	n.set(func(verdict.Query) verdict.Action { return verdict.Allow })

	n.net, err = cni.New(cfg)
	must(t, err)
	n.load(dns)
	t.Cleanup(func() { _ = n.table.Delete() })
	n.serve()
	t.Cleanup(func() { _ = n.queues.Close() })
	told, err := StartTold(ToldConfig{Group: tellGroup, Sink: n, Peer: func(a netip.Addr) verdict.Peer { return verdict.Peer{Pod: a.String()} }})
	must(t, err)
	t.Cleanup(func() { must(t, told.Close()) })
	return n
}

// tableConfig has a DNS proxy for the stack's family.
func (n *node) tableConfig(dns netip.AddrPort) ruleset.Config {
	addresses := func(f stack) ruleset.Addresses {
		return ruleset.Addresses{PodCIDR: f.pods, ServiceCIDR: f.services, NodeAddr: f.node}
	}
	cfg := ruleset.Config{PodIface: cni.IfacePrefix, Queue: 1, Queues: 2, Epoch: n.epoch.Load(), TellGroup: tellGroup}
	cfg.Addresses.V4 = addresses(four)
	if n.node.Is6() {
		cfg.Addresses.V6 = addresses(six)
		cfg.Addresses.V6.DNSProxy = dns
	} else {
		cfg.Addresses.V4.DNSProxy = dns
	}
	return cfg
}

// load loads the table.
func (n *node) load(dns netip.AddrPort) {
	n.t.Helper()
	var err error
	n.table, err = ruleset.Apply(n.tableConfig(dns))
	must(n.t, err)
}

func (n *node) serve() {
	n.t.Helper()
	var err error
	n.queues, err = Start(context.Background(), Config{
		Queue: 1, Queues: 2, Decider: n, Sink: n, Local: func(a netip.Addr) bool { return a == n.node },
		Table: n.tableConfig(netip.AddrPort{}),
	})
	must(n.t, err)
}

// set replaces the policy without a new epoch.
func (n *node) set(judge func(verdict.Query) verdict.Action) { n.judge.Store(&judge) }

// change replaces the policy and bumps the epoch.
func (n *node) change(judge func(verdict.Query) verdict.Action) {
	n.t.Helper()
	n.set(judge)
	must(n.t, n.table.SetEpoch(n.epoch.Add(1)))
}

func (n *node) pod(name string) *pod {
	n.t.Helper()
	p := &pod{Pod: testnet.Bare(n.t), sandbox: n.t.Name() + name}
	result, err := n.net.Attach(context.Background(), cni.AttachRequest{
		SandboxID: p.sandbox, NetNS: p.Path(), PodNamespace: "default", PodName: name,
	})
	must(n.t, err)
	p.addr, p.link = result.Addrs[len(result.Addrs)-1], result.HostIface
	n.t.Cleanup(func() { must(n.t, n.net.Detach(context.Background(), p.sandbox)) })
	return p
}

// service translates addr:port to the backend, as the Service part does.
func (n *node) service(front, backend netip.AddrPort) {
	n.t.Helper()
	conn, err := nftables.New()
	must(n.t, err)
	family, proto := nftables.TableFamilyIPv4, uint32(unix.NFPROTO_IPV4)
	if front.Addr().Is6() {
		family, proto = nftables.TableFamilyIPv6, unix.NFPROTO_IPV6
	}
	destination, size := n.header()
	table := conn.AddTable(&nftables.Table{Family: family, Name: "service-" + front.String()})
	chain := conn.AddChain(&nftables.Chain{
		Name: "dnat", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: destination, Len: size},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: front.Addr().AsSlice()},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, front.Port())},
		&expr.Immediate{Register: 1, Data: backend.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, backend.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: proto, RegAddrMin: 1, RegProtoMin: 2},
	}})
	must(n.t, conn.Flush())
	n.t.Cleanup(func() {
		conn.DelTable(table)
		must(n.t, conn.Flush())
	})
}

// echoTCP serves connections in the pod: it tells the peer's address in one
// line, then echoes.
func echoTCP(t testing.TB, p *testnet.Pod, addr string) {
	t.Helper()
	var l net.Listener
	must(t, p.Do(func() (err error) { l, err = net.Listen("tcp", addr); return err }))
	t.Cleanup(func() { _ = l.Close() })
	go serveEcho(l)
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			peer, own := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
			own = netip.AddrPortFrom(own.Addr().Unmap(), own.Port())
			if _, err := c.Write([]byte(peer.Addr().Unmap().String() + " " + own.String() + "\n")); err != nil {
				return
			}
			buf := make([]byte, 64<<10)
			for {
				k, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:k]); err != nil {
					return
				}
			}
		}()
	}
}

const (
	// patience is how long a refused connection is tried.
	patience = 400 * time.Millisecond
	// plenty is how long is waited for what has to come.
	plenty = time.Minute
)

func dial(p *testnet.Pod, network, addr string) (net.Conn, error) {
	return p.Dial(net.Dialer{Timeout: plenty}, network, addr)
}

// knock connects for as long as one tries where one should not get, and says how that
// ended.
func knock(p *testnet.Pod, addr string) error {
	c, err := p.Dial(net.Dialer{Timeout: patience}, "tcp", addr)
	if err == nil {
		c.Close()
	}
	return err
}

// greeting connects and reads what echoTCP says first.
func greeting(p *testnet.Pod, addr string) (string, net.Conn, error) {
	c, err := dial(p, "tcp", addr)
	if err != nil {
		return "", nil, err
	}
	_ = c.SetDeadline(time.Now().Add(plenty))
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			c.Close()
			return "", nil, err
		}
		if b[0] == '\n' {
			return string(line), c, nil
		}
		line = append(line, b[0])
	}
}

// echo sends a word on the connection and says whether it comes back in time.
func echo(c net.Conn, patience time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("word")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 16))
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
