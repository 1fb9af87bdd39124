package policy

import (
	"fmt"
	"slices"

	"github.com/cilium/cilium/pkg/policy/api"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
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

// typesPath is the place of a direction that a NetworkPolicy closes without a rule.
const typesPath = "spec.policyTypes"

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
			out = append(out, typesPath)
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

// clusterPolicyPaths does the same for the entries of a ClusterNetworkPolicy: one
// for each peer of a rule, with the questions for its names before it, and one for
// a rule without peers. A peer of a kind that is not known here allows nothing, so
// that an Accept has no entry of it.
func clusterPolicyPaths(cnp *policyv1alpha2.ClusterNetworkPolicy) []string {
	var out []string
	accepts := func(a policyv1alpha2.ClusterNetworkPolicyRuleAction) bool {
		return a != policyv1alpha2.ClusterNetworkPolicyRuleActionDeny && a != policyv1alpha2.ClusterNetworkPolicyRuleActionPass
	}
	for i, r := range cnp.Spec.Ingress {
		if len(r.From) == 0 {
			out = append(out, fmt.Sprintf("spec.ingress[%d]", i))
		}
		for j, p := range r.From {
			if p.Pods != nil || p.Namespaces != nil || !accepts(r.Action) {
				out = append(out, fmt.Sprintf("spec.ingress[%d].from[%d]", i, j))
			}
		}
	}
	for i, r := range cnp.Spec.Egress {
		if len(r.To) == 0 {
			out = append(out, fmt.Sprintf("spec.egress[%d]", i))
		}
		for j, p := range r.To {
			at := fmt.Sprintf("spec.egress[%d].to[%d]", i, j)
			known := p.Pods != nil || p.Namespaces != nil || p.Nodes != nil || p.Networks != nil
			if !known && p.DomainNames != nil {
				out, known = append(out, at), true
			}
			if known || !accepts(r.Action) {
				out = append(out, at)
			}
		}
	}
	return out
}
