package offline

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

// envDual makes a process of tests one of both families, which the engine has by the
// process.
const envDual = "NETDOJO_TEST_DUAL"

const shop6 = shop + `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web-six, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toCIDRSet: [{cidr: "::/0", except: ["2001:db8:bad::/48"]}]
  - icmps: [{fields: [{family: IPv6, type: EchoRequest}]}]
---
apiVersion: v1
kind: Service
metadata: {name: both, namespace: shop}
spec: {ipFamilyPolicy: PreferDualStack, selector: {app: db}, ports: [{port: 80, targetPort: sql}]}
---
apiVersion: v1
kind: Service
metadata: {name: six, namespace: shop}
spec: {ipFamilies: [IPv6], selector: {app: db}, ports: [{port: 80, targetPort: sql}]}
`

// TestFamilies: files that speak of IPv6 are answered as a cluster of both families
// answers. It does so in a process of its own.
func TestFamilies(t *testing.T) {
	if os.Getenv(envDual) == "" {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestFamilies$", "-test.v")
		cmd.Env = append(os.Environ(), envDual+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFamilies/")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const both = "IPv4 and IPv6"
	for name, tc := range map[string]struct {
		to, port, proto string
		want            []string // each connection's families, outcome and reason
	}{
		"pods are one":              {"db", "5432", "", []string{both + " allowed allow-rule"}},
		"an address in the CIDR":    {"2001:db8::1", "443", "", []string{"IPv6 allowed allow-rule"}},
		"one that is left out":      {"2001:db8:bad::1", "443", "", []string{"IPv6 denied default-deny"}},
		"a CIDR":                    {"2001:db8:bad::/48", "443", "", []string{"IPv6 denied default-deny"}},
		"an address of IPv4":        {"44.0.0.1", "443", "", []string{"IPv4 denied default-deny"}},
		"the outside":               {"world", "443", "", []string{"IPv4 denied default-deny", "IPv6 allowed allow-rule"}},
		"a name that no rule names": {"cilium.io", "443", "", []string{"IPv4 denied default-deny", "IPv6 allowed allow-rule"}},
		"a ping that one end lets":  {"db", "", "ICMPv6", []string{"IPv6 denied default-deny"}},
		"a Service of both":         {"svc/both", "", "", []string{both + " allowed allow-rule"}},
		"a Service of IPv6":         {"svc/six", "", "", []string{"IPv6 allowed allow-rule"}},
		"a Service of neither word": {"svc/db", "", "", []string{"IPv4 allowed allow-rule"}},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := Answer(t.Context(), control.Offline{
				Files:   []control.File{{Name: "shop.yaml", Data: []byte(shop6)}},
				Explain: &explain.Request{From: "deploy/web", To: tc.to, Port: tc.port, Protocol: tc.proto, Namespace: "shop"},
			})
			if err != nil || res.Fault != nil {
				t.Fatalf("%v %+v", err, res.Fault)
			}
			var got []string
			for _, c := range res.Answer.Connections {
				got = append(got, explain.FamiliesText(c.Families)+" "+string(c.Outcome)+" "+string(c.Reason))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if !strings.Contains(strings.Join(res.Answer.Notes, "\n"), "both families") {
				t.Errorf("notes: %q", res.Answer.Notes)
			}
		})
	}
}
