package policy

import (
	"testing"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// TestMatch: a verdict tells by which parts of a rule it matched, in the words of
// Cilium's monitor.
func TestMatch(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	toB := verdict.Query{Src: addrA, Dst: addrB, Proto: 6, SrcPort: 40000, DstPort: 8080}
	if got := e.Match(toB, verdict.Egress).String(); got != "all" {
		t.Errorf("without a policy: %s", got)
	}
	for name, tc := range map[string]struct{ egress, want string }{
		"nothing":                         {`[{}]`, "none"},
		"another port":                    {`[{toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]`, "none"},
		"a peer":                          {`[{toEndpoints: [{matchLabels: {app: b}}]}]`, "L3-Only"},
		"a peer and a port":               {`[{toEndpoints: [{matchLabels: {app: b}}], toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]`, "L3-L4"},
		"a peer and a range of ports":     {`[{toEndpoints: [{matchLabels: {app: b}}], toPorts: [{ports: [{port: "8000", endPort: 8100, protocol: TCP}]}]}]`, "L3-L4"},
		"a peer and a protocol":           {`[{toEndpoints: [{matchLabels: {app: b}}], toPorts: [{ports: [{port: "0", protocol: TCP}]}]}]`, "L3-Proto"},
		"a port":                          {`[{toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]`, "L4-Only"},
		"a protocol":                      {`[{toPorts: [{ports: [{port: "0", protocol: TCP}]}]}]`, "Proto-Only"},
		"everything":                      {`[{toEntities: [all]}]`, "all"},
		"a port before its peer":          {`[{toEndpoints: [{matchLabels: {app: b}}]}, {toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]`, "L4-Only"},
		"a peer with a port before all":   {`[{toEntities: [all]}, {toEndpoints: [{matchLabels: {app: b}}], toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]`, "L3-L4"},
		"a peer's denial before a port's": {`[{toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}], egressDeny: [{toEndpoints: [{matchLabels: {app: b}}]}]`, "L3-Only"},
	} {
		t.Run(name, func(t *testing.T) {
			apply(t, e, `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: match, namespace: default, uid: u-match, generation: 1}
spec: {endpointSelector: {matchLabels: {app: a}}, egress: `+tc.egress+`}
`)
			if got := e.Match(toB, verdict.Egress).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := e.Match(toB, verdict.Ingress).String(); got != "all" {
				t.Errorf("the other side, which no policy selects: %s", got)
			}
		})
	}
}
