package runner

import (
	"slices"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
)

// inHealth is a cluster where a lab with one Deployment and its Service has all that it
// needs.
const inHealth = `
apiVersion: v1
kind: Node
metadata: {name: node-1}
status: {conditions: [{type: MemoryPressure, status: "False"}, {type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, uid: dns}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-1, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}, ownerReferences: [{apiVersion: v1, kind: Service, name: kube-dns, uid: dns}]}
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true, serving: true, terminating: false}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 2}
status: {readyReplicas: 1}
`

func healthLab() *labs.Lab {
	return &labs.Lab{ID: "x", Namespace: "shop", Workloads: []string{"w.yaml"}, FS: fstest.MapFS{"w.yaml": {Data: []byte(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
`)}}}
}

// TestAiling: what a lab needs and misses, each part by its first fault.
func TestAiling(t *testing.T) {
	set := func(s snapshot, kind, key string, value any, fields ...string) {
		t.Helper()
		obj, ok, _ := s[kind].GetByKey(key)
		if !ok {
			t.Fatalf("no %s %s", kind, key)
		}
		if err := unstructured.SetNestedField(obj.(*unstructured.Unstructured).Object, value, fields...); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(s snapshot, kind, key string) {
		t.Helper()
		obj, ok, _ := s[kind].GetByKey(key)
		if !ok {
			t.Fatalf("no %s %s", kind, key)
		}
		if err := s[kind].Delete(obj); err != nil {
			t.Fatal(err)
		}
	}
	endpoint := func(serving, terminating bool) []any {
		return []any{map[string]any{"conditions": map[string]any{"ready": serving, "serving": serving, "terminating": terminating}}}
	}
	const noPod = "the Service kube-dns of kube-system has no pod that is ready"
	for name, tc := range map[string]struct {
		change func(snapshot)
		want   []Ailment
	}{
		"nothing": {func(snapshot) {}, nil},
		"the node": {func(s snapshot) {
			set(s, "Node", "node-1", []any{map[string]any{"type": "Ready", "status": "Unknown"}}, "status", "conditions")
		}, []Ailment{{PartNode, "node node-1 is not ready"}}},
		"DNS is gone": {func(s snapshot) { drop(s, "Service", "kube-system/kube-dns") }, []Ailment{{PartDNS, "the Service kube-dns of kube-system is gone"}}},
		"its slice":   {func(s snapshot) { drop(s, "EndpointSlice", "kube-system/kube-dns-1") }, []Ailment{{PartDNS, noPod}}},
		"its pod": {func(s snapshot) {
			set(s, "EndpointSlice", "kube-system/kube-dns-1", endpoint(false, false), "endpoints")
		}, []Ailment{{PartDNS, noPod}}},
		"it ends":      {func(s snapshot) { set(s, "EndpointSlice", "kube-system/kube-dns-1", endpoint(true, true), "endpoints") }, []Ailment{{PartDNS, noPod}}},
		"an old slice": {func(s snapshot) { set(s, "Service", "kube-system/kube-dns", "new", "metadata", "uid") }, []Ailment{{PartDNS, noPod}}},
		"a Deployment": {func(s snapshot) { drop(s, "Deployment", "shop/web") }, []Ailment{{PartPods, "Deployment shop/web is gone"}}},
		"it is deleted": {func(s snapshot) {
			set(s, "Deployment", "shop/web", "2026-01-02T03:04:05Z", "metadata", "deletionTimestamp")
		}, []Ailment{{PartPods, "Deployment shop/web is gone"}}},
		"its pods":       {func(s snapshot) { set(s, "Deployment", "shop/web", int64(0), "status", "readyReplicas") }, []Ailment{{PartPods, "Deployment shop/web has no pod that is ready"}}},
		"its Service":    {func(s snapshot) { drop(s, "Service", "shop/web") }, []Ailment{{PartPods, "Service shop/web is gone"}}},
		"all but nodes":  {func(s snapshot) { drop(s, "Service", "kube-system/kube-dns"); drop(s, "Deployment", "shop/web") }, []Ailment{{PartDNS, "the Service kube-dns of kube-system is gone"}, {PartPods, "Deployment shop/web is gone"}}},
		"somebody's own": {func(s snapshot) { drop(s, "Node", "node-1") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot{}
			for _, gvk := range healthKinds {
				s[gvk.Kind] = cache.NewStore(cache.MetaNamespaceKeyFunc)
			}
			objects, err := object.Parse("cluster.yaml", []byte(inHealth))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if err := s[o.GetKind()].Add(o.Unstructured); err != nil {
					t.Fatal(err)
				}
			}
			tc.change(s)
			n, err := needsOf(fakeHandle{}, healthLab())
			if err != nil {
				t.Fatal(err)
			}
			n.dns = true
			if got := s.ailing(n); !slices.Equal(got, tc.want) {
				t.Errorf("it misses %v, want %v", got, tc.want)
			}
		})
	}
}

// TestNeeds: a cluster whose DNS is not netdojo's is not blamed for it, and on
// somebody's cluster all of a lab is in its namespace there.
func TestNeeds(t *testing.T) {
	n, err := needsOf(fakeHandle{}, healthLab())
	if err != nil || n.dns || len(n.workloads) != 2 {
		t.Errorf("it needs %+v, %v", n, err)
	}
	n, err = needsOf(guestHandle{fakeHandle{}}, healthLab().In("netdojo-x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range n.workloads {
		if ref.Namespace != "netdojo-x" {
			t.Errorf("%s is sought in %s", ref, ref.Namespace)
		}
	}
}
