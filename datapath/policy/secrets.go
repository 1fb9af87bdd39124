package policy

import (
	"slices"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/api"
)

// SetSecret tells the engine what a Secret holds.
func (e *Engine) SetSecret(namespace, name string, data map[string][]byte) {
	e.secrets.Set(namespace, name, data)
}

// DeleteSecret tells the engine that a Secret is gone: no header has its value then.
func (e *Engine) DeleteSecret(namespace, name string) {
	e.secrets.Delete(namespace, name)
}

// NamesSecrets says whether a policy compares headers with Secrets: only then does
// the engine ask for SetSecret.
func NamesSecrets(cnp *ciliumv2.CiliumNetworkPolicy) bool {
	names := func(ports api.PortRules) bool {
		return slices.ContainsFunc(ports, func(p api.PortRule) bool {
			return p.Rules != nil && slices.ContainsFunc(p.Rules.HTTP, func(h api.PortRuleHTTP) bool {
				return slices.ContainsFunc(h.HeaderMatches, func(m *api.HeaderMatch) bool { return m != nil && m.Secret != nil })
			})
		})
	}
	return slices.ContainsFunc(specsOf(cnp), func(r *api.Rule) bool {
		return slices.ContainsFunc(r.Ingress, func(in api.IngressRule) bool { return names(in.ToPorts) }) ||
			slices.ContainsFunc(r.Egress, func(out api.EgressRule) bool { return names(out.ToPorts) })
	})
}
