package offline

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/manifests"
)

// speaking are the kinds of objects whose addresses tell of which families a cluster is.
var speaking = []string{
	"Service", "CiliumCIDRGroup", policy.KindNetworkPolicy, policy.KindClusterNetworkPolicy,
	policy.KindCiliumNetworkPolicy, policy.KindCiliumClusterwideNetworkPolicy,
}

// speaksIPv6 says whether a question or the objects speak of IPv6. Then they are of a
// cluster of both families; what speaks of IPv4 alone says the same of either kind.
func speaksIPv6(q control.Offline, objects []manifests.Object) bool {
	if x := q.Explain; x != nil && (ofIPv6(x.From) || ofIPv6(x.To) || ofIPv6(x.Protocol)) {
		return true
	}
	return slices.ContainsFunc(objects, func(o manifests.Object) bool {
		return slices.Contains(speaking, o.GetKind()) && (ofIPv6(o.Object["spec"]) || ofIPv6(o.Object["specs"]))
	})
}

// ofIPv6 says whether a value has an address, a range or a word of that family in it.
func ofIPv6(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), ofIPv6)
	case []any:
		return slices.ContainsFunc(v, ofIPv6)
	case string:
		switch v {
		case "IPv6", "ICMPv6", "icmpv6", "world-ipv4", "world-ipv6", string(corev1.IPFamilyPolicyRequireDualStack):
			return true
		}
		if p, err := netip.ParsePrefix(v); err == nil {
			return p.Addr().Is6()
		}
		a, err := netip.ParseAddr(v)
		return err == nil && a.Unmap().Is6()
	}
	return false
}

// addresses are where a Service is dialled, one a family; none where it is not.
func (c *cluster) addresses(s *corev1.Service) []netip.Addr {
	if s.Spec.ClusterIP == corev1.ClusterIPNone || s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var out []netip.Addr
	given := s.Spec.ClusterIPs
	if len(given) == 0 {
		given = []string{s.Spec.ClusterIP}
	}
	for _, text := range given {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a)
		}
	}
	if len(out) > 0 {
		return out
	}
	families := s.Spec.IPFamilies
	if len(families) == 0 {
		families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	if p := s.Spec.IPFamilyPolicy; p != nil && *p != corev1.IPFamilyPolicySingleStack {
		families = []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
	}
	for _, f := range families {
		switch {
		case f == corev1.IPv4Protocol:
			out = append(out, take(&c.nextSvc.V4))
		case c.nextSvc.V6.IsValid():
			out = append(out, take(&c.nextSvc.V6))
		}
	}
	return out
}

// take takes an address and leaves the next one.
func take(next *netip.Addr) netip.Addr {
	a := *next
	*next = a.Next()
	return a
}
