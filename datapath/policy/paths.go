package policy

import (
	"fmt"
	"slices"

	"github.com/cilium/cilium/pkg/policy/api"
	networkingv1 "k8s.io/api/networking/v1"
)

// rulePaths names the place in the object of each entry that Cilium makes of
// rules, in the order of its RulesToPolicyEntries. specs are the rules' own places.
func rulePaths(rules []*api.Rule, specs []string) []string {
	var out []string
	for i, r := range rules {
		for section, n := range [...]int{len(r.Ingress), len(r.IngressDeny), len(r.Egress), len(r.EgressDeny)} {
			for j := range n {
				out = append(out, fmt.Sprintf("%s.%s[%d]", specs[i], sectionNames[section], j))
			}
		}
	}
	return out
}

var sectionNames = [...]string{"ingress", "ingressDeny", "egress", "egressDeny"}

// networkPolicyPaths does the same for the entries of a NetworkPolicy: one for
// each peer of a rule, one for a rule without peers, and one for a direction that
// only its type names.
func networkPolicyPaths(np *networkingv1.NetworkPolicy) []string {
	var out []string
	side := func(name, peers string, counts []int, named bool) {
		for i, n := range counts {
			if n == 0 {
				out = append(out, fmt.Sprintf("spec.%s[%d]", name, i))
			}
			for j := range n {
				out = append(out, fmt.Sprintf("spec.%s[%d].%s[%d]", name, i, peers, j))
			}
		}
		if len(counts) == 0 && named {
			out = append(out, "spec.policyTypes")
		}
	}
	var from, to []int
	for _, r := range np.Spec.Ingress {
		from = append(from, len(r.From))
	}
	for _, r := range np.Spec.Egress {
		to = append(to, len(r.To))
	}
	has := func(t networkingv1.PolicyType) bool { return slices.Contains(np.Spec.PolicyTypes, t) }
	side("ingress", "from", from, has(networkingv1.PolicyTypeIngress) || !has(networkingv1.PolicyTypeEgress))
	side("egress", "to", to, has(networkingv1.PolicyTypeEgress))
	return out
}
