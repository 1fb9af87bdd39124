package service

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
)

// TestFrontends: each address that a Service has is listed with its kind and its
// endpoints, under a number that it keeps while others come and go.
func TestFrontends(t *testing.T) {
	node := netip.MustParseAddr("192.168.77.2")
	cfg := Config{Client: fake.NewClientset(), NodeName: "node", NodeAddr: node, NodePortAddrs: []netip.Addr{node}}
	p := &Proxy{cfg: cfg, ids: map[frontend]int64{}, watch: newWatch(cfg)}
	service := func(name, ip string, change func(*v1.ServiceSpec)) *v1.Service {
		s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, IPFamilies: []v1.IPFamily{v1.IPv4Protocol},
			Ports: []v1.ServicePort{{Name: "http", Port: 80, Protocol: v1.ProtocolTCP}},
		}}
		if change != nil {
			change(&s.Spec)
		}
		return s
	}
	slice := func(name string, addrs ...string) *discovery.EndpointSlice {
		s := &discovery.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: name + "-1", Labels: map[string]string{discovery.LabelServiceName: name},
			},
			AddressType: discovery.AddressTypeIPv4,
			Ports:       []discovery.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(v1.ProtocolTCP)}},
		}
		for _, a := range addrs {
			s.Endpoints = append(s.Endpoints, discovery.Endpoint{
				Addresses: []string{a}, NodeName: ptr.To("node"), Conditions: discovery.EndpointConditions{Ready: ptr.To(true)},
			})
		}
		return s
	}
	list := func() []string {
		p.watch.svcs.Update(p.watch.services)
		p.watch.eps.Update(p.watch.endpoints)
		var out []string
		for _, f := range p.Frontends() {
			out = append(out, fmt.Sprintf("%d %s %s/%s %s %v", f.ID, f.Type, f.Namespace, f.Name, f.Addr, f.Backends))
		}
		return out
	}

	a := service("a", "10.96.0.20", nil)
	open := service("open", "10.96.0.30", func(s *v1.ServiceSpec) {
		s.Type, s.ExternalIPs, s.Ports[0].NodePort = v1.ServiceTypeNodePort, []string{"203.0.113.9"}, 30080
	})
	balanced := service("balanced", "10.96.0.40", func(s *v1.ServiceSpec) { s.Type = v1.ServiceTypeLoadBalancer })
	balanced.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{
		{IP: "127.77.5.1", IPMode: ptr.To(v1.LoadBalancerIPModeProxy)}, {IP: "192.168.78.1", IPMode: ptr.To(v1.LoadBalancerIPModeVIP)},
	}
	for _, s := range []*v1.Service{a, open, balanced} {
		p.watch.services.Update(nil, s)
	}
	p.watch.endpoints.EndpointSliceUpdate(slice("a", "10.244.0.9", "10.244.0.8"), false)
	want := []string{
		"1 ClusterIP default/a 10.96.0.20:80 [10.244.0.8:8080 10.244.0.9:8080]",
		"2 ClusterIP default/open 10.96.0.30:80 []",
		"3 ClusterIP default/balanced 10.96.0.40:80 []",
		"4 NodePort default/open 192.168.77.2:30080 []",
		"5 LoadBalancer default/balanced 192.168.78.1:80 []",
		"6 ExternalIPs default/open 203.0.113.9:80 []",
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}

	p.watch.services.Update(a, nil)
	p.watch.services.Update(nil, service("first", "10.96.0.10", nil))
	want = append(want[1:], "7 ClusterIP default/first 10.96.0.10:80 []")
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
