package offline

import (
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

const library = `
{apiVersion: v1, kind: Namespace, metadata: {name: library}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: readers, labels: {team: readers}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: catalog, namespace: library, labels: {app: catalog}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: scanner, namespace: readers, labels: {app: scanner}}, spec: {containers: [{name: c, image: i}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: own, namespace: library, labels: {app: scanner}}, spec: {containers: [{name: c, image: i}]}}
`

// policyOf is the catalog's policy with these rules.
func policyOf(ingress string) []control.File {
	return []control.File{{Name: "p.yaml", Data: []byte(
		`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: library}, spec: {podSelector: {matchLabels: {app: catalog}}, policyTypes: [Ingress], ingress: ` + ingress + `}}`)}}
}

const both = `[{from: [{namespaceSelector: {matchLabels: {team: readers}}, podSelector: {matchLabels: {app: scanner}}}], ports: [{port: 8080}]}]`

func TestVariants(t *testing.T) {
	sets := map[string]struct {
		rules   string
		outcome explain.Outcome // readers/scanner to the catalog
		differs string          // a connection that is judged otherwise than by both; "" for none
		unseen  bool            // only pods that the files do not have
		first   bool            // differs comes first
	}{
		"the same in other words": {`[{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [readers]}]}, podSelector: {matchLabels: {app: scanner}}}], ports: [{port: 8080, protocol: TCP}]}]`, explain.Allowed, "", false, false},
		"nothing":                 {`[]`, explain.Denied, "readers/scanner library/catalog TCP 8080", false, true},
		"OR":                      {`[{from: [{namespaceSelector: {matchLabels: {team: readers}}}, {podSelector: {matchLabels: {app: scanner}}}], ports: [{port: 8080}]}]`, explain.Allowed, "library/own library/catalog TCP 8080", false, true},
		"all pods of the readers": {`[{from: [{namespaceSelector: {matchLabels: {team: readers}}}], ports: [{port: 8080}]}]`, explain.Allowed, "a pod of namespace readers", true, false},
		"every port":              {`[{from: [{namespaceSelector: {matchLabels: {team: readers}}, podSelector: {matchLabels: {app: scanner}}}]}]`, explain.Allowed, "readers/scanner library/catalog TCP 7", false, false},
		"UDP":                     {`[{from: [{namespaceSelector: {matchLabels: {team: readers}}, podSelector: {matchLabels: {app: scanner}}}], ports: [{port: 8080}, {port: 8080, protocol: UDP}]}]`, explain.Allowed, "readers/scanner library/catalog UDP 8080", false, true},
		"a range of the outside":  {`[{from: [{namespaceSelector: {matchLabels: {team: readers}}, podSelector: {matchLabels: {app: scanner}}}, {ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}], ports: [{port: 8080}]}]`, explain.Allowed, "203.0.113.0 library/catalog TCP 8080", false, false},
	}
	for name, tc := range sets {
		t.Run(name, func(t *testing.T) {
			res, err := Answer(t.Context(), control.Offline{
				Files: []control.File{{Name: "library.yaml", Data: []byte(library)}},
				Variants: &control.Variants{
					Sets: [][]control.File{policyOf(both), policyOf(tc.rules)}, Survey: true,
					Ask: []explain.Request{{Namespace: "readers", From: "app=scanner", To: "library/catalog", Port: "8080"}},
				},
			})
			if err != nil || res.Fault != nil {
				t.Fatal(err, res.Fault)
			}
			first, got := res.Variants[0], res.Variants[1]
			if first.Said[0].Outcome != explain.Allowed || got.Said[0].Outcome != tc.outcome {
				t.Errorf("outcomes are %v and %v", first.Said, got.Said)
			}
			if tc.first && len(got.Differs) > 0 && !strings.HasPrefix(got.Differs[0].From+" "+got.Differs[0].To+" "+got.Differs[0].What, tc.differs) {
				t.Errorf("the first that differs is %+v, want %q", got.Differs[0], tc.differs)
			}
			found := tc.differs == "" && len(got.Differs) == 0
			for _, d := range got.Differs {
				found = found || tc.differs != "" && strings.HasPrefix(d.From+" "+d.To+" "+d.What, tc.differs)
				if tc.unseen && !d.Unseen {
					t.Errorf("%+v is between pods of the files", d)
				}
			}
			if !found {
				t.Errorf("what differs is %+v, want %q", got.Differs, tc.differs)
			}
		})
	}
}

func TestVariantsThatAreRefused(t *testing.T) {
	bad := []control.File{{Name: "p.yaml", Data: []byte(`{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p, namespace: library}, spec: {ingress: [{}]}}`)}}
	res, err := Answer(t.Context(), control.Offline{
		Files:    []control.File{{Name: "library.yaml", Data: []byte(library)}},
		Variants: &control.Variants{Sets: [][]control.File{bad}, Ask: []explain.Request{{From: "nonsense", To: "library/catalog"}}},
	})
	if err != nil || res.Variants[0].Refused == "" || res.Variants[0].Said != nil {
		t.Errorf("%v, %+v", err, res)
	}
	res, err = Answer(t.Context(), control.Offline{
		Variants: &control.Variants{Sets: [][]control.File{policyOf(both)}, Ask: []explain.Request{{From: "nonsense", To: "library/catalog"}}},
	})
	if err != nil || res.Variants[0].Said[0].Fault == "" {
		t.Errorf("%v, %+v", err, res)
	}
	res, err = Answer(t.Context(), control.Offline{Variants: &control.Variants{Sets: [][]control.File{{{Name: "x", Data: []byte("a: [")}}}}})
	if err != nil || res.Fault == nil {
		t.Errorf("a file that is no YAML: %v, %+v", err, res)
	}
}

// TestRefusals asks about a policy that only Cilium's parser refuses, in a file with
// one that it takes.
func TestRefusals(t *testing.T) {
	file := control.File{Name: "p.yaml", Data: []byte(`{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: taken}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: refused}, spec: {endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [example.com], rules: {http: [{method: GET}]}}]}]}}
`)}
	res, err := Answer(t.Context(), control.Offline{Variants: &control.Variants{Namespace: "web", Sets: [][]control.File{{file}}}})
	if err != nil || res.Fault != nil {
		t.Fatal(err, res.Fault)
	}
	found := res.Variants[0].Refusals
	if len(found) != 1 || found[0].File != "p.yaml" || found[0].Line != 3 || found[0].Object != "CiliumNetworkPolicy web/refused" || found[0].Cure == "" ||
		!strings.Contains(found[0].Reason, "ServerNames are not allowed") {
		t.Errorf("refused are %+v", found)
	}
}
