package oracle_test

import (
	"math/rand/v2"
	"testing"

	"github.com/netdojo/netdojo/internal/oracle"
	"github.com/netdojo/netdojo/policies/lint"
)

// TestLintOfRandom judges random policies that Cilium's simulator takes. Nothing stands
// beside them, so that nothing is told of what they select; none is about names, which
// need a rule for DNS.
func TestLintOfRandom(t *testing.T) {
	r := &oracle.Random{Rand: rand.New(rand.NewPCG(1, 1)), Words: oracle.Words{
		Namespaces: []string{"default", "second"}, Labels: map[string][]string{"app": {"client", "server"}, "tier": {"front", "back"}},
		Teams: []string{"blue", "red"}, Accounts: []string{"default"}, Ports: []int{80, 443, 8080}, PortNames: []string{"http", "alt"},
		CIDRs: []string{"0.0.0.0/0", "10.244.0.0/16", "192.0.2.7/32"}, Groups: []string{"group"},
		Tiers: true,
	}}
	judged := 0
	for range 400 {
		text := r.Policy("random")
		w := &oracle.World{Namespaces: map[string]map[string]string{}}
		if w.SetPolicies([][]byte{text}) != nil {
			continue
		}
		judged++
		for _, p := range lint.Check(lint.Input{Files: []lint.File{{Name: "random.yaml", Data: text}}}).Problems {
			t.Errorf("%s (%s) %s\n%s", p, p.Cure, p.Code, text)
		}
	}
	if judged < 200 {
		t.Errorf("only %d policies were taken", judged)
	}
}
