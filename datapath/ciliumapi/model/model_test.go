package model

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/cilium/api/v1/models"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	addrA = netip.MustParseAddr("10.244.0.10")
	addrB = netip.MustParseAddr("10.244.0.11")
)

// twoPods is an engine that knows the pods a and b, each with its name as the label app.
func twoPods(t *testing.T) Engine {
	t.Helper()
	e, err := policy.New(t.Context(), policy.Config{
		NodeName: "node", NodeAddrs: []netip.Addr{netip.MustParseAddr("192.168.77.2")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, GCInterval: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	for name, addr := range map[string]netip.Addr{"a": addrA, "b": addrB} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID("u-" + name), Labels: map[string]string{"app": name},
		}}
		if _, err := e.SetPod(t.Context(), pod, addr); err != nil {
			t.Fatal(err)
		}
	}
	return Engine{Policy: e}
}

func apply(t *testing.T, e Engine, doc string) {
	t.Helper()
	cnp := &ciliumv2.CiliumNetworkPolicy{}
	if err := errors.Join(yaml.Unmarshal([]byte(doc), cnp), e.Policy.SetCiliumPolicy(t.Context(), cnp, false)); err != nil {
		t.Fatal(err)
	}
}

// TestModels: what cilium-dbg would print follows from what was put in.
func TestModels(t *testing.T) {
	e := twoPods(t)
	find := func(pod string) *models.Endpoint {
		t.Helper()
		for _, m := range e.EndpointModels() {
			if m.Status.ExternalIdentifiers.K8sPodName == pod {
				return m
			}
		}
		t.Fatalf("no endpoint of pod %s", pod)
		return nil
	}
	if got := find("a").Status.Policy.Realized.PolicyEnabled; got != models.EndpointPolicyEnabledNone {
		t.Errorf("without a policy: %s", got)
	}
	apply(t, e, `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: fqdn, namespace: default, uid: u-fqdn, generation: 3}
spec:
  endpointSelector: {matchLabels: {app: a}}
  egress:
  - toFQDNs: [{matchName: kubernetes.io}]
`)
	answer := verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{netip.MustParseAddr("147.75.40.1")}, TTL: time.Minute}
	if err := e.Policy.LearnDNS(t.Context(), addrA, answer); err != nil {
		t.Fatal(err)
	}

	a, b := find("a"), find("b")
	p := a.Status.Policy.Realized
	if p.PolicyEnabled != models.EndpointPolicyEnabledEgress || b.Status.Policy.Realized.PolicyEnabled != models.EndpointPolicyEnabledNone {
		t.Errorf("enforced: a %s, b %s", p.PolicyEnabled, b.Status.Policy.Realized.PolicyEnabled)
	}
	if p.PolicyRevision != int64(e.Policy.Revision()) || len(p.L4.Egress) != 1 {
		t.Errorf("policy of a: %+v", p)
	}
	// `cilium-dbg policy wait` wants it of all, also of those that no policy selects.
	if got := b.Status.Policy.Realized.PolicyRevision; got != int64(e.Policy.Revision()) {
		t.Errorf("b is at revision %d of %d", got, e.Policy.Revision())
	}
	if a.Status.Networking.Addressing[0].IPv4 != addrA.String() || !slices.Contains(a.Status.Labels.SecurityRelevant, "k8s:app=a") {
		t.Errorf("endpoint a: %+v", a.Status)
	}
	for prefix, id := range map[string]string{"ipv4": "10.244.0.10", "cep-name": "default/a", "cilium-local": "nothing"} {
		number, ok := e.EndpointID(prefix, id)
		if want := prefix != "cilium-local"; ok != want || want && int64(number) != a.ID {
			t.Errorf("%s:%s is %d, %v", prefix, id, number, ok)
		}
	}

	lookups := e.LookupModels()
	if len(lookups) != 1 || lookups[0].Fqdn != "kubernetes.io." || lookups[0].EndpointID != a.ID || lookups[0].TTL != 60 ||
		!slices.Equal(lookups[0].Ips, []string{"147.75.40.1"}) {
		t.Errorf("DNS %+v", lookups)
	}
	if names := e.NameModel().FQDNPolicySelectors; len(names) != 1 || !strings.Contains(names[0].SelectorString, "kubernetes.io") {
		t.Errorf("names %+v", names)
	}

	// The address that DNS gave has an identity of its own, which the selector
	// selects and the endpoint's policy allows.
	var learned int64
	for _, m := range e.AddressModels() {
		if *m.Cidr == "0.0.0.0/0" && *m.Identity != 2 {
			t.Errorf("the world is %d", *m.Identity)
		}
		if *m.Cidr == "147.75.40.1/32" {
			learned = *m.Identity
		}
	}
	if learned == 0 || !slices.Contains(p.AllowedEgressIdentities, learned) {
		t.Errorf("identity %d of the learned address, allowed %v", learned, p.AllowedEgressIdentities)
	}
	if !slices.ContainsFunc(e.SelectorModels(false), func(m *models.SelectorIdentityMapping) bool {
		return strings.Contains(m.Selector, "kubernetes.io") && slices.Contains(m.Identities, learned)
	}) {
		t.Errorf("selectors do not select %d", learned)
	}
	if subjects := e.SelectorModels(true); !slices.ContainsFunc(subjects, func(m *models.SelectorIdentityMapping) bool {
		return slices.Contains(m.Identities, a.Status.Identity.ID)
	}) {
		t.Errorf("no subject selector selects %d", a.Status.Identity.ID)
	}
	ids := e.IdentityModels()
	if !slices.IsSortedFunc(ids, func(x, y *models.Identity) int { return int(x.ID - y.ID) }) {
		t.Error("identities are not sorted")
	}
	for _, want := range []int64{1, 2, a.Status.Identity.ID, learned} {
		if !slices.ContainsFunc(ids, func(m *models.Identity) bool { return m.ID == want }) {
			t.Errorf("identity %d is not listed", want)
		}
	}
	if m := e.IdentityModel(a.Status.Identity.Labels); m == nil || m.ID != a.Status.Identity.ID {
		t.Errorf("the identity of %v is %v", a.Status.Identity.Labels, m)
	}
	if m := e.IdentityModel([]string{"k8s:app=nobody"}); m != nil {
		t.Errorf("an identity that nobody has: %v", m)
	}
	if users := e.IdentityUsers(); len(users) != 2 || users[0].RefCount != 1 {
		t.Errorf("users %+v", users)
	}
	if m := e.PolicyModel(); m.Revision != int64(e.Policy.Revision()) || !strings.Contains(m.Policy, "io.cilium.k8s.policy.name") {
		t.Errorf("policy at %d: %s", m.Revision, m.Policy)
	}
}

