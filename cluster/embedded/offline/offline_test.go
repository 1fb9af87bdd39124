package offline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
)

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: blue}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: i, ports: [{name: sql, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: sql}]}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts: [{ports: [{port: "5432", protocol: TCP}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toEndpoints: [{}]
  - toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}}]
    toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]
  - toFQDNs: [{matchName: kubernetes.io}]
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: w, namespace: shop}
`

func TestAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to, port string
		outcome        explain.Outcome
		reason         explain.Reason
	}{
		"a Service's named target port": {"deploy/web", "svc/db", "", explain.Allowed, explain.AllowRule},
		"a port that no rule allows":    {"deploy/web", "db", "80", explain.Denied, explain.DefaultDeny},
		"a name of toFQDNs":             {"app=web", "kubernetes.io", "443", explain.Allowed, explain.AllowRule},
		"another name":                  {"app=web", "cilium.io", "443", explain.Denied, explain.DefaultDeny},
		"the outside":                   {"world", "db", "5432", explain.Denied, explain.DefaultDeny},
		"the other way":                 {"db", "deploy/web", "80", explain.Allowed, explain.NoPolicy},
		"the node":                      {"host", "db", "80", explain.Allowed, explain.LocalHost},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := Answer(t.Context(), control.Offline{
				Files:   []control.File{{Name: "shop.yaml", Data: []byte(shop)}},
				Explain: &explain.Request{From: tc.from, To: tc.to, Port: tc.port, Namespace: "shop"},
			})
			if err != nil || res.Fault != nil {
				t.Fatalf("%v %+v", err, res.Fault)
			}
			c := res.Answer.Connections[0]
			if c.Outcome != tc.outcome || c.Reason != tc.reason {
				t.Errorf("%s, %s: %s", c.Outcome, c.Reason, c.Summary)
			}
			if !slices.Contains(res.Answer.Notes, "objects of kind Widget are passed over") {
				t.Errorf("notes: %q", res.Answer.Notes)
			}
		})
	}
}

// TestMatrixServices: a matrix tells which Services lead to its rows, and to no others.
func TestMatrixServices(t *testing.T) {
	for namespace, want := range map[string][]string{
		"shop":    {"shop/db:80/TCP shop/db"},
		"nowhere": nil,
		"":        {"kube-system/kube-dns:53/TCP kube-system/coredns", "kube-system/kube-dns:53/UDP kube-system/coredns", "kube-system/kube-dns:9153/TCP kube-system/coredns", "shop/db:80/TCP shop/db"},
	} {
		res, err := Answer(t.Context(), control.Offline{
			Files:  []control.File{{Name: "shop.yaml", Data: []byte(shop)}},
			Matrix: &explain.MatrixRequest{Namespace: namespace},
		})
		if err != nil || res.Fault != nil {
			t.Fatalf("%v %+v", err, res.Fault)
		}
		var got []string
		for _, s := range res.Matrix.Services {
			got = append(got, fmt.Sprintf("%s:%d/%s %s", s.Name, s.Port, s.Protocol, strings.Join(s.To, " ")))
		}
		if !slices.Equal(got, want) {
			t.Errorf("namespace %q: %q", namespace, got)
		}
	}
}

func TestFaults(t *testing.T) {
	for name, tc := range map[string]struct{ file, from, want, cure string }{
		"no such pod":   {shop, "wbe", "there is no pod", "did you mean web?"},
		"no YAML":       {"kind: [", "web", "shop.yaml:1", ""},
		"another shape": {"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: 3}\n", "p", "shop.yaml:1: Pod p", ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := Answer(t.Context(), control.Offline{
				Files:   []control.File{{Name: "shop.yaml", Data: []byte(tc.file)}},
				Explain: &explain.Request{From: tc.from, To: "db", Namespace: "shop"},
			})
			if err != nil || res.Fault == nil {
				t.Fatalf("%v %+v", err, res)
			}
			if !strings.Contains(res.Fault.Message, tc.want) || !strings.Contains(res.Fault.Cure, tc.cure) {
				t.Errorf("%+v", res.Fault)
			}
		})
	}
}

// TestRefused: what the engine refuses of a policy is told, as a cluster tells it
// on the object.
func TestRefused(t *testing.T) {
	res, err := Answer(t.Context(), control.Offline{
		Files: []control.File{{Name: "shop.yaml", Data: []byte(shop + `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: groups, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingress: [{fromGroups: [{aws: {securityGroupsIds: [sg-1]}}]}]
`)}},
		Matrix: &explain.MatrixRequest{Namespace: "shop"},
	})
	if err != nil || res.Fault != nil {
		t.Fatalf("%v %+v", err, res.Fault)
	}
	if all := strings.Join(res.Matrix.Notes, "\n"); !strings.Contains(all, "CiliumNetworkPolicy groups: not served by this datapath") {
		t.Errorf("notes: %s", all)
	}
	outcome := map[string]explain.Outcome{}
	for _, c := range res.Matrix.Cells {
		outcome[c.From+" "+c.To] = c.Outcome
	}
	for pair, want := range map[string]explain.Outcome{
		"shop/web shop/db": explain.Allowed, "shop/db shop/web": explain.Allowed,
		"world shop/db": explain.Denied, "shop/web world": explain.Denied, "shop/db world": explain.Allowed,
	} {
		if outcome[pair] != want {
			t.Errorf("%s: %q, want %s", pair, outcome[pair], want)
		}
	}
}

func TestRun(t *testing.T) {
	q, err := json.Marshal(control.Offline{Files: []control.File{{Name: "shop.yaml", Data: []byte(shop)}}, Explain: &explain.Request{From: "web", To: "db", Namespace: "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Run(context.Background(), bytes.NewReader(q), &out); err != nil {
		t.Fatal(err)
	}
	var res control.OfflineResult
	if err := json.Unmarshal(out.Bytes(), &res); err != nil || res.Answer == nil || res.Answer.Schema != explain.Schema {
		t.Errorf("%v %s", err, out.String())
	}
}
