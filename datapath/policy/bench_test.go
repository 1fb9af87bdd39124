package policy

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// crowd has n pods, each with a label of its own, and m policies.
func crowd(b testing.TB, e *Engine, pods, policies int) {
	b.Helper()
	for i := range pods {
		p := makePod("default", fmt.Sprintf("p%d", i))
		p.Labels["app"] = fmt.Sprintf("app%d", i)
		if _, err := e.SetPod(b.Context(), p, netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)})); err != nil {
			b.Fatal(err)
		}
	}
	for i := range policies {
		apply(b, e, policyDoc(i, 80))
	}
}

func policyDoc(i, port int) string {
	return fmt.Sprintf(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p%d, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: app%d}}
  egress:
  - toEndpoints: [{matchLabels: {app: app%d}}]
    toPorts: [{ports: [{port: "%d", protocol: TCP}]}]
  - toCIDR: [20.%d.0.0/16]
`, i, i, i+1, port, i%256)
}

func BenchmarkDecide(b *testing.B) {
	e := newEngine(b)
	crowd(b, e, 100, 50)
	pod := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 0, i}) }
	for name, q := range map[string]verdict.Query{
		"pod-allowed":   {Src: pod(1), Dst: pod(2), Proto: 6, DstPort: 80},
		"pod-denied":    {Src: pod(1), Dst: pod(3), Proto: 6, DstPort: 80},
		"world-allowed": {Src: pod(1), Dst: netip.MustParseAddr("20.1.2.3"), Proto: 6, DstPort: 443},
		"world-denied":  {Src: pod(1), Dst: netip.MustParseAddr("21.1.2.3"), Proto: 6, DstPort: 443},
		"unselected":    {Src: pod(90), Dst: pod(91), Proto: 6, DstPort: 80},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(q)
			}
		})
	}
}

func BenchmarkPolicyUpdate(b *testing.B) {
	e := newEngine(b)
	crowd(b, e, 100, 50)
	cnp := [2]*ciliumv2.CiliumNetworkPolicy{{}, {}}
	for i, port := range []int{80, 81} {
		if err := yaml.Unmarshal([]byte(policyDoc(1, port)), cnp[i]); err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	for b.Loop() {
		if err := e.SetCiliumPolicy(b.Context(), cnp[i%2], false); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkLearnDNS(b *testing.B) {
	e := newEngine(b)
	twoPods(b, e)
	apply(b, e, fqdnPolicy)
	i := 0
	for b.Loop() {
		a := verdict.Answer{Name: "kubernetes.io.", TTL: time.Minute, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{80, byte(i >> 16), byte(i >> 8), byte(i)})}}
		if err := e.LearnDNS(b.Context(), addrA, a); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkSetPod(b *testing.B) {
	e := newEngine(b)
	crowd(b, e, 20, 20)
	p := makePod("default", "new")
	p.Labels["app"] = "app1"
	for b.Loop() {
		if _, err := e.SetPod(b.Context(), p, netip.MustParseAddr("10.244.9.9")); err != nil {
			b.Fatal(err)
		}
		e.RemovePod(b.Context(), string(p.UID))
	}
}
