package l7

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/cilium/pkg/policy/api"
)

// Secrets holds the values of Secrets that headerMatches compare with. Cilium's
// translation names a Secret and leaves its value to Envoy, as it does with the
// chart's default tls.secretSync; so a rule holds a place whose value changes
// without a policy being computed anew.
type Secrets struct {
	mu     sync.Mutex
	places map[string]*secretValue // by namespace/name
}

// secretValue is what a Secret holds now; nil when there is no such Secret, or no
// single value in it.
type secretValue = atomic.Pointer[string]

func (s *Secrets) place(name string) *secretValue {
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
func (s *Secrets) GetSecretString(context.Context, *api.Secret, string) (string, error) {
	return "", nil
}

// PolicySecretSyncEnabled is part of Cilium's SecretManager.
func (s *Secrets) PolicySecretSyncEnabled() bool { return true }

// SecretsOnlyFromSecretsNamespace is part of Cilium's SecretManager.
func (s *Secrets) SecretsOnlyFromSecretsNamespace() bool { return false }

// GetSecretSyncNamespace is part of Cilium's SecretManager. Rules name a Secret
// where it stands, not a copy.
func (s *Secrets) GetSecretSyncNamespace() string { return "" }

// Set tells what a Secret holds.
func (s *Secrets) Set(namespace, name string, data map[string][]byte) {
	s.place(namespace + "/" + name).Store(headerSecret(data))
}

// Delete forgets a Secret: no header has its value any more.
func (s *Secrets) Delete(namespace, name string) { s.place(namespace + "/" + name).Store(nil) }

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