// TestProxied: what proxies saw stands with the endpoint whose policy they asked, and a
// redirect that nobody used stands there with zeros.
func TestProxied(t *testing.T) {
	e := twoPods(t)
	apply(t, e, `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: http, namespace: default, uid: u-http, generation: 1}
spec:
  endpointSelector: {matchLabels: {app: b}}
  ingress:
  - toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [{method: GET}]}}]
  - toPorts: [{ports: [{port: "9090", protocol: TCP}], rules: {http: [{method: GET}]}}]
`)
	of := func(pod string) []*models.ProxyStatistics {
		for _, m := range e.EndpointModels() {
			if m.Status.ExternalIdentifiers.K8sPodName == pod {
				return m.Status.Policy.ProxyStatistics
			}
		}
		return nil
	}
	ev := verdict.Event{
		Query:   verdict.Query{Src: addrA, Dst: addrB, Proto: 6, DstPort: 8080},
		Verdict: verdict.Verdict{Action: verdict.Allow, Direction: verdict.Ingress}, HTTP: &verdict.HTTP{},
	}
	e.Policy.CountProxied(ev)
	ev.HTTP = &verdict.HTTP{Response: true, Code: 200}
	e.Policy.CountProxied(ev)
	ev.HTTP, ev.Action = &verdict.HTTP{}, verdict.Drop
	e.Policy.CountProxied(ev)
	ev.HTTP = nil
	e.Policy.CountProxied(ev) // no proxy saw it

	got := of("b")
	if len(got) != 2 || len(of("a")) != 0 {
		t.Fatalf("b has %+v, a %+v", got, of("a"))
	}
	used, unused := got[0], got[1]
	want := models.MessageForwardingStatistics{Received: 2, Forwarded: 1, Denied: 1}
	if used.Port != 8080 || used.Protocol != "http" || used.Location != models.ProxyStatisticsLocationIngress ||
		*used.Statistics.Requests != want || *used.Statistics.Responses != (models.MessageForwardingStatistics{Received: 1, Forwarded: 1}) {
		t.Errorf("%+v, requests %+v, responses %+v", used, used.Statistics.Requests, used.Statistics.Responses)
	}
	if unused.Port != 9090 || *unused.Statistics.Requests != (models.MessageForwardingStatistics{}) {
		t.Errorf("%+v", unused)
	}
}
