package service

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
)

// TestLoadBalancer has an address of the cluster's side, which is translated, and
// one of the host's, which is a proxy's and not; outsiders by their range only.
func TestLoadBalancer(t *testing.T) {
	vip, foeAddr := of("192.0.2.10", "2001:db8:2::10"), of("192.168.78.3", "fd00:78::3")
	r := newRig(t, nil)
	friend := testnet.NewPod(t, "friend", otherAddr)
	foe := testnet.NewPod(t, "foe", netip.MustParseAddr(foeAddr))
	balanced := func(change func(*v1.Service)) {
		s := webService(func(s *v1.Service) {
			s.Spec.Type = v1.ServiceTypeLoadBalancer
			s.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{
				{IP: "127.77.0.1", IPMode: new(v1.LoadBalancerIPModeProxy)}, {IP: vip, IPMode: new(v1.LoadBalancerIPModeVIP)},
			}
			if change != nil {
				change(s)
			}
		})
		r.service(s)
	}
	web := func(p *testnet.Pod) func() string { return func() string { return get(p, at(vip, "80")) } }
	balanced(nil)
	until(t, "refused", web(friend))
	r.slice(ep{addr: webA})
	until(t, "a "+otherAddr.String(), web(friend))
	until(t, "a "+foeAddr, web(foe))
	until(t, "a "+clientIP.String(), web(r.client))
	if _, _, ok := r.proxy.Service(netip.MustParseAddr("127.77.0.1"), 80, protoTCP); ok {
		t.Error("the host's address is translated")
	}

	balanced(func(s *v1.Service) {
		s.Spec.LoadBalancerSourceRanges = []string{of("192.168.77.0/24", "fd00:77::/64"), podCIDR.String()}
	})
	until(t, "timeout", web(foe))
	until(t, "a "+otherAddr.String(), web(friend))
	until(t, "a "+clientIP.String(), web(r.client))
	until(t, "a "+clientIP.String(), func() string { return get(r.client, at(clusterIP, "80")) })
	balanced(nil)
	until(t, "a "+foeAddr, web(foe))
}

// TestHealthCheckNodePort tells load balancers whether the node has endpoints.
func TestHealthCheckNodePort(t *testing.T) {
	r := newRig(t, nil)
	outsider := testnet.NewPod(t, "other", otherAddr)
	local := func(s *v1.Service) {
		s.Spec.Type = v1.ServiceTypeLoadBalancer
		s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = v1.ServiceExternalTrafficPolicyLocal, 31234
	}
	health := func() string {
		c, err := outsider.Dial(net.Dialer{Timeout: 300 * time.Millisecond}, "tcp", at(nodeAddr.String(), "31234"))
		if err != nil {
			return "refused"
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(plenty))
		fmt.Fprintf(c, "GET /healthz HTTP/1.0\r\n\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.TrimSpace(line)
	}
	r.service(webService(local))
	until(t, "HTTP/1.0 503 Service Unavailable", health)
	r.slice(ep{addr: webA})
	until(t, "HTTP/1.0 200 OK", health)
	r.slice(ep{addr: webA, stopping: true, serving: true}, ep{addr: webB, node: "far"})
	until(t, "HTTP/1.0 503 Service Unavailable", health)
	r.service(webService(nil))
	until(t, "refused", health)
}

// TestAffinityEnds after its time: the client is then sent anywhere.
func TestAffinityEnds(t *testing.T) {
	r := newRig(t, nil)
	sticky := func(s *v1.Service) {
		seconds := int32(1)
		s.Spec.SessionAffinity = v1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &v1.SessionAffinityConfig{ClientIP: &v1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	r.service(webService(sticky))
	r.slice(ep{addr: webA})
	web := func() string { return get(r.client, at(clusterIP, "80")) }
	until(t, "a "+clientIP.String(), web)
	r.slice(ep{addr: webA}, ep{addr: webB})
	until(t, "b "+clientIP.String(), func() string {
		time.Sleep(1200 * time.Millisecond) // longer than the affinity, without renewing it
		return web()
	})
}
