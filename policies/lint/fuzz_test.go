package lint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/policies/lint"
)

// FuzzCheck judges hostile files by hostile workloads: what is told lies in the file
// and has a kind, and it does not take long.
func FuzzCheck(f *testing.F) {
	pods := "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a}}\nspec: {containers: [{ports: [{name: http, containerPort: 80}]}]}\n"
	for _, policy := range []string{
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec:\n  podSelector: {matchLabels: {app: b}}\n  ingress:\n  - from: [{ipBlock: {cidr: 1.2.3.4/99, except: [x]}}]\n    ports: [{port: 0, endPort: -1}]\n",
		"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}\nspec:\n  endpointSelector: {}\n  egress:\n  - toFQDNs: [{matchPattern: '*[('}]\n  - toEndpoints: [{matchExpressions: [{key: 'k8s:', operator: Of, values: {}}]}]\n    toPorts: [{ports: [{port: '70000'}], rules: {http: [{method: '(', path: ''}]}}]\n",
		"apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: x}\nspec: {tier: x, subject: {pods: {namespaceSelector: {}, podSelector: }}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 2, end: 1}}}}]}]}\n",
		"apiVersion: v1\nkind: List\nitems: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: x}, spec: }]\n",
		"a: &a {b: 1}\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: x}\nspec: {<<: *a, podSelector: *a}\n",
		"apiVersion: v1\nkind: Pod\nmetadata:\n   name: x\n  labels: 1\n- x\n",
		"\t\n--- |\n x\n",
	} {
		f.Add([]byte(policy), []byte(pods))
		f.Add([]byte(pods+"---\n"+policy), []byte(policy))
	}
	f.Fuzz(func(t *testing.T, policy, beside []byte) {
		if len(policy) > 1<<14 || len(beside) > 1<<14 {
			return
		}
		start := time.Now()
		r := lint.Check(lint.Input{
			Files: []lint.File{{Name: "x.yaml", Data: policy}}, Beside: lint.Read([]lint.File{{Name: "y.yaml", Data: beside}}),
		})
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		lines := 1
		for _, r := range string(policy) {
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", r) { // YAML's ends of lines
				lines++
			}
		}
		for _, p := range r.Problems {
			if p.File != "x.yaml" || p.Code == "" || p.Message == "" || p.Line < 0 || p.Line > lines+1 {
				t.Errorf("told %+v of a file of %d lines", p, lines)
			}
		}
	})
}
