package policy

import (
	"fmt"
	"slices"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/api"
)

// keepServed takes out of a policy what the datapath does not serve, so that
// what is left is closed there: an allow rule with such a part allows nothing, a
// deny rule with such a part denies every peer. It returns the paths of the
// parts. The policy is changed in place.
func keepServed(cnp *ciliumv2.CiliumNetworkPolicy) (refused []string) {
	if cnp.Spec != nil {
		fields := serveRule("spec", cnp.Spec)
		refused = append(refused, fields...)
		if cnp.Spec.NodeSelector.LabelSelector != nil && len(fields) > 0 && cnp.Namespace == "" {
			cnp.Spec = nil
		}
	}
	kept := cnp.Specs[:0:0]
	for i, rule := range cnp.Specs {
		fields := serveRule(fmt.Sprintf("specs[%d]", i), rule)
		refused = append(refused, fields...)
		if rule != nil && rule.NodeSelector.LabelSelector != nil && len(fields) > 0 && cnp.Namespace == "" {
			continue
		}
		kept = append(kept, rule)
	}
	cnp.Specs = kept
	if len(kept) == 0 {
		cnp.Specs = nil
	}
	return refused
}

func serveRule(at string, r *api.Rule) (refused []string) {
	if r == nil {
		return nil
	}
	if r.NodeSelector.LabelSelector != nil {
		// A host policy. Host traffic is not judged (Cilium's host firewall is
		// off too unless asked for), so there is nothing to close.
		return []string{at + ".nodeSelector"}
	}
	for i := range r.Ingress {
		in := &r.Ingress[i]
		p := fmt.Sprintf("%s.ingress[%d]", at, i)
		bad := peers(p, "from", in.FromGroups, in.FromNodes)
		bad = append(bad, authentication(p, in.Authentication)...)
		ports, fields := servePorts(p, in.ToPorts)
		refused = append(append(refused, bad...), fields...)
		if len(bad) > 0 || (len(fields) > 0 && len(ports) == 0) {
			*in = api.IngressRule{}
		} else {
			in.ToPorts = ports
		}
	}
	for i := range r.Egress {
		out := &r.Egress[i]
		p := fmt.Sprintf("%s.egress[%d]", at, i)
		bad := peers(p, "to", out.ToGroups, out.ToNodes)
		bad = append(bad, authentication(p, out.Authentication)...)
		ports, fields := servePorts(p, out.ToPorts)
		refused = append(append(refused, bad...), fields...)
		if len(bad) > 0 || (len(fields) > 0 && len(ports) == 0) {
			*out = api.EgressRule{}
		} else {
			out.ToPorts = ports
		}
	}
	for i := range r.IngressDeny {
		in := &r.IngressDeny[i]
		if bad := peers(fmt.Sprintf("%s.ingressDeny[%d]", at, i), "from", in.FromGroups, in.FromNodes); len(bad) > 0 {
			refused = append(refused, bad...)
			in.IngressCommonRule = api.IngressCommonRule{FromEntities: api.EntitySlice{api.EntityAll}}
		}
	}
	for i := range r.EgressDeny {
		out := &r.EgressDeny[i]
		p := fmt.Sprintf("%s.egressDeny[%d]", at, i)
		if bad := peers(p, "to", out.ToGroups, out.ToNodes); len(bad) > 0 {
			refused = append(refused, bad...)
			out.EgressCommonRule = api.EgressCommonRule{ToEntities: api.EntitySlice{api.EntityAll}}
		}
	}
	return refused
}

func peers(at, side string, groups []api.Groups, nodes []api.EndpointSelector) (bad []string) {
	if len(groups) > 0 {
		bad = append(bad, at+"."+side+"Groups")
	}
	if nodes != nil {
		bad = append(bad, at+"."+side+"Nodes")
	}
	return bad
}

func authentication(at string, a *api.Authentication) []string {
	if a == nil || a.Mode == api.AuthenticationModeDisabled {
		return nil
	}
	return []string{at + ".authentication"}
}

// servePorts drops port rules that only Envoy could serve.
func servePorts(at string, ports api.PortRules) (kept api.PortRules, bad []string) {
	if len(ports) == 0 {
		return ports, nil
	}
	for i := range ports {
		pr := &ports[i]
		p := fmt.Sprintf("%s.toPorts[%d]", at, i)
		n := len(bad)
		if pr.TerminatingTLS != nil {
			bad = append(bad, p+".terminatingTLS")
		}
		if pr.OriginatingTLS != nil {
			bad = append(bad, p+".originatingTLS")
		}
		if pr.Listener != nil {
			bad = append(bad, p+".listener")
		}
		if len(bad) == n {
			kept = append(kept, *pr)
		}
	}
	return slices.Clip(kept), bad
}
