// Package loadbalancer gives Services of type LoadBalancer their addresses, as a
// cloud's controller does: of each family one of the cluster's side, which pods and
// the world reach, and where the host has no way there, one of its loopback. What dials
// the latter is relayed to the former from the world, so that policies see it come from
// outside.
//
// Of IPv4 the host's address is the Service's own. The loopback of IPv6 is the one
// address ::1, whose ports go to who comes first.
//
// It serves Services without a class and those of Class. Which endpoint a
// connection ends at is the datapath's business.
package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

// Class is the loadBalancerClass that means this controller.
const Class = "netdojo.dev/loopback"

// Bits of the prefixes that addresses are taken from: at least two addresses
// between the first and the last, and never more than 254.
const (
	longestPrefix  = 30
	shortestPrefix = 24
)

// Words of a port's status for what the host cannot reach (PortStatus.Error).
const (
	reasonProtocol  = "netdojo.dev/HostReachesTCPAndUDPOnly"
	reasonPrivilege = "netdojo.dev/PortNeedsPrivilege"
	reasonTaken     = "netdojo.dev/PortTaken"
	reasonOther     = "netdojo.dev/NotListening"
)

// Config is what a Controller needs.
type Config struct {
	Client kubernetes.Interface
	// Addrs are the ranges of the cluster's side: of IPv4 a /24 or less, of IPv6 a /120, or
	// none in a cluster of IPv4. A Service has the same place in all ranges.
	Addrs ipfamily.Pair[netip.Prefix]
	// Host is the /24 of the host's loopback; the zero value says that the host
	// reaches Addrs.
	Host netip.Prefix
	// Listen and ListenPacket open a TCP and a UDP socket in the host's network.
	Listen       func(ctx context.Context, addr netip.AddrPort) (net.Listener, error)
	ListenPacket func(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error)
	// Dial connects from the world; network is "tcp" or "udp".
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Announce has somebody answer for these addresses of Addrs and for no others of
	// it, before Services tell them; nil is for a network where nobody asks.
	Announce func([]netip.Addr) error
	Events   record.EventRecorder
	Logger   *slog.Logger
}

// Controller runs until Close.
type Controller struct {
	cfg     Config
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	changed chan struct{}

	// Of the one goroutine that reconciles.
	have map[string]*balancer // by namespace/name
	told []netip.Addr         // what was announced last
}

// balancer is a Service that has its addresses.
type balancer struct {
	place byte // in the ranges, from 1
	ports map[socket]*port
}

// side is a Service's addresses of one family; host is the zero Addr where the host
// reaches the other.
type side struct{ host, inside netip.Addr }

