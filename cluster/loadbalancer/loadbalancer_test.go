package loadbalancer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

// rig is a controller over a host and a world that the test plays.
type rig struct {
	t      *testing.T
	api    *fake.Clientset
	events *record.FakeRecorder
	c      *Controller

	mu     sync.Mutex
	socket map[netip.AddrPort]net.Addr // of the host; each on a port of the kernel's choice
	taken  map[netip.AddrPort]bool     // by an open socket
	dialed []string
}

func newRig(t *testing.T, objects ...*v1.Service) *rig {
	t.Helper()
	r := &rig{
		t: t, api: fake.NewClientset(), events: record.NewFakeRecorder(20),
		socket: map[netip.AddrPort]net.Addr{}, taken: map[netip.AddrPort]bool{},
	}
	for _, s := range objects {
		r.create(s)
	}
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	r.c, err = Start(r.t.Context(), Config{
		Client: r.api, Addrs: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("192.168.78.0/24"), V6: netip.MustParsePrefix("fd00:78::/120")},
		Host:   netip.MustParsePrefix("127.77.5.0/24"),
		Listen: r.listen, ListenPacket: r.listenPacket, Dial: r.dial, Events: r.events, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.stop)
}

func (r *rig) stop() {
	if r.c == nil {
		return
	}
	if err := r.c.Close(); err != nil {
		r.t.Error(err)
	}
	r.c = nil
}

// listen plays a host whose root has the low ports but 81, and where 82 is taken.
func (r *rig) listen(_ context.Context, at netip.AddrPort) (net.Listener, error) {
	switch at.Port() {
	case 81:
		return nil, os.NewSyscallError("bind", syscall.EACCES)
	case 82:
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken[at] {
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.socket[at], r.taken[at] = l.Addr(), true
	return &hostSocket{l, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.taken[at] = false
	}}, nil
}

// hostSocket frees its address when it closes.
type hostSocket struct {
	net.Listener
	free func()
}

func (s *hostSocket) Close() error {
	s.free()
	return s.Listener.Close()
}

func (r *rig) listenPacket(_ context.Context, at netip.AddrPort) (net.PacketConn, error) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.socket[at] = pc.LocalAddr()
	return pc, nil
}

// dial plays a world that answers with whom it was asked for. Its UDP tells beside it
// who asks, and what was said.
func (r *rig) dial(_ context.Context, network, addr string) (net.Conn, error) {
	if network == "udp" {
		return r.dialUDP(addr)
	}
	r.mu.Lock()
	r.dialed = append(r.dialed, addr)
	r.mu.Unlock()
	if strings.HasSuffix(addr, ":83") {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	go func() {
		fmt.Fprintf(theirs, "you are at %s\n", addr)
		_ = theirs.Close()
	}()
	return ours, nil
}

func (r *rig) dialUDP(addr string) (net.Conn, error) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { _ = server.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(fmt.Appendf(nil, "%s at %s from %s", buf[:n], addr, from), from)
		}
	}()
	return net.Dial("udp4", server.LocalAddr().String())
}

func (r *rig) create(s *v1.Service) {
	r.t.Helper()
	if _, err := r.api.CoreV1().Services(s.Namespace).Create(r.t.Context(), s, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

func service(name string, change func(*v1.Service), ports ...int32) *v1.Service {
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Port: p, Protocol: v1.ProtocolTCP})
	}
	if change != nil {
		change(s)
	}
	return s
}

// status is a Service's as text, once it is as wanted.
func (r *rig) status(name, want string) {
	r.t.Helper()
	var got string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		s, err := r.api.CoreV1().Services("default").Get(r.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			r.t.Fatal(err)
		}
		var parts []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			text := in.IP + " " + string(*in.IPMode)
			for _, p := range in.Ports {
				text += fmt.Sprintf(" %d", p.Port)
				if p.Error != nil {
					text += "!" + *p.Error
				}
			}
			parts = append(parts, text)
		}
		if got = strings.Join(parts, ", "); got == want {
			return
		}
	}
	r.t.Fatalf("%s: got %q, want %q", name, got, want)
}

// at is where the socket is that the controller opened at an address of the host.
func (r *rig) at(at string) string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.socket[netip.MustParseAddrPort(at)]
	if a == nil {
		r.t.Fatalf("nobody listens on %s", at)
	}
	return a.String()
}

// ask connects to a socket of the host and returns what comes.
func (r *rig) ask(at string) (string, error) {
	r.t.Helper()
	conn, err := net.Dial("tcp4", r.at(at))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	b, err := io.ReadAll(conn)
	return string(b), err
}

