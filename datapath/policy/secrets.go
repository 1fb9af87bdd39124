package policy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/api"
)

// secrets holds the values of Secrets that headerMatches compare with. Cilium's
// translation names a Secret and leaves its value to Envoy, as it does with the
// chart's default tls.secretSync; so a rule holds a place whose value changes
// without a policy being computed anew.
type secrets struct {
	mu     sync.Mutex
	places map[string]*secretValue // by namespace/name
}

// secretValue is what a Secret holds now; nil when there is no such Secret, or no
// single value in it.
type secretValue = atomic.Pointer[string]

func (s *secrets) place(name string) *secretValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places == nil {
		s.places = map[string]*secretValue{}
	}
	v, ok := s.places[name]
	if !ok {
		v = &secretValue{}
		s.places[name] = v
	}
	return v
}

// GetSecretString is part of Cilium's SecretManager: no value, so that the rule
// names the Secret.
func (s *secrets) GetSecretString(context.Context, *api.Secret, string) (string, error) {
	return "", nil
}

// PolicySecretSyncEnabled is part of Cilium's SecretManager.
func (s *secrets) PolicySecretSyncEnabled() bool { return true }

// SecretsOnlyFromSecretsNamespace is part of Cilium's SecretManager.
func (s *secrets) SecretsOnlyFromSecretsNamespace() bool { return false }

// GetSecretSyncNamespace is part of Cilium's SecretManager. Rules name a Secret
// where it stands, not a copy.
func (s *secrets) GetSecretSyncNamespace() string { return "" }

// SetSecret tells the engine what a Secret holds.
func (e *Engine) SetSecret(namespace, name string, data map[string][]byte) {
	e.secrets.place(namespace + "/" + name).Store(headerSecret(data))
}

// DeleteSecret forgets a Secret: no header is as it wants any more.
func (e *Engine) DeleteSecret(namespace, name string) {
	e.secrets.place(namespace + "/" + name).Store(nil)
}

// headerSecret is the value that Envoy gets of a Secret as a generic one: that of
// the key generic, or of the only key, unless the keys make it another kind
// (k8sToEnvoySecret in Cilium's pkg/envoy/secretsync.go).
func headerSecret(data map[string][]byte) *string {
	taken := func(key string) bool { return len(data[key]) > 0 }
	if slices.ContainsFunc([]string{"tls.crt", "tls.key", "ca.crt", "tls.sessionticket.key"}, taken) {
		return nil
	}
	if taken("generic") {
		value := string(data["generic"])
		return &value
	}
	if len(data) != 1 {
		return nil
	}
	for _, v := range data {
		value := string(v)
		return &value
	}
	return nil
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
