package service

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/google/nftables"

	"github.com/netdojo/netdojo/datapath/internal/family"
	"github.com/netdojo/netdojo/datapath/internal/testnet"
)

func TestMain(m *testing.M) { testnet.Main(m) }

// envFamily has a process of tests speak IPv6.
const envFamily = "NETDOJO_TEST_IPV6"

var ipv6 = os.Getenv(envFamily) != ""

// of is the text of the family that the tests speak.
func of(four, six string) string {
	if ipv6 {
		return six
	}
	return four
}

var (
	nodeAddr  = netip.MustParseAddr(of("192.168.77.2", "fd00:77::2"))
	otherAddr = netip.MustParseAddr(of("192.168.77.3", "fd00:77::3"))
	clientIP  = netip.MustParseAddr(of("10.244.0.10", "fd00:10:244::a"))
	webA      = netip.MustParseAddr(of("10.244.0.21", "fd00:10:244::15"))
	webB      = netip.MustParseAddr(of("10.244.0.22", "fd00:10:244::16"))
	podCIDR   = netip.MustParsePrefix(of("10.244.0.0/16", "fd00:10:244::/112"))
	clusterIP = of("10.96.0.80", "fd00:10:96::50")

	protocol = v1.IPFamily(of(string(v1.IPv4Protocol), string(v1.IPv6Protocol)))
)

// at is an address with a port, as dialers take it.
func at(addr, port string) string { return net.JoinHostPort(addr, port) }

// TestIPv6 runs all other tests by IPv6.
func TestIPv6(t *testing.T) {
	testnet.NeedNamespaces(t)
	if ipv6 {
		t.Skip("it runs already")
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		t.Skip("needs IPv6 in the kernel")
	}
	// In namespaces of its own: links have names of these tests.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v")
	cmd.Env = append(os.Environ(), envFamily+"=1", "NETDOJO_TESTNET=")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestClusterIP")) {
		t.Errorf("by IPv6: %v\n%s", err, out)
	}
}

// rig is a node with a client and two servers, and the proxy of its Services.
type rig struct {
	t      *testing.T
	api    *fake.Clientset
	proxy  *Proxy
	client *testnet.Pod
	a, b   *testnet.Pod
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	testnet.Node(t, nodeAddr)
	r := &rig{t: t, api: fake.NewClientset()}
	r.client = testnet.NewPod(t, "client", clientIP)
	r.a, r.b = testnet.NewPod(t, "a", webA), testnet.NewPod(t, "b", webB)
	for name, pod := range map[string]*testnet.Pod{"a": r.a, "b": r.b} {
		greet(pod.Listen(t, ":8080"), name)
		echo(pod.ListenPacket(t, ":8053"), name)
	}
	cfg := Config{Client: r.api, NodeName: "node", NodeAddr: nodeAddr, ClusterCIDR: podCIDR}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.proxy, err = Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.proxy.Close(); err != nil {
			t.Error(err)
		}
		tables, err := (&nftables.Conn{}).ListTables()
		if err != nil || len(tables) != 0 {
			t.Errorf("tables left: %v, %v", tables, err)
		}
	})
	select {
	case <-r.proxy.Synced():
	case <-time.After(plenty):
		t.Fatal("not synced")
	}
	return r
}

// greet answers each connection with the server's name and the address it sees.
func greet(l net.Listener, name string) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s %s\n", name, c.RemoteAddr().(*net.TCPAddr).IP)
			_ = c.Close()
		}
	}()
}

func echo(c *net.UDPConn, name string) {
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort([]byte(name), from)
		}
	}()
}

func webService(change func(*v1.Service)) *v1.Service {
	s := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, ClusterIP: clusterIP, ClusterIPs: []string{clusterIP},
			IPFamilies: []v1.IPFamily{protocol},
			Ports: []v1.ServicePort{
				{Name: "http", Protocol: v1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080)},
				{Name: "dns", Protocol: v1.ProtocolUDP, Port: 53, TargetPort: intstr.FromInt32(8053)},
			}},
	}
	if change != nil {
		change(s)
	}
	return s
}

func nodePort(s *v1.Service) {
	s.Spec.Type, s.Spec.Ports[0].NodePort = v1.ServiceTypeNodePort, 30080
}

// ep is an endpoint in a slice.
type ep struct {
	addr                        netip.Addr
	node                        string
	notReady, serving, stopping bool
}

