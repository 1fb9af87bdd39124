//go:build linux

package datapath

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/datapath/cni"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/ruleset"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

const (
	pods       = "/api/v1/pods"
	namespaces = "/api/v1/namespaces"
	services   = "/api/v1/services"
	endpoints  = "/apis/discovery.k8s.io/v1/endpointslices"
	cilium     = "/apis/cilium.io/v2/"
	cnps       = cilium + "ciliumnetworkpolicies"

	networkPolicies = "/apis/networking.k8s.io/v1/networkpolicies"

	// patience is how long a refused connection is tried.
	patience = 400 * time.Millisecond
	// plenty is how long is waited for what has to come.
	plenty = time.Minute
)

var (
	nodeAddr  = netip.MustParseAddr("192.168.77.2")
	worldAddr = netip.MustParseAddr("192.168.77.1")
	podCIDR   = netip.MustParsePrefix("10.244.0.0/24")
	goodAddr  = "203.0.113.5"
	badAddr   = "203.0.113.6"
	ownAddr   = nodeAddr // in the family that the tests speak

	six = Addresses{
		Node: netip.MustParseAddr("fd00:77::2"), Pods: netip.MustParsePrefix("fd00:10:244::/120"), Services: netip.MustParsePrefix("fd00:10:96::/112"),
	}
)

// envDual makes a process of tests run an agent of both families and speak IPv6:
// the policy engine's families are the whole process's.
const envDual = "NETDOJO_TEST_DUAL"

var dual = os.Getenv(envDual) != ""

func init() {
	if dual {
		goodAddr, badAddr, ownAddr = "2001:db8::5", "2001:db8::6", six.Node
	}
}

// TestDualStack runs other tests by IPv6, on a node of both families.
func TestDualStack(t *testing.T) {
	testnet.NeedNamespaces(t)
	if dual {
		t.Skip("it runs already")
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	for _, name := range []string{"TestAgent", "TestHTTPRules", "TestServerNames"} {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
		cmd.Env = append(os.Environ(), envDual+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+name)) {
			t.Errorf("%s by IPv6: %v\n%s", name, err, out)
		}
	}
}

// serviceAddr is the Service address of that number, in the family of the tests.
func serviceAddr(n byte) netip.Addr {
	if dual {
		a := six.Services.Addr().As16()
		a[15] = n
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{10, 96, 0, n})
}

func at(addr, port string) string { return net.JoinHostPort(addr, port) }

// testNode is an agent in the test process's namespace, with a world behind it.
type testNode struct {
	t     testing.TB
	api   *fakeAPI
	agent *Agent
	world *testnet.Pod
}

func newTestNode(t testing.TB) *testNode {
	t.Helper()
	testnet.NeedNamespaces(t)
	features, err := ruleset.Probe(dual)
	must(t, err)
	if err := features.Missing(); err != nil {
		t.Skipf("needs %v", err)
	}
	world := testnet.World{
		Node: ipfamily.Pair[netip.Addr]{V4: nodeAddr}, Addr: ipfamily.Pair[netip.Addr]{V4: worldAddr},
		Serves: []netip.Addr{netip.MustParseAddr(goodAddr), netip.MustParseAddr(badAddr)},
	}
	addrs := ipfamily.Pair[Addresses]{V4: Addresses{Node: nodeAddr, Pods: podCIDR, Services: netip.MustParsePrefix("10.96.0.0/16")}}
	if dual {
		addrs.V6, world.Node.V6, world.Addr.V6 = six, six.Node, netip.MustParseAddr("fd00:77::1")
	}
	n := &testNode{t: t, api: newFakeAPI(t), world: world.Connect(t)}
	for _, name := range []string{"default", "kube-system"} {
		n.api.put(t, namespaces, &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/metadata.name": name}},
		})
	}
	dir := t.TempDir()
	n.agent, err = Start(context.Background(), Config{
		NodeName: "node", WorldIface: "eth0", Addresses: addrs,
		ClusterDNS: netip.MustParseAddr("10.96.0.10"),
		APIServer:  netip.AddrPortFrom(nodeAddr, 6443), REST: n.api.config(),
		FlowSocket: filepath.Join(dir, "hubble.sock"), RunDir: dir,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	must(t, err)
	t.Cleanup(func() { must(t, n.agent.Close()) })
	return n
}

// pod makes a pod known to the API server and attaches it.
func (n *testNode) pod(namespace, name string, lbls map[string]string) (*testnet.Pod, netip.Addr) { // its address in the family of the tests
	n.t.Helper()
	n.putPod(namespace, name, lbls)
	p := testnet.Bare(n.t)
	ctx, cancel := context.WithTimeout(context.Background(), plenty)
	defer cancel()
	addrs, err := n.agent.Attach(ctx, cni.AttachRequest{
		SandboxID: "sandbox-" + name, NetNS: p.Path(), PodNamespace: namespace, PodName: name, PodUID: "uid-" + name,
	})
	must(n.t, err)
	n.t.Cleanup(func() { must(n.t, n.agent.Detach(context.Background(), "sandbox-"+name)) })
	return p, addrs[len(addrs)-1]
}

func (n *testNode) putPod(namespace, name string, lbls map[string]string) {
	n.t.Helper()
	n.api.put(n.t, pods, &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Labels: lbls},
		Spec:       corev1.PodSpec{NodeName: "node"},
	})
}

