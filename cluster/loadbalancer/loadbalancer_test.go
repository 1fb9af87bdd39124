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
)

// rig is a controller over a host and a world that the test plays.
type rig struct {
	t      *testing.T
	api    *fake.Clientset
	events *record.FakeRecorder
	c      *Controller

	mu     sync.Mutex
	socket map[netip.AddrPort]net.Listener // of the host; each on a port of the kernel's choice
	dialed []string
}

func newRig(t *testing.T, objects ...*v1.Service) *rig {
	t.Helper()
	r := &rig{t: t, api: fake.NewClientset(), events: record.NewFakeRecorder(20), socket: map[netip.AddrPort]net.Listener{}}
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
		Client: r.api, Addrs: netip.MustParsePrefix("192.168.78.0/24"), Host: netip.MustParsePrefix("127.77.5.0/24"),
		Listen: r.listen, Dial: r.dial, Events: r.events, Logger: slog.New(slog.DiscardHandler),
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
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.socket[at] = l
	return l, err
}

// dial plays a world that answers with whom it was asked for.
func (r *rig) dial(_ context.Context, _, addr string) (net.Conn, error) {
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
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
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

// ask connects to a socket of the host and returns what comes.
func (r *rig) ask(at string) (string, error) {
	r.t.Helper()
	r.mu.Lock()
	l := r.socket[netip.MustParseAddrPort(at)]
	r.mu.Unlock()
	if l == nil {
		r.t.Fatalf("nobody listens on %s", at)
	}
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
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
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Port: 53, Protocol: v1.ProtocolUDP})
	}, 80, 81, 82, 83))
	r.status("mixed", "127.77.5.1 Proxy 80 81!"+reasonPrivilege+" 82!"+reasonTaken+" 83 53!"+reasonProtocol+", 192.168.78.1 VIP")
	for _, want := range []string{"port 81 at 127.77.5.1: bind: permission denied. Ports below 1024 are for root here", "port 82 at 127.77.5.1: bind: address already in use"} {
		select {
		case e := <-r.events.Events:
			if !strings.Contains(e, "HostCannotReach") || !strings.Contains(e, want) {
				t.Errorf("event %q, want %q", e, want)
			}
		case <-time.After(time.Second):
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
	for end := time.Now().Add(5 * time.Second); got == "" && time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
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
		Client: r.api, Addrs: netip.MustParsePrefix("172.18.0.64/30"), Events: events, Logger: slog.New(slog.DiscardHandler),
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
	case <-time.After(5 * time.Second):
		t.Error("no event says that there is no third address")
	}
	if err := r.api.CoreV1().Services("default").Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.status("three", "172.18.0.65 VIP")
	last("[172.18.0.65 172.18.0.66]")
}

// TestIPv6Alone: a Service without IPv4 gets no address, and is told so once.
func TestIPv6Alone(t *testing.T) {
	r := newRig(t)
	r.create(service("six", func(s *v1.Service) { s.UID, s.Spec.IPFamilies = "u6", []v1.IPFamily{v1.IPv6Protocol} }, 80))
	r.create(service("both", func(s *v1.Service) { s.Spec.IPFamilies = []v1.IPFamily{v1.IPv6Protocol, v1.IPv4Protocol} }, 80))
	r.status("both", "127.77.5.1 Proxy 80, 192.168.78.1 VIP")
	r.create(service("again", nil, 80))
	r.status("again", "127.77.5.2 Proxy 80, 192.168.78.2 VIP")
	r.status("six", "")
	select {
	case e := <-r.events.Events:
		if !strings.Contains(e, "NoIPv6Address") {
			t.Errorf("event %q", e)
		}
	default:
		t.Error("no event says why")
	}
	select {
	case e := <-r.events.Events:
		t.Errorf("another event: %q", e)
	default:
	}
}