func TestAddresses(t *testing.T) {
	r := newRig(t)
	r.create(service("one", nil, 80))
	r.status("one", "127.77.5.1 Proxy 80, 192.168.78.1 VIP")
	r.create(service("two", nil, 80, 443))
	r.status("two", "127.77.5.2 Proxy 80 443, 192.168.78.2 VIP")
	if got, err := r.ask("127.77.5.2:443"); err != nil || got != "you are at 192.168.78.2:443\n" {
		t.Errorf("got %q, %v", got, err)
	}

	// An address that is free is given again, and a port that went is closed.
	ctx := t.Context()
	if err := r.api.CoreV1().Services("default").Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	two, err := r.api.CoreV1().Services("default").Get(ctx, "two", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	two.Spec.Ports = two.Spec.Ports[:1]
	if _, err := r.api.CoreV1().Services("default").Update(ctx, two, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.status("two", "127.77.5.2 Proxy 80, 192.168.78.2 VIP")
	if _, err := r.ask("127.77.5.2:443"); err == nil {
		t.Error("a port that the Service no longer has is served")
	}
	r.create(service("three", nil, 80))
	r.status("three", "127.77.5.1 Proxy 80, 192.168.78.1 VIP")
}

func TestWhatTheHostCannotReach(t *testing.T) {
	r := newRig(t)
	r.create(service("mixed", func(s *v1.Service) {
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Port: 53, Protocol: v1.ProtocolSCTP})
	}, 80, 81, 82, 83))
	r.status("mixed", "127.77.5.1 Proxy 80 81!"+reasonPrivilege+" 82!"+reasonTaken+" 83 53!"+reasonProtocol+", 192.168.78.1 VIP")
	for _, want := range []string{"port 81 at 127.77.5.1: bind: permission denied. Ports below 1024 are for root here", "port 82 at 127.77.5.1: bind: address already in use"} {
		select {
		case e := <-r.events.Events:
			if !strings.Contains(e, "HostCannotReach") || !strings.Contains(e, want) {
				t.Errorf("event %q, want %q", e, want)
			}
		case <-time.After(time.Minute):
			t.Errorf("no event with %q", want)
		}
	}
	if got, err := r.ask("127.77.5.1:83"); err == nil {
		t.Errorf("a Service that refuses: got %q and no error", got)
	}
}

// TestAfterARestart finds Services with the addresses that an earlier one gave.
func TestAfterARestart(t *testing.T) {
	r := newRig(t)
	// One after the other: addresses are given in the order of arrival.
	for i, name := range []string{"one", "two"} {
		r.create(service(name, nil, 80))
		r.status(name, fmt.Sprintf("127.77.5.%[1]d Proxy 80, 192.168.78.%[1]d VIP", i+1))
	}
	r.stop()
	if _, err := r.ask("127.77.5.2:80"); err == nil {
		t.Error("a stopped one serves")
	}
	if err := r.api.CoreV1().Services("default").Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.create(service("a-new-one", nil, 80))
	r.start()
	r.status("a-new-one", "127.77.5.1 Proxy 80, 192.168.78.1 VIP")
	r.status("two", "127.77.5.2 Proxy 80, 192.168.78.2 VIP")
	// That is its status of before the stop: its port opens when it opens.
	var got string
	var err error
	for end := time.Now().Add(time.Minute); got == "" && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		got, err = r.ask("127.77.5.2:80")
	}
	if got != "you are at 192.168.78.2:80\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWhoseServices(t *testing.T) {
	foreign, ours := "example.com/their", Class
	r := newRig(t,
		service("clusterip", func(s *v1.Service) { s.Spec.Type = v1.ServiceTypeClusterIP }, 80),
		service("foreign", func(s *v1.Service) { s.Spec.LoadBalancerClass = &foreign }, 80),
		service("ours", func(s *v1.Service) { s.Spec.LoadBalancerClass = &ours }, 80))
	r.status("ours", "127.77.5.1 Proxy 80, 192.168.78.1 VIP")
	r.status("foreign", "")
	r.status("clusterip", "")
}