func (n *testNode) service(namespace, name string, number byte, port int32, backend netip.Addr) {
	n.t.Helper()
	addr, family, kind := serviceAddr(number).String(), corev1.IPv4Protocol, discoveryv1.AddressTypeIPv4
	if dual {
		family, kind = corev1.IPv6Protocol, discoveryv1.AddressTypeIPv6
	}
	udp, tcp, ready := corev1.ProtocolUDP, corev1.ProtocolTCP, true
	ports := []corev1.ServicePort{{Name: "u", Port: port, Protocol: udp}, {Name: "t", Port: port, Protocol: tcp}}
	n.api.put(n.t, services, &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: addr, ClusterIPs: []string{addr}, IPFamilies: []corev1.IPFamily{family}, Ports: ports},
	})
	u, t := "u", "t"
	n.api.put(n.t, endpoints, &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: kind,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{backend.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &u, Port: &port, Protocol: &udp}, {Name: &t, Port: &port, Protocol: &tcp}},
	})
}

func (n *testNode) policy(text string) policy.Ref {
	n.t.Helper()
	var cnp ciliumv2.CiliumNetworkPolicy
	must(n.t, yaml.Unmarshal([]byte(text), &cnp))
	cnp.APIVersion, cnp.Kind = "cilium.io/v2", "CiliumNetworkPolicy"
	cnp.Namespace, cnp.UID, cnp.Generation = "default", types.UID("uid-"+cnp.Name), 1
	n.api.put(n.t, cnps, &cnp)
	return policy.Ref{
		Key: policy.Key{Kind: policy.KindCiliumNetworkPolicy, Namespace: "default", Name: cnp.Name}, Generation: 1,
	}
}

func (n *testNode) enforced(ref policy.Ref) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), plenty)
	defer cancel()
	start := time.Now()
	must(n.t, n.agent.Enforced(ctx, ref))
	n.t.Logf("%s enforced after %s", ref.Name, time.Since(start))
}

// dnsServer answers for two names in the pod.
func dnsServer(t *testing.T, p *testnet.Pod) {
	t.Helper()
	server := &dns.Server{PacketConn: p.ListenPacket(t, ":53"), Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		addr := map[string]string{"good.example.": goodAddr, "bad.example.": badAddr}[q.Question[0].Name]
		if addr == "" {
			m.Rcode = dns.RcodeNameError
		} else if q.Question[0].Qtype == addressType() {
			rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN " + dns.TypeToString[addressType()] + " " + addr)
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { _ = server.Shutdown() })
}

// addressType is the type of records that hold addresses of the tests' family.
func addressType() uint16 {
	if dual {
		return dns.TypeAAAA
	}
	return dns.TypeA
}

// resolve asks the cluster's DNS Service from the pod.
func resolve(p *testnet.Pod, name string, patience time.Duration) (string, error) {
	c, err := p.Dial(net.Dialer{}, "udp", at(serviceAddr(10).String(), "53"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	conn := &dns.Conn{Conn: c}
	if err := conn.WriteMsg(new(dns.Msg).SetQuestion(name, addressType())); err != nil {
		return "", err
	}
	m, err := conn.ReadMsg()
	if err != nil {
		return "", err
	}
	if len(m.Answer) == 0 {
		return dns.RcodeToString[m.Rcode], nil
	}
	if a, ok := m.Answer[0].(*dns.AAAA); ok {
		return a.AAAA.String(), nil
	}
	return m.Answer[0].(*dns.A).A.String(), nil
}

func accept(t *testing.T, p *testnet.Pod, addr string) {
	t.Helper()
	l := p.Listen(t, addr)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64)
				for {
					k, err := c.Read(buf)
					if err != nil {
						return
					}
					_, _ = c.Write(buf[:k])
				}
			}()
		}
	}()
}

func connect(p *testnet.Pod, addr string) (net.Conn, error) {
	return p.Dial(net.Dialer{Timeout: plenty}, "tcp", addr)
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

func echo(c net.Conn, patience time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("word")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 16))
	return err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const fqdnPolicy = `
metadata: {name: egress-allow-fqdn}
spec:
  endpointSelector: {matchLabels: {app: backend}}
  egress:
  - toEndpoints:
    - matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}
    toPorts:
    - ports: [{port: "53", protocol: ANY}]
      rules: {dns: [{matchPattern: "*"}]}
  - toFQDNs: [{matchName: good.example}]
`

