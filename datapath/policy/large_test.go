//go:build !race

package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// largeWorld is an engine with a pod, and what the pod may do.
func largeWorld(t *testing.T) (e *Engine, allows func(dst netip.Addr, port uint16) bool) {
	t.Helper()
	e = newEngine(t)
	if err := e.SetNamespace(t.Context(), "default", nil); err != nil {
		t.Fatal(err)
	}
	pod := netip.MustParseAddr("10.244.0.10")
	p := makePod("default", "a")
	p.Labels["app"] = "a"
	if _, err := e.SetPod(t.Context(), p, pod); err != nil {
		t.Fatal(err)
	}
	return e, func(dst netip.Addr, port uint16) bool {
		return e.Decide(verdict.Query{Src: pod, Dst: dst, Proto: protoTCP, SrcPort: 4000, DstPort: port}).Action == verdict.Allow
	}
}

// nth is the n-th network of 24 bits from 20.0.0.0 on.
func nth(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{20 + byte(n>>16), byte(n >> 8), byte(n), 0}), 24)
}

func emptyPolicy(t *testing.T, section string) *ciliumv2.CiliumNetworkPolicy {
	t.Helper()
	cnp := &ciliumv2.CiliumNetworkPolicy{}
	text := "metadata: {name: large, namespace: default}\nspec: {endpointSelector: {matchLabels: {app: a}}, " + section + "}"
	if err := yaml.Unmarshal([]byte(text), cnp); err != nil {
		t.Fatal(err)
	}
	return cnp
}

// Networks and ports are told apart, so that rules do not fall together. What each
// network costs is Cilium's: it holds each selector of CIDRs against each identity.
func TestTenThousandRules(t *testing.T) {
	const rules, networks = 10_000, 200
	e, allows := largeWorld(t)
	cnp := emptyPolicy(t, "egress: [{}]")
	cnp.Spec.Egress = nil
	for i := range rules {
		cnp.Spec.Egress = append(cnp.Spec.Egress, api.EgressRule{
			EgressCommonRule: api.EgressCommonRule{ToCIDR: api.CIDRSlice{api.CIDR(nth(i % networks).String())}},
			ToPorts:          api.PortRules{{Ports: []api.PortProtocol{{Port: fmt.Sprint(1000 + 2*(i/networks)), Protocol: api.ProtoTCP}}}},
		})
	}
	if err := e.SetCiliumPolicy(t.Context(), cnp, false); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 4711, rules - 1} {
		dst := nth(i % networks).Addr().Next()
		if port := uint16(1000 + 2*(i/networks)); !allows(dst, port) || allows(dst, port+1) {
			t.Errorf("rule %d is not what connections are judged by", i)
		}
	}
	if allows(nth(networks).Addr(), 1000) {
		t.Error("an address that is in no rule is allowed")
	}
}

func TestHundredThousandCIDRs(t *testing.T) {
	const prefixes = 100_000
	e, allows := largeWorld(t)
	if err := e.SetCiliumPolicy(t.Context(), emptyPolicy(t, "egress: [{toCIDRSet: [{cidrGroupRef: large}]}]"), false); err != nil {
		t.Fatal(err)
	}
	group := &ciliumv2.CiliumCIDRGroup{ObjectMeta: metav1.ObjectMeta{Name: "large"}}
	for i := range prefixes {
		group.Spec.ExternalCIDRs = append(group.Spec.ExternalCIDRs, api.CIDR(nth(i).String()))
	}
	if err := e.SetCIDRGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 65_536, prefixes - 1} {
		if !allows(nth(i).Addr().Next(), 80) {
			t.Errorf("prefix %d is not allowed", i)
		}
	}
	if allows(nth(prefixes).Addr(), 80) {
		t.Error("an address that is in no prefix is allowed")
	}
	if err := e.DeleteCIDRGroup(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	if allows(nth(0).Addr(), 80) {
		t.Error("a prefix outlives its group")
	}
}

func TestThousandAddressesOfAName(t *testing.T) {
	e, allows := largeWorld(t)
	if err := e.SetCiliumPolicy(t.Context(), emptyPolicy(t, "egress: [{toFQDNs: [{matchName: many.example}]}]"), false); err != nil {
		t.Fatal(err)
	}
	var addrs []netip.Addr
	for i := range 1000 {
		addrs = append(addrs, nth(i).Addr())
	}
	pod := netip.MustParseAddr("10.244.0.10")
	if err := e.LearnDNS(t.Context(), pod, verdict.Answer{Name: "many.example.", Addrs: addrs, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if !allows(a, 443) {
			t.Fatalf("%s is an address of the name, and denied", a)
		}
	}
	if allows(nth(1000).Addr(), 443) {
		t.Error("an address that the name never had is allowed")
	}
}

// TestIdentitiesUsedUp: a pod that no number is left for is reached by nobody and
// reaches nobody, and comes in when a number is free.
func TestIdentitiesUsedUp(t *testing.T) {
	e, _ := largeWorld(t)
	var last []labels.Labels
	for i := 0; ; i++ {
		lbls := labels.NewLabelsFromSortedList(fmt.Sprintf("k8s:n=%d;", i))
		if _, _, err := e.ids.acquire(lbls); err != nil {
			break
		}
		last = append(last[:0], lbls)
	}
	one, addr := makePod("default", "late"), netip.MustParseAddr("10.244.0.11")
	one.Labels["app"] = "late"
	if _, err := e.SetPod(t.Context(), one, addr); !errors.Is(err, errIdentitiesUsedUp) {
		t.Fatalf("a pod without a number: %v", err)
	}
	for _, q := range []verdict.Query{
		{Src: addr, Dst: netip.MustParseAddr("20.0.0.1"), Proto: protoTCP, DstPort: 80},
		{Src: netip.MustParseAddr("10.244.0.10"), Dst: addr, Proto: protoTCP, DstPort: 80},
	} {
		if v := e.Decide(q); v.Action != verdict.Drop {
			t.Errorf("%v → %v: %+v", q.Src, q.Dst, v)
		}
	}
	id, _, err := e.ids.acquire(last[0])
	if err != nil {
		t.Fatal(err)
	}
	e.ids.release(id.ID, id.ID)
	if _, err := e.SetPod(t.Context(), one, addr); err != nil {
		t.Fatalf("with a number free: %v", err)
	}
	if v := e.Decide(verdict.Query{Src: addr, Dst: netip.MustParseAddr("20.0.0.1"), Proto: protoTCP, DstPort: 80}); v.Action != verdict.Allow {
		t.Errorf("the pod that came in: %+v", v)
	}
}
