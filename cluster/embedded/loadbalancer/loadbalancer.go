// Package loadbalancer gives Services of type LoadBalancer their addresses, as a
// cloud's controller does: one of the cluster's side, which pods and the world
// reach, and one of the host's loopback. What dials the latter is relayed to the
// former from the world, so that policies see it come from outside.
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
	// Addrs is the range of the cluster's side: a /24. A Service has the same last
	// octet in both ranges.
	Addrs netip.Prefix
	// Host is the /24 of the host's loopback.
	Host netip.Prefix
	// Listen opens a TCP socket in the host's network.
	Listen func(ctx context.Context, addr netip.AddrPort) (net.Listener, error)
	// Dial connects from the world; network is "tcp".
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	Events record.EventRecorder
	Logger *slog.Logger
}

// Controller runs until Close.
type Controller struct {
	cfg     Config
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	changed chan struct{}

	// Of the one goroutine that reconciles.
	have    map[string]*balancer // by namespace/name
	refused map[types.UID]bool   // Services of IPv6 alone that were told so
}

// balancer is a Service that has its addresses.
type balancer struct {
	octet byte
	ports map[uint16]*port
}

// Start begins to follow Services. It waits for nothing.
func Start(ctx context.Context, cfg Config) (*Controller, error) {
	for _, p := range []netip.Prefix{cfg.Addrs, cfg.Host} {
		if !p.Addr().Is4() || p.Bits() != 24 {
			return nil, fmt.Errorf("start load balancers: %s is no IPv4 range of 256 addresses", p)
		}
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
		if octet := c.told(want[name]); c.have[name] == nil && octet != 0 && !c.taken(octet) {
			c.have[name] = &balancer{octet: octet, ports: map[uint16]*port{}}
		}
	}
	for _, name := range names {
		errs = append(errs, c.serve(ctx, name, want[name]))
	}
	return errors.Join(errs...)
}

// told is the last octet of the address that a Service's status has; 0 is none.
func (c *Controller) told(s *v1.Service) byte {
	for _, in := range s.Status.LoadBalancer.Ingress {
		if a, err := netip.ParseAddr(in.IP); err == nil && c.cfg.Addrs.Contains(a) {
			return a.As4()[3]
		}
	}
	return 0
}

func (c *Controller) taken(octet byte) bool {
	for _, b := range c.have {
		if b.octet == octet {
			return true
		}
	}
	return false
}

// serve gives a Service what it lacks and writes its status.
func (c *Controller) serve(ctx context.Context, name string, s *v1.Service) error {
	b := c.have[name]
	if b == nil {
		octet := byte(1)
		for octet < 255 && c.taken(octet) {
			octet++
		}
		if octet == 255 {
			c.cfg.Events.Eventf(s, v1.EventTypeWarning, "NoAddress", "all 254 addresses of load balancers are taken: delete one")
			return fmt.Errorf("no address is left for Service %s", name)
		}
		b = &balancer{octet: octet, ports: map[uint16]*port{}}
		c.have[name] = b
	}
	inside, host := address(c.cfg.Addrs, b.octet), address(c.cfg.Host, b.octet)
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
	// The host's comes first: it is what scripts take. The datapath translates the
	// other one alone.
	status := v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{
		{IP: host.String(), IPMode: new(v1.LoadBalancerIPModeProxy), Ports: reached},
		{IP: inside.String(), IPMode: new(v1.LoadBalancerIPModeVIP)},
	}}
	if !equality.Semantic.DeepEqual(s.Status.LoadBalancer, status) {
		s = s.DeepCopy()
		s.Status.LoadBalancer = status
		_, err := c.cfg.Client.CoreV1().Services(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{})
		errs = append(errs, err) // a conflict comes with a newer Service, and so again here
	}
	return errors.Join(errs...)
}

// knows tells whether the status says this of the port already.
func (c *Controller) knows(s *v1.Service, st v1.PortStatus) bool {
	return slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(in v1.LoadBalancerIngress) bool {
		return slices.ContainsFunc(in.Ports, func(p v1.PortStatus) bool { return equality.Semantic.DeepEqual(p, st) })
	})
}

func address(p netip.Prefix, octet byte) netip.Addr {
	a := p.Masked().Addr().As4()
	a[3] = octet
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