func TestAgent(t *testing.T) {
	n := newTestNode(t)

	// Before the API server answers, Attach waits.
	n.putPod("default", "early", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	_, err := n.agent.Attach(ctx, cni.AttachRequest{
		SandboxID: "early", NetNS: testnet.Bare(t).Path(), PodNamespace: "default", PodName: "early", PodUID: "uid-early",
	})
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("attach without an API server: %v", err)
	}
	if addr, err := n.agent.Attach(context.Background(), cni.AttachRequest{SandboxID: "host", HostNetwork: true}); err != nil || addr[0] != nodeAddr {
		t.Errorf("attach on the host network: %v, %v", addr, err)
	}
	n.api.serve()
	select {
	case <-n.agent.Ready():
	case <-time.After(plenty):
		t.Fatal("the agent does not get ready")
	}

	backend, backendAddr := n.pod("default", "backend", map[string]string{"app": "backend"})
	other, _ := n.pod("default", "other", map[string]string{"app": "other"})
	dnsPod, dnsAddr := n.pod("kube-system", "dns", map[string]string{"k8s-app": "kube-dns"})
	dnsServer(t, dnsPod)
	accept(t, n.world, ":443")
	accept(t, other, ":8080")
	n.service("kube-system", "kube-dns", 10, 53, dnsAddr)
	waitFor(t, "DNS by its Service", func() error {
		_, err := resolve(backend, "good.example.", 2*time.Second)
		return err
	})

	old := map[string]net.Conn{}
	for _, addr := range []string{goodAddr, badAddr} {
		c, err := connect(backend, at(addr, "443"))
		must(t, err)
		defer c.Close()
		must(t, echo(c, plenty))
		old[addr] = c
	}

	ref := n.policy(fqdnPolicy)
	n.enforced(ref)
	if err := echo(old[badAddr], patience); !isTimeout(err) {
		t.Errorf("established connection to what the policy does not allow: %v", err)
	}
	for name, want := range map[string]string{"good.example.": goodAddr, "bad.example.": badAddr} {
		if got, err := resolve(backend, name, plenty); err != nil || got != want {
			t.Errorf("resolve %s under the policy: %s, %v", name, got, err)
		}
	}
	if c, err := connect(backend, at(goodAddr, "443")); err != nil {
		t.Errorf("connect to an allowed name: %v", err)
	} else {
		must(t, echo(c, plenty))
		c.Close()
	}
	if err := echo(old[goodAddr], plenty); err != nil {
		t.Errorf("established connection to an allowed name: %v", err)
	}
	for what, addr := range map[string]string{"a name that is not allowed": at(badAddr, "443"), "another pod": at(n.addr("other"), "8080")} {
		if err := knock(backend, addr); !isTimeout(err) {
			t.Errorf("connect to %s: %v", what, err)
		}
	}
	if c, err := connect(other, at(badAddr, "443")); err != nil {
		t.Errorf("a pod that no policy selects: %v", err)
	} else {
		c.Close()
	}
	n.checkFlows(backendAddr.String())

	ref.Deleted = true
	n.api.remove(cnps, "default/egress-allow-fqdn")
	n.enforced(ref)
	c, err := connect(backend, at(badAddr, "443"))
	if err != nil {
		t.Fatalf("after the policy is deleted: %v", err)
	}
	c.Close()

	// A pod whose sandbox is replaced lives on in the new one.
	again := testnet.Bare(t)
	addrs, err := n.agent.Attach(context.Background(), cni.AttachRequest{
		SandboxID: "sandbox-2", NetNS: again.Path(), PodNamespace: "default", PodName: "backend", PodUID: "uid-backend",
	})
	must(t, err)
	must(t, n.agent.Detach(context.Background(), "sandbox-backend"))
	if p := n.agent.Peer(addrs[len(addrs)-1]); p.Pod != "backend" {
		t.Errorf("peer of the new sandbox: %+v", p)
	}
	c, err = connect(again, at(goodAddr, "443"))
	if err != nil {
		t.Errorf("from the new sandbox: %v", err)
	} else {
		c.Close()
	}
	must(t, n.agent.Detach(context.Background(), "sandbox-2"))
}

func (n *testNode) addr(pod string) string {
	addrs := n.agent.net.Addrs("sandbox-" + pod)
	return addrs[len(addrs)-1].String()
}

// checkFlows reads the observer: the drop of bad names the policy.
func (n *testNode) checkFlows(src string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), plenty)
	defer cancel()
	stream, err := flowclient.Flows(ctx, n.agent.cfg.FlowSocket, 500)
	must(n.t, err)
	defer stream.Close()
	for {
		f, err := stream.Recv()
		if err != nil {
			n.t.Fatalf("no drop of %s in the flow log: %v", badAddr, err)
		}
		if f.GetIP().GetSource() != src || f.GetIP().GetDestination() != badAddr || f.GetVerdict() != flowpb.Verdict_DROPPED {
			continue
		}
		if !f.GetL4().GetTCP().GetFlags().GetSYN() { // of the older connection, before the name was asked for
			continue
		}
		if f.GetDropReasonDesc() != flowpb.DropReason_POLICY_DENIED || !slices.Contains(f.GetDestinationNames(), "bad.example") {
			n.t.Errorf("drop: %v", f)
		}
		by := f.GetEgressDeniedBy()
		if len(by) != 1 || by[0].GetName() != "egress-allow-fqdn" || !strings.HasPrefix(f.GetSource().GetPodName(), "backend") {
			n.t.Errorf("drop names %v, source %v", by, f.GetSource())
		}
		return
	}
}

func waitFor(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(plenty)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
