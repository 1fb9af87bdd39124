// Package loadbalancer gives Services of type LoadBalancer their addresses, as a
// cloud's controller does: one of the cluster's side, which pods and the world
// reach, and where the host has no way there, one of its loopback. What dials the
// latter is relayed to the former from the world, so that policies see it come from
// outside.
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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
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
	reasonProtocol  = "netdojo.dev/HostReachesTCPOnly"
	reasonPrivilege = "netdojo.dev/PortNeedsPrivilege"
	reasonTaken     = "netdojo.dev/PortTaken"
	reasonOther     = "netdojo.dev/NotListening"
)

// Config is what a Controller needs.
type Config struct {
	Client kubernetes.Interface
	// Addrs is the range of the cluster's side: a /24 or less. A Service has the same
	// place in both ranges.
	Addrs netip.Prefix
	// Host is the /24 of the host's loopback; the zero value says that the host
	// reaches Addrs.
	Host netip.Prefix
	// Listen opens a TCP socket in the host's network.
	Listen func(ctx context.Context, addr netip.AddrPort) (net.Listener, error)
	// Dial connects from the world; network is "tcp".
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
	have    map[string]*balancer // by namespace/name
	told    []netip.Addr         // what was announced last
	refused map[types.UID]bool   // Services of IPv6 alone that were told so
}

// balancer is a Service that has its addresses.
type balancer struct {
	place byte // in the ranges, from 1
	ports map[uint16]*port
}

// Start begins to follow Services. It waits for nothing.
func Start(ctx context.Context, cfg Config) (*Controller, error) {
	if p := cfg.Addrs; !p.Addr().Is4() || p.Bits() < shortestPrefix || p.Bits() > longestPrefix {
		return nil, fmt.Errorf("start load balancers: %s is no IPv4 range of 4 to 256 addresses", p)
	}
	if p := cfg.Host; p.IsValid() && (!p.Addr().Is4() || p.Bits() > cfg.Addrs.Bits()) {
		return nil, fmt.Errorf("start load balancers: %s has not the room of %s", p, cfg.Addrs)
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
	want, refused := map[string]*v1.Service{}, map[types.UID]bool{}
	for _, s := range all {
		switch name := s.Namespace + "/" + s.Name; {
		case !mine(s):
		case slices.Contains(s.Spec.IPFamilies, v1.IPv6Protocol) && !slices.Contains(s.Spec.IPFamilies, v1.IPv4Protocol):
			if !c.refused[s.UID] {
				c.cfg.Events.Event(s, v1.EventTypeWarning, "NoIPv6Address",
					"load balancers have addresses of IPv4 only: add IPv4 to ipFamilies, or use the Service's other addresses")
			}
			refused[s.UID] = true
		default:
			want[name] = s
		}
	}
	c.refused = refused
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
			c.have[name] = &balancer{place: place, ports: map[uint16]*port{}}
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
	size := 1 << (32 - c.cfg.Addrs.Bits())
	return byte(size - 2)
}

// placeOf is the place of the address that a Service's status has; 0 is none.
func (c *Controller) placeOf(s *v1.Service) byte {
	for _, in := range s.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(in.IP); err == nil && c.cfg.Addrs.Contains(a) {
			if place := a.As4()[3] - c.cfg.Addrs.Masked().Addr().As4()[3]; place <= c.most() {
				return place
			}
		}
	}
	return 0
}

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
			c.have[name] = &balancer{place: place, ports: map[uint16]*port{}}
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
		now = append(now, address(c.cfg.Addrs, b.place))
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

// serve gives a Service what it lacks and writes its status.
func (c *Controller) serve(ctx context.Context, b *balancer, s *v1.Service) error {
	inside := address(c.cfg.Addrs, b.place)
	status := v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{{IP: inside.String(), IPMode: new(v1.LoadBalancerIPModeVIP)}}}
	var errs []error
	if c.cfg.Host.IsValid() {
		host := address(c.cfg.Host, b.place)
		reached, err := c.listen(ctx, b, s, host, inside)
		errs = append(errs, err)
		// The host's comes first: it is what scripts take. The datapath translates the
		// other one alone.
		status.Ingress = append([]v1.LoadBalancerIngress{
			{IP: host.String(), IPMode: new(v1.LoadBalancerIPModeProxy), Ports: reached},
		}, status.Ingress...)
	}
	if !equality.Semantic.DeepEqual(s.Status.LoadBalancer, status) {
		s = s.DeepCopy()
		s.Status.LoadBalancer = status
		_, err := c.cfg.Client.CoreV1().Services(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{})
		errs = append(errs, err) // a conflict comes with a newer Service, and so again here
	}
	return errors.Join(errs...)
}

// listen makes the host's sockets those of the Service's ports, and says which of
// them the host reaches.
func (c *Controller) listen(ctx context.Context, b *balancer, s *v1.Service, host, inside netip.Addr) ([]v1.PortStatus, error) {
	var errs []error
	wanted := map[uint16]bool{}
	for _, p := range s.Spec.Ports {
		if p.Protocol == v1.ProtocolTCP {
			wanted[uint16(p.Port)] = true
		}
	}
	for n, p := range b.ports {
		if !wanted[n] {
			errs = append(errs, p.close())
			delete(b.ports, n)
		}
	}
	var reached []v1.PortStatus
	for _, p := range s.Spec.Ports {
		st := v1.PortStatus{Port: p.Port, Protocol: p.Protocol}
		if p.Protocol != v1.ProtocolTCP {
			st.Error = new(reasonProtocol)
		} else if err := c.open(ctx, b, netip.AddrPortFrom(host, uint16(p.Port)), inside); err != nil {
			st.Error = new(reason(err))
			if !c.knows(s, st) {
				c.cfg.Events.Event(s, v1.EventTypeWarning, "HostCannotReach", explain(p.Port, host, err))
			}
		}
		reached = append(reached, st)
	}
	return reached, errors.Join(errs...)
}

// knows tells whether the status says this of the port already.
func (c *Controller) knows(s *v1.Service, st v1.PortStatus) bool {
	return slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(in v1.LoadBalancerIngress) bool {
		return slices.ContainsFunc(in.Ports, func(p v1.PortStatus) bool { return equality.Semantic.DeepEqual(p, st) })
	})
}

func address(p netip.Prefix, place byte) netip.Addr {
	a := p.Masked().Addr().As4()
	a[3] += place
	return netip.AddrFrom4(a)
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
	if errors.Is(err, syscall.EACCES) {
		text += ". Ports below 1024 are for root here: use a higher port, or sysctl net.ipv4.ip_unprivileged_port_start=0"
	}
	return text
}