func webSlice(eps ...ep) *discovery.EndpointSlice {
	s := &discovery.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-x",
			Labels: map[string]string{discovery.LabelServiceName: "web"}},
		AddressType: discovery.AddressType(protocol),
	}
	for _, p := range []struct {
		name  string
		proto v1.Protocol
		port  int32
	}{{"http", v1.ProtocolTCP, 8080}, {"dns", v1.ProtocolUDP, 8053}} {
		s.Ports = append(s.Ports, discovery.EndpointPort{Name: &p.name, Protocol: &p.proto, Port: &p.port})
	}
	for _, e := range eps {
		node := e.node
		if node == "" {
			node = "node"
		}
		ready := !e.notReady && !e.stopping
		serving := ready || e.serving
		s.Endpoints = append(s.Endpoints, discovery.Endpoint{Addresses: []string{e.addr.String()}, NodeName: &node,
			Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &e.stopping}})
	}
	return s
}

func (r *rig) service(s *v1.Service) {
	r.t.Helper()
	c := r.api.CoreV1().Services(s.Namespace)
	if _, err := c.Update(r.t.Context(), s, metav1.UpdateOptions{}); err != nil {
		if _, err := c.Create(r.t.Context(), s, metav1.CreateOptions{}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) slice(eps ...ep) {
	r.t.Helper()
	r.put(webSlice(eps...))
}

func (r *rig) put(s *discovery.EndpointSlice) {
	r.t.Helper()
	c := r.api.DiscoveryV1().EndpointSlices("default")
	if _, err := c.Update(r.t.Context(), s, metav1.UpdateOptions{}); err != nil {
		if _, err := c.Create(r.t.Context(), s, metav1.CreateOptions{}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// plenty is how long is waited for what has to come.
const plenty = time.Minute

// get connects from a pod, or from the node when it is nil, and returns the
// server's line or how it failed: refused or, soon, timeout.
func get(p *testnet.Pod, addr string) string { return getWithin(300*time.Millisecond, p, addr) }

func getWithin(patience time.Duration, p *testnet.Pod, addr string) string {
	d := net.Dialer{Timeout: patience}
	dial := d.Dial
	if p != nil {
		dial = func(network, addr string) (net.Conn, error) { return p.Dial(d, network, addr) }
	}
	return getBy(dial, addr, patience)
}

func getBy(dial func(network, addr string) (net.Conn, error), addr string, patience time.Duration) string {
	c, err := dial("tcp", addr)
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.As(err, &ne) && ne.Timeout():
		return "timeout"
	case err != nil:
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(max(patience, time.Second)))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// sure gets the Service's answer from a pod where one has to come.
func sure(p *testnet.Pod) func() string {
	return func() string { return getWithin(plenty, p, at(clusterIP, "80")) }
}

// getFrom is get by a process of the node that connects from that address.
func getFrom(from netip.Addr, addr string) string {
	return getBy(func(network, to string) (net.Conn, error) {
		d := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		return d.Dial(network, to)
	}, addr, time.Second)
}

// until polls until get's answer is as wanted.
func until(t *testing.T, want string, f func() string) {
	t.Helper()
	var got string
	for end := time.Now().Add(plenty); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = f(); got == want {
			return
		}
	}
	t.Fatalf("got %q, want %q", got, want)
}

// tally counts who answers.
func tally(n int, f func() string) map[string]int {
	out := map[string]int{}
	for range n {
		name, _, _ := strings.Cut(f(), " ")
		out[name]++
	}
	return out
}

func TestClusterIP(t *testing.T) {
	r := newRig(t, nil)
	web := func() string { return get(r.client, at(clusterIP, "80")) }
	r.service(webService(nil))
	until(t, "refused", web)
	until(t, "refused", func() string { return get(nil, at(clusterIP, "80")) })

	r.slice(ep{addr: webA})
	until(t, "a "+clientIP.String(), web)
	until(t, "a "+nodeAddr.String(), func() string { return get(nil, at(clusterIP, "80")) })
	if ns, name, ok := r.proxy.Service(netip.MustParseAddr(clusterIP), 80, 6); !ok || ns != "default" || name != "web" {
		t.Errorf("the address belongs to %s/%s, %v", ns, name, ok)
	}

	r.slice(ep{addr: webA}, ep{addr: webB})
	until(t, "b "+clientIP.String(), web)
	if got := tally(60, sure(r.client)); got["a"] < 10 || got["b"] < 10 || got["a"]+got["b"] != 60 {
		t.Errorf("shares %v", got)
	}

	// Not ready, and serving while it stops.
	r.slice(ep{addr: webA, notReady: true}, ep{addr: webB, stopping: true, serving: true})
	until(t, "b:20", func() string { return strings.Trim(fmt.Sprint(tally(20, web)), "map[]") })
	r.slice(ep{addr: webA, notReady: true}, ep{addr: webB, stopping: true})
	until(t, "refused", web)
	r.slice(ep{addr: webA})
	until(t, "a "+clientIP.String(), web)

	if err := r.api.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "timeout", web) // nobody has the address: the test's node has a dead end
}

func TestHairpin(t *testing.T) {
	r := newRig(t, nil)
	r.service(webService(nil))
	r.slice(ep{addr: webA})
	until(t, "a "+nodeAddr.String(), func() string { return get(r.a, at(clusterIP, "80")) })
}

func TestNodePort(t *testing.T) {
	other := otherAddr
	tests := map[string]struct {
		service           func(*v1.Service)
		eps               []ep
		outsider, insider string
	}{
		"local endpoint":  {nodePort, []ep{{addr: webA}}, "a " + other.String(), "a " + clientIP.String()},
		"remote endpoint": {nodePort, []ep{{addr: webA, node: "far"}}, "a " + nodeAddr.String(), "a " + nodeAddr.String()},
		"none":            {nodePort, nil, "refused", "refused"},
		"external policy local, endpoint elsewhere": {func(s *v1.Service) {
			nodePort(s)
			s.Spec.ExternalTrafficPolicy = v1.ServiceExternalTrafficPolicyLocal
		}, []ep{{addr: webA, node: "far"}}, "timeout", "a " + clientIP.String()},
		"external policy local, endpoint here": {func(s *v1.Service) {
			nodePort(s)
			s.Spec.ExternalTrafficPolicy = v1.ServiceExternalTrafficPolicyLocal
		}, []ep{{addr: webA, node: "far"}, {addr: webB}}, "b " + other.String(), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			outsider := testnet.NewPod(t, "other", other)
			r.service(webService(tc.service))
			r.slice(tc.eps...)
			until(t, tc.outsider, func() string { return get(outsider, at(nodeAddr.String(), "30080")) })
			if tc.insider != "" {
				until(t, tc.insider, func() string { return get(r.client, at(nodeAddr.String(), "30080")) })
			}
		})
	}
}

// TestHostPort: the node answers on a container's hostPort for the pod, who sees the
// client's address, until the pod is gone.
func TestHostPort(t *testing.T) {
	loopback := of("127.0.0.1", "::1")
	r := newRig(t, nil)
	outsider := testnet.NewPod(t, "other", otherAddr)
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: v1.PodSpec{NodeName: "node", Containers: []v1.Container{{Ports: []v1.ContainerPort{
			{HostPort: 8888, ContainerPort: 8080, Protocol: v1.ProtocolTCP},
			{HostPort: 8889, HostIP: loopback, ContainerPort: 8080, Protocol: v1.ProtocolTCP},
		}}}},
		Status: v1.PodStatus{Phase: v1.PodPending},
	}
	pods := r.api.CoreV1().Pods("default")
	update := func(change func(*v1.Pod)) {
		t.Helper()
		change(pod)
		pod = pod.DeepCopy()
		if _, err := pods.Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	node := at(nodeAddr.String(), "8888")
	until(t, "refused", func() string { return get(outsider, node) })
	update(func(p *v1.Pod) { p.Status.Phase, p.Status.PodIPs = v1.PodRunning, []v1.PodIP{{IP: webA.String()}} })
	until(t, "a "+otherAddr.String(), func() string { return get(outsider, node) })
	until(t, "a "+clientIP.String(), func() string { return get(r.client, node) })
	if got := getWithin(plenty, outsider, at(nodeAddr.String(), "8889")); got != "refused" {
		t.Errorf("another hostIP: %s", got)
	}
	// The loopback's is for the node's own processes, and for its address.
	from := func(addr netip.Addr) func() string {
		return func() string { return getFrom(addr, at(loopback, "8889")) }
	}
	until(t, "a "+nodeAddr.String(), from(nodeAddr))
	if got := from(netip.MustParseAddr(loopback))(); got != "refused" {
		t.Errorf("from the loopback: %s", got)
	}
	list := r.proxy.Frontends()
	if len(list) != 2 || slices.ContainsFunc(list, func(f Frontend) bool { return f.Type != "HostPort" || f.Name != "web" }) {
		t.Errorf("frontends: %+v", list)
	}
	update(func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded })
	until(t, "refused", func() string { return get(outsider, node) })
	until(t, "refused", from(nodeAddr))
}

// TestEndpointOnTheNode is the kubernetes Service: its endpoint is a socket of
// the node, which the node itself reaches through the Service as well.
func TestEndpointOnTheNode(t *testing.T) {
	r := newRig(t, nil)
	l, err := net.Listen("tcp", at(nodeAddr.String(), "8080"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	greet(l, "node")
	r.service(webService(nil))
	r.slice(ep{addr: nodeAddr})
	until(t, "node "+clientIP.String(), func() string { return get(r.client, at(clusterIP, "80")) })
	until(t, "node "+nodeAddr.String(), func() string { return get(nil, at(clusterIP, "80")) })
}

// TestHeadless has no address to translate; an ExternalName has none either.
func TestHeadless(t *testing.T) {
	r := newRig(t, nil)
	r.service(webService(func(s *v1.Service) {
		s.Name, s.Spec.ClusterIP, s.Spec.ClusterIPs = "headless", v1.ClusterIPNone, []string{v1.ClusterIPNone}
	}))
	r.service(webService(func(s *v1.Service) {
		s.Name, s.Spec = "elsewhere", v1.ServiceSpec{Type: v1.ServiceTypeExternalName, ExternalName: "example.org"}
	}))
	r.service(webService(nil))
	r.slice(ep{addr: webA})
	until(t, "a "+clientIP.String(), func() string { return get(r.client, at(clusterIP, "80")) })
	// They are named a moment after the table is in the kernel.
	until(t, "the two frontends of web", func() string {
		r.proxy.mu.Lock()
		defer r.proxy.mu.Unlock()
		if n := len(r.proxy.names); n != 2 {
			return fmt.Sprintf("%d frontends", n)
		}
		return "the two frontends of web"
	})
}

// TestOpenConnectionsOutlive a change of endpoints.
func TestOpenConnectionsOutlive(t *testing.T) {
	r := newRig(t, nil)
	l := r.a.Listen(t, ":8081")
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	r.service(webService(nil))
	slice := webSlice(ep{addr: webA})
	port := int32(8081)
	slice.Ports[0].Port = &port
	r.put(slice)
	var c net.Conn
	until(t, "connected", func() string {
		var err error
		if c, err = r.client.Dial(net.Dialer{Timeout: time.Second}, "tcp", at(clusterIP, "80")); err != nil {
			return err.Error()
		}
		return "connected"
	})
	defer c.Close()
	server := <-accepted
	defer server.Close()
	r.slice(ep{addr: webB})
	until(t, "b "+clientIP.String(), func() string { return get(r.client, at(clusterIP, "80")) })
	if _, err := c.Write([]byte("still here\n")); err != nil {
		t.Fatal(err)
	}
	_ = server.SetDeadline(time.Now().Add(plenty))
	if line, err := bufio.NewReader(server).ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestInternalPolicyLocal(t *testing.T) {
	r := newRig(t, nil)
	local := v1.ServiceInternalTrafficPolicyLocal
	r.service(webService(func(s *v1.Service) { s.Spec.InternalTrafficPolicy = &local }))
	web := func() string { return get(r.client, at(clusterIP, "80")) }
	r.slice(ep{addr: webA, node: "far"})
	until(t, "timeout", web)
	r.slice(ep{addr: webA, node: "far"}, ep{addr: webB})
	until(t, "b:20", func() string { return strings.Trim(fmt.Sprint(tally(20, web)), "map[]") })
}

func TestExternalAddresses(t *testing.T) {
	r := newRig(t, nil)
	outsider := testnet.NewPod(t, "other", otherAddr)
	r.service(webService(func(s *v1.Service) { s.Spec.ExternalIPs = []string{of("198.51.100.7", "2001:db8:7::7")} }))
	r.slice(ep{addr: webA})
	until(t, "a "+otherAddr.String(), func() string { return get(outsider, at(of("198.51.100.7", "2001:db8:7::7"), "80")) })
}

func TestSessionAffinity(t *testing.T) {
	r := newRig(t, nil)
	r.service(webService(func(s *v1.Service) {
		seconds := int32(60)
		s.Spec.SessionAffinity = v1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &v1.SessionAffinityConfig{ClientIP: &v1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}))
	web := func() string { return get(r.client, at(clusterIP, "80")) }
	r.slice(ep{addr: webA})
	until(t, "a "+clientIP.String(), web)
	r.slice(ep{addr: webA}, ep{addr: webB})
	until(t, "a "+clientIP.String(), web)
	if got := tally(30, sure(r.client)); got["a"] != 30 {
		t.Errorf("shares %v, want all at the first", got)
	}
	r.slice(ep{addr: webB})
	until(t, "b "+clientIP.String(), web)
	r.slice(ep{addr: webA}, ep{addr: webB})
	if got := tally(30, sure(r.client)); got["b"] != 30 {
		t.Errorf("shares %v, want all at the second", got)
	}
	// Without affinity the memory goes too.
	r.service(webService(nil))
	until(t, "a "+clientIP.String(), web)
}

// TestStaleUDP keeps one client socket while its endpoint is replaced.
func TestStaleUDP(t *testing.T) {
	r := newRig(t, nil)
	r.service(webService(nil))
	c, err := r.client.Dial(net.Dialer{}, "udp", at(clusterIP, "53"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() string {
		_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Write([]byte("?")); err != nil {
			return err.Error()
		}
		buf := make([]byte, 16)
		n, err := c.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return "refused"
		}
		return string(buf[:n])
	}
	until(t, "refused", ask)
	r.slice(ep{addr: webA})
	until(t, "a", ask)
	r.slice(ep{addr: webB})
	until(t, "b", ask)
	r.slice()
	until(t, "refused", ask)
	r.slice(ep{addr: webA})
	until(t, "a", ask)
}

func TestStartAfterAKill(t *testing.T) {
	testnet.Node(t, nodeAddr)
	c := &nftables.Conn{}
	old := c.AddTable(&nftables.Table{Family: family.Of(nodeAddr).Table, Name: "netdojo-service"})
	c.AddChain(&nftables.Chain{Name: "service-left", Table: old})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	r.service(webService(nil))
	r.slice(ep{addr: webA})
	until(t, "a "+clientIP.String(), func() string { return get(r.client, at(clusterIP, "80")) })
}

// TestManyServices brings up and changes hundreds of Services at once.
func TestManyServices(t *testing.T) {
	r := newRig(t, nil)
	const n = 300
	want := manyServices(n)
	start := time.Now()
	if err := r.proxy.table.apply(want); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d Services from nothing: %v", n, time.Since(start))
	until(t, "a "+clientIP.String(), func() string { return get(r.client, at(of("10.97.1.7", "fd00:10:97::107"), "80")) })
	start = time.Now()
	if err := r.proxy.table.apply(newState()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d Services removed: %v", n, time.Since(start))
	chains, err := (&nftables.Conn{}).ListChainsOfTableFamily(family.Of(nodeAddr).Table)
	if err != nil || len(chains) != 6 {
		t.Errorf("%d chains are left, %v", len(chains), err)
	}
}

func manyServices(n int) *state {
	s := newState()
	for i := range n {
		name := fmt.Sprintf("service-default/s%d/tcp/http", i)
		addr := netip.AddrFrom4([4]byte{10, 97, byte(i / 250), byte(i % 250)})
		if ipv6 {
			addr = netip.MustParseAddr(fmt.Sprintf("fd00:10:97::%02x%02x", i/250, i%250))
		}
		f := frontend{addr, 80, protoTCP}
		s.frontends[f] = target{chain: name, service: "default/s"}
		s.chains[name] = chainSpec{backends: []netip.AddrPort{netip.AddrPortFrom(webA, 8080)}}
		if i%2 == 0 {
			s.chains[name] = chainSpec{backends: []netip.AddrPort{netip.AddrPortFrom(webA, 8080), netip.AddrPortFrom(webB, 8080)}}
		}
	}
	s.hairpin[webA] = true
	return s
}

// BenchmarkEndpointChange changes one of 100 Services.
func BenchmarkEndpointChange(b *testing.B) {
	if os.Getenv("NETDOJO_TESTNET") != "1" {
		b.Skip("needs user and network namespaces")
	}
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		b.Fatal(err)
	}
	tb := newTable(conn, Config{Table: "bench", NodeAddr: nodeAddr, NodePortAddrs: []netip.Addr{nodeAddr}})
	if err := tb.reset(); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = tb.remove(), tb.close() }()
	if err := tb.apply(manyServices(100)); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		want := manyServices(100)
		if i%2 == 0 {
			want.chains["service-default/s1/tcp/http"] = chainSpec{backends: []netip.AddrPort{netip.AddrPortFrom(webB, 8080)}}
		}
		if err := tb.apply(want); err != nil {
			b.Fatal(err)
		}
	}
}
