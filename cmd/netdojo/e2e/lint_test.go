//go:build linux

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/policies/lint"
)

// TestLintOfPolicies judges the policies of the table, which docs/parity.md tries,
// with nothing beside them and with the pods that they are tried on. Some of the
// table's policies are mistakes, which is what they try: those are told, and no
// other. Nothing runs.
func TestLintOfPolicies(t *testing.T) {
	pods, err := os.ReadFile("testdata/policy-pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	beside := lint.Read([]lint.File{{Name: "policy-pods.yaml", Data: pods}})
	mistakes := map[string]lint.Code{
		"default deny switched off":              lint.SelectsNothing,
		"cnp ingress port of the other protocol": lint.PortNotServed,
		// The probes dial addresses; whoever dials names could not.
		"cnp egress to labels":                      lint.NoDNS,
		"np egress to pods":                         lint.NoDNS,
		"cnp egress named port":                     lint.NoDNS,
		"cnp egress through a Service":              lint.NoDNS,
		"cnp egress default deny stops the API too": lint.NoDNS,
		"cnp egress UDP port":                       lint.NoDNS,
		"cnp egress TCP only, not UDP":              lint.NoDNS,
		"cnp egress HTTP method":                    lint.NoDNS,
	}
	for _, c := range slices.Concat(policyCases, tierCases) {
		text := strings.NewReplacer("{{world kubernetes.io}}", "192.0.2.1", "{{world cilium.io}}", "192.0.2.2").Replace(c.policy)
		file := lint.File{Name: c.name, Data: []byte(text)}
		for _, p := range lint.Check(lint.Input{Files: []lint.File{file}}).Problems {
			t.Errorf("alone: %s (%s) %s\n%s", p, p.Cure, p.Code, text)
		}
		for _, p := range lint.Check(lint.Input{Files: []lint.File{file}, Beside: beside}).Problems {
			if mistakes[c.name] == p.Code {
				delete(mistakes, c.name)
				continue
			}
			t.Errorf("with pods: %s (%s) %s\n%s", p, p.Cure, p.Code, text)
		}
	}
	for name, code := range mistakes {
		t.Errorf("%s: %s is not told", name, code)
	}
}
