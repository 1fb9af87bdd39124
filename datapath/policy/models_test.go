package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/cilium/api/v1/models"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// TestModels: what cilium-dbg would print follows from what was put in.
func TestModels(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
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
	apply(t, e, fqdnPolicy)
	answer := verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{netip.MustParseAddr("147.75.40.1")}, TTL: time.Minute}
	if err := e.LearnDNS(t.Context(), addrA, answer); err != nil {
		t.Fatal(err)
	}

	a, b := find("a"), find("b")
	p := a.Status.Policy.Realized
	if p.PolicyEnabled != models.EndpointPolicyEnabledEgress || b.Status.Policy.Realized.PolicyEnabled != models.EndpointPolicyEnabledNone {
		t.Errorf("enforced: a %s, b %s", p.PolicyEnabled, b.Status.Policy.Realized.PolicyEnabled)
	}
	if p.PolicyRevision != int64(e.Revision()) || len(p.L4.Egress) != 1 {
		t.Errorf("policy of a: %+v", p)
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
	if m := e.PolicyModel(); m.Revision != int64(e.Revision()) || !strings.Contains(m.Policy, "io.cilium.k8s.policy.name") {
		t.Errorf("policy at %d: %s", m.Revision, m.Policy)
	}
}