// Start begins to follow Services. It waits for nothing.
func Start(ctx context.Context, cfg Config) (*Controller, error) {
	if p := cfg.Addrs.V4; !p.Addr().Is4() || p.Bits() < shortestPrefix || p.Bits() > longestPrefix {
		return nil, fmt.Errorf("start load balancers: %s is no IPv4 range of 4 to 256 addresses", p)
	}
	if p := cfg.Host; p.IsValid() && (!p.Addr().Is4() || p.Bits() > cfg.Addrs.V4.Bits()) {
		return nil, fmt.Errorf("start load balancers: %s has not the room of %s", p, cfg.Addrs)
	}
	if p := cfg.Addrs.V6; p.IsValid() && (!p.Addr().Is6() || p.Bits() != 120) {
		return nil, fmt.Errorf("start load balancers: %s is no IPv6 range of 256 addresses", p)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Controller{cfg: cfg, cancel: cancel, changed: make(chan struct{}, 1), have: map[string]*balancer{}}
	factory := informers.NewSharedInformerFactory(cfg.Client, 0)
	services := factory.Core().V1().Services()
	signal := func(any) {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
	reg, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: signal, UpdateFunc: func(_, o any) { signal(o) }, DeleteFunc: signal,
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start load balancers: %w", err)
	}
	factory.Start(run.Done())
	c.wg.Go(func() {
		defer factory.Shutdown()
		if !cache.WaitForCacheSync(run.Done(), reg.HasSynced) {
			return
		}
		for {
			all, err := services.Lister().List(labels.Everything())
			if err == nil {
				err = c.reconcile(run, all)
			}
			if err != nil && run.Err() == nil {
				cfg.Logger.Warn("load balancers", "error", err)
			}
			select {
			case <-run.Done():
				return
			case <-c.changed:
			}
		}
	})
	return c, nil
}

// Close ends relayed connections and gives the host's addresses back. Services
// keep theirs in their status, for the next time.
func (c *Controller) Close() error {
	c.cancel()
	c.wg.Wait()
	var errs []error
	for _, b := range c.have {
		errs = append(errs, b.close())
	}
	return errors.Join(errs...)
}

func mine(s *v1.Service) bool {
	return s.Spec.Type == v1.ServiceTypeLoadBalancer && s.DeletionTimestamp == nil &&
		(s.Spec.LoadBalancerClass == nil || *s.Spec.LoadBalancerClass == Class)
}

func (c *Controller) reconcile(ctx context.Context, all []*v1.Service) error {
	var errs []error
	want := map[string]*v1.Service{}
	for _, s := range all {
		if mine(s) {
			want[s.Namespace+"/"+s.Name] = s
		}
	}
	for name, b := range c.have {
		if want[name] == nil {
			errs = append(errs, b.close())
			delete(c.have, name)
		}
	}
	// Who has an address already, from before a restart, keeps it.
	names := slices.SortedFunc(maps.Keys(want), func(a, b string) int {
		return want[a].CreationTimestamp.Compare(want[b].CreationTimestamp.Time)
	})
	for _, name := range names {
		if place := c.placeOf(want[name]); c.have[name] == nil && place != 0 && !c.taken(place) {
			c.have[name] = &balancer{place: place, ports: map[socket]*port{}}
		}
	}
	for _, name := range names {
		if c.have[name] == nil {
			errs = append(errs, c.find(name, want[name]))
		}
	}
	errs = append(errs, c.announce())
	for _, name := range names {
		if b := c.have[name]; b != nil {
			errs = append(errs, c.serve(ctx, b, want[name]))
		}
	}
	return errors.Join(errs...)
}

// most is the last place that a Service can have.
func (c *Controller) most() byte {
	size := 1 << (32 - c.cfg.Addrs.V4.Bits())
	return byte(size - 2)
}

// placeOf is the place of the address that a Service's status has; 0 is none.
func (c *Controller) placeOf(s *v1.Service) byte {
	for _, in := range s.Status.LoadBalancer.Ingress {
		a, err := netip.ParseAddr(in.IP)
		if err != nil {
			continue
		}
		for _, p := range c.cfg.Addrs.Both() {
			if p.Contains(a) {
				if place := last(a) - last(p.Masked().Addr()); place <= c.most() {
					return place
				}
			}
		}
	}
	return 0
}

func last(a netip.Addr) byte { return a.AsSlice()[a.BitLen()/8-1] }

func (c *Controller) taken(place byte) bool {
	for _, b := range c.have {
		if b.place == place {
			return true
		}
	}
	return false
}

// find gives a Service the first place that is free.
func (c *Controller) find(name string, s *v1.Service) error {
	for place := range c.most() {
		if place++; !c.taken(place) {
			c.have[name] = &balancer{place: place, ports: map[socket]*port{}}
			return nil
		}
	}
	c.cfg.Events.Eventf(s, v1.EventTypeWarning, "NoAddress", "all %d addresses of load balancers are taken: delete one", c.most())
	return fmt.Errorf("no address is left for Service %s", name)
}

// announce says which addresses are to be answered for, where that has changed. Even
// none is told once: an earlier controller may have left some.
func (c *Controller) announce() error {
	now := []netip.Addr{}
	for _, b := range c.have {
		now = append(now, address(c.cfg.Addrs.V4, b.place))
	}
	slices.SortFunc(now, netip.Addr.Compare)
	if c.cfg.Announce == nil || c.told != nil && slices.Equal(now, c.told) {
		return nil
	}
	if err := c.cfg.Announce(now); err != nil {
		return err
	}
	c.told = now
	return nil
}

// sides are the addresses of a Service, one pair for each of its families.
func (c *Controller) sides(s *v1.Service, place byte) []side {
	var out []side
	if len(s.Spec.IPFamilies) == 0 || slices.Contains(s.Spec.IPFamilies, v1.IPv4Protocol) {
		v4 := side{inside: address(c.cfg.Addrs.V4, place)}
		if c.cfg.Host.IsValid() {
			v4.host = address(c.cfg.Host, place)
		}
		out = append(out, v4)
	}
	if c.cfg.Addrs.V6.IsValid() && slices.Contains(s.Spec.IPFamilies, v1.IPv6Protocol) {
		out = append(out, side{netip.IPv6Loopback(), address(c.cfg.Addrs.V6, place)})
	}
	return out
}

// serve gives a Service what it lacks and writes its status.
func (c *Controller) serve(ctx context.Context, b *balancer, s *v1.Service) error {
	sides := c.sides(s, b.place)
	var errs []error
	wanted := map[socket]bool{}
	for _, side := range sides {
		for _, p := range s.Spec.Ports {
			wanted[socketOf(p, side)] = true
		}
	}
	for at, p := range b.ports {
		if !wanted[at] {
			errs = append(errs, p.close())
			delete(b.ports, at)
		}
	}
	// The host's comes first: it is what scripts take. The datapath translates the
	// other one alone.
	var status v1.LoadBalancerStatus
	for _, side := range sides {
		if side.host.IsValid() {
			status.Ingress = append(status.Ingress, v1.LoadBalancerIngress{
				IP: side.host.String(), IPMode: new(v1.LoadBalancerIPModeProxy), Ports: c.openAll(ctx, b, s, side),
			})
		}
		status.Ingress = append(status.Ingress, v1.LoadBalancerIngress{IP: side.inside.String(), IPMode: new(v1.LoadBalancerIPModeVIP)})
	}
	if !equality.Semantic.DeepEqual(s.Status.LoadBalancer, status) {
		s = s.DeepCopy()
		s.Status.LoadBalancer = status
		_, err := c.cfg.Client.CoreV1().Services(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{})
		errs = append(errs, err) // a conflict comes with a newer Service, and so again here
	}
	return errors.Join(errs...)
}

// openAll makes the host's sockets for a Service's ports and says which it could not.
func (c *Controller) openAll(ctx context.Context, b *balancer, s *v1.Service, side side) []v1.PortStatus {
	var out []v1.PortStatus
	for _, p := range s.Spec.Ports {
		st := v1.PortStatus{Port: p.Port, Protocol: p.Protocol}
		if p.Protocol != v1.ProtocolTCP && p.Protocol != v1.ProtocolUDP {
			st.Error = new(reasonProtocol)
		} else if err := c.open(ctx, b, socketOf(p, side), side.inside); err != nil {
			st.Error = new(reason(err))
			if !knows(s, side, st) {
				c.cfg.Events.Event(s, v1.EventTypeWarning, "HostCannotReach", explain(p.Port, side.host, err))
			}
		}
		out = append(out, st)
	}
	return out
}

// knows tells whether the status says this of the port already.
func knows(s *v1.Service, side side, st v1.PortStatus) bool {
	return slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(in v1.LoadBalancerIngress) bool {
		return in.IP == side.host.String() && slices.ContainsFunc(in.Ports, func(p v1.PortStatus) bool { return equality.Semantic.DeepEqual(p, st) })
	})
}

func address(p netip.Prefix, place byte) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] += place
	a, _ := netip.AddrFromSlice(b) // it is as long as an address
	return a
}

func reason(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return reasonPrivilege
	case errors.Is(err, syscall.EADDRINUSE):
		return reasonTaken
	}
	return reasonOther
}

func explain(port int32, host netip.Addr, err error) string {
	text := fmt.Sprintf("this machine does not reach port %d at %s: %v", port, host, err)
	switch {
	case errors.Is(err, syscall.EACCES):
		text += ". Ports below 1024 are for root here: use a higher port, or sysctl net.ipv4.ip_unprivileged_port_start=0"
	case host.Is6() && errors.Is(err, syscall.EADDRINUSE):
		text += ". Of IPv6 a machine has one loopback address for all: use another port, or the Service's address of IPv4"
	}
	return text
}