// TestOneAddress: where the host reaches the cluster's side a Service has that address
// alone, and whoever answers for it knows before the Service says so.
func TestOneAddress(t *testing.T) {
	var mu sync.Mutex
	var told []string
	events := record.NewFakeRecorder(20)
	r := &rig{t: t, api: fake.NewClientset()}
	c, err := Start(t.Context(), Config{
		Client: r.api, Addrs: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("172.18.0.64/30")}, Events: events, Logger: slog.New(slog.DiscardHandler),
		Announce: func(addrs []netip.Addr) error {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprint(addrs))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	last := func(want string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if got := told[len(told)-1]; got != want {
			t.Errorf("announced %s, want %s", got, want)
		}
	}
	r.create(service("one", func(s *v1.Service) {
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Port: 53, Protocol: v1.ProtocolUDP})
	}, 80))
	r.status("one", "172.18.0.65 VIP")
	last("[172.18.0.65]")
	r.create(service("two", nil, 80))
	r.status("two", "172.18.0.66 VIP")
	last("[172.18.0.65 172.18.0.66]")
	r.create(service("three", nil, 80))
	select {
	case e := <-events.Events:
		if !strings.Contains(e, "all 2 addresses") {
			t.Errorf("event %q", e)
		}
	case <-time.After(time.Minute):
		t.Error("no event says that there is no third address")
	}
	if err := r.api.CoreV1().Services("default").Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.status("three", "172.18.0.65 VIP")
	last("[172.18.0.65 172.18.0.66]")
}

// TestUDP: each client has a way of its own, by which it gets its answers.
func TestUDP(t *testing.T) {
	r := newRig(t)
	r.create(service("dns", func(s *v1.Service) {
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Port: 53, Protocol: v1.ProtocolUDP})
	}))
	r.status("dns", "127.77.5.1 Proxy 53, 192.168.78.1 VIP")
	answers := map[string]string{} // by the world's end of the way
	for _, name := range []string{"one", "two"} {
		conn, err := net.Dial("udp4", r.at("127.77.5.1:53"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		var way string
		for i := range 2 {
			said := fmt.Sprintf("%s %d", name, i)
			if _, err := conn.Write([]byte(said)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			heard, from, _ := strings.Cut(string(buf[:n]), " from ")
			if heard != said+" at 192.168.78.1:53" || way != "" && from != way {
				t.Errorf("got %q, before from %q", buf[:n], way)
			}
			way = from
		}
		answers[way] = name
	}
	if len(answers) != 2 {
		t.Errorf("two clients have one way: %v", answers)
	}
}

func families(all ...v1.IPFamily) func(*v1.Service) {
	return func(s *v1.Service) { s.Spec.IPFamilies = all }
}

// TestIPv6: a Service has addresses of its families. The loopback of IPv6 is one for
// all, so its ports go to who comes first, and to the next one after that.
func TestIPv6(t *testing.T) {
	r := newRig(t)
	r.create(service("six", families(v1.IPv6Protocol), 80))
	r.status("six", "::1 Proxy 80, fd00:78::1 VIP")
	r.create(service("both", families(v1.IPv6Protocol, v1.IPv4Protocol), 80, 443))
	r.status("both", "127.77.5.2 Proxy 80 443, 192.168.78.2 VIP, ::1 Proxy 80!"+reasonTaken+" 443, fd00:78::2 VIP")
	for at, want := range map[string]string{"[::1]:80": "[fd00:78::1]:80", "[::1]:443": "[fd00:78::2]:443", "127.77.5.2:80": "192.168.78.2:80"} {
		if got, err := r.ask(at); err != nil || got != "you are at "+want+"\n" {
			t.Errorf("%s: got %q, %v", at, got, err)
		}
	}
	select {
	case e := <-r.events.Events:
		if !strings.Contains(e, "port 80 at ::1") || !strings.Contains(e, "one loopback address for all") {
			t.Errorf("event %q", e)
		}
	default:
		t.Error("no event tells of the taken port")
	}
	if err := r.api.CoreV1().Services("default").Delete(t.Context(), "six", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.status("both", "127.77.5.2 Proxy 80 443, 192.168.78.2 VIP, ::1 Proxy 80 443, fd00:78::2 VIP")
	if got, err := r.ask("[::1]:80"); err != nil || got != "you are at [fd00:78::2]:80\n" {
		t.Errorf("the port that became free: got %q, %v", got, err)
	}

	// After a restart each keeps the byte that it had, whatever its families.
	r.create(service("late", families(v1.IPv6Protocol), 8080))
	r.status("late", "::1 Proxy 8080, fd00:78::1 VIP")
	r.stop()
	if err := r.api.CoreV1().Services("default").Delete(t.Context(), "both", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.create(service("between", nil, 80))
	r.start()
	r.status("between", "127.77.5.2 Proxy 80, 192.168.78.2 VIP")
	r.status("late", "::1 Proxy 8080, fd00:78::1 VIP")
}
