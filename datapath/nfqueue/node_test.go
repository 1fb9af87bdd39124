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
)

func TestMain(m *testing.M) { testnet.Main(m) }

var (
	nodeAddr  = netip.MustParseAddr("192.168.77.2")
	worldAddr = netip.MustParseAddr("192.168.77.1")
	podCIDR   = netip.MustParsePrefix("10.244.0.0/24")
	svcCIDR   = netip.MustParsePrefix("10.96.0.0/16")
)

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

// node is the test process's namespace with the datapath loaded.
type node struct {
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
	addr    netip.Addr
	link    string // the node's end
	sandbox string
}

// newNode loads the datapath into the process's namespace, behind which there
// is a world at worldAddr that also has 203.0.113.5 and a route to pods.
func newNode(t testing.TB, dns netip.AddrPort) *node {
	t.Helper()
	testnet.NeedNamespaces(t)
	features, err := ruleset.Probe()
	must(t, err)
	if err := features.Missing(); err != nil {
		t.Skipf("needs %v", err)
	}
	must(t, ruleset.PrepareNode())
	world := testnet.World{
		Node: nodeAddr, Addr: worldAddr, Serves: []netip.Addr{netip.MustParseAddr("203.0.113.5")}, Behind: []netip.Prefix{podCIDR},
	}
	n := &node{t: t, fakeDecider: &fakeDecider{}, world: world.Connect(t)}
	n.epoch.Store(7)
	n.set(func(verdict.Query) verdict.Action { return verdict.Allow })

	network, err := cni.New(cni.Config{PodCIDR: podCIDR, NodeAddr: nodeAddr})
	must(t, err)
	n.net = network
	n.load(dns)
	t.Cleanup(func() { _ = n.table.Delete() })
	n.serve()
	t.Cleanup(func() { _ = n.queues.Close() })
	return n
}

// load loads the table.
func (n *node) load(dns netip.AddrPort) {
	n.t.Helper()
	var err error
	n.table, err = ruleset.Apply(ruleset.Config{
		PodIface: cni.IfacePrefix, PodCIDR: podCIDR, ServiceCIDR: svcCIDR, NodeAddr: nodeAddr,
		Queue: 1, Queues: 2, DNSProxy: dns, Epoch: n.epoch.Load(),
	})
	must(n.t, err)
}

func (n *node) serve() {
	n.t.Helper()
	var err error
	n.queues, err = Start(context.Background(), Config{
		Queue: 1, Queues: 2, Decider: n, Sink: n, Local: func(a netip.Addr) bool { return a == nodeAddr },
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
	p.addr, p.link = result.Addr, result.HostIface
	n.t.Cleanup(func() { must(n.t, n.net.Detach(context.Background(), p.sandbox)) })
	return p
}

// service translates addr:port to the backend, as the Service part does.
func (n *node) service(front, backend netip.AddrPort) {
	n.t.Helper()
	conn, err := nftables.New()
	must(n.t, err)
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "service-" + front.String()})
	chain := conn.AddChain(&nftables.Chain{
		Name: "dnat", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: front.Addr().AsSlice()},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, front.Port())},
		&expr.Immediate{Register: 1, Data: backend.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, backend.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
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
	must(t, p.Do(func() (err error) { l, err = net.Listen("tcp4", addr); return err }))
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
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			if _, err := c.Write([]byte(host + " " + c.LocalAddr().String() + "\n")); err != nil {
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

// patience is how long a refused connection is tried.
const patience = 400 * time.Millisecond

func dial(p *testnet.Pod, network, addr string) (net.Conn, error) {
	return p.Dial(net.Dialer{Timeout: patience}, network, addr)
}

// greeting connects and reads what echoTCP says first.
func greeting(p *testnet.Pod, addr string) (string, net.Conn, error) {
	c, err := dial(p, "tcp4", addr)
	if err != nil {
		return "", nil, err
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
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
