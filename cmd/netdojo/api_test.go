package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/netdojo/netdojo"
)

// fakeAPI is as much of an API server as the scripts' commands need: discovery,
// and objects that are ready as soon as they are applied.
type fakeAPI struct {
	mu      sync.Mutex                // guards objects
	objects map[string]map[string]any // by the path of their collection and name
}

func newFakeAPI() *fakeAPI {
	f := &fakeAPI{objects: map[string]map[string]any{}}
	for _, ns := range []string{"default", "kube-system"} {
		f.put("/api/v1/namespaces", ns, map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns, "uid": ns + "-1"},
		})
	}
	// With a policy in the way no baseline is taken, for which pods would be needed.
	f.put("/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies", "mine", map[string]any{
		"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
		"metadata": map[string]any{"name": "mine", "namespace": "default", "uid": "mine-1"},
	})
	return f
}

func (f *fakeAPI) put(collection, name string, object map[string]any) {
	f.objects[collection+"/"+name] = object
}

// resources are the kinds by the path of their group and version.
var resources = map[string][]map[string]any{
	"/api/v1": {
		{"name": "namespaces", "kind": "Namespace", "namespaced": false},
		{"name": "services", "kind": "Service", "namespaced": true},
		{"name": "pods", "kind": "Pod", "namespaced": true},
	},
	"/apis/apps/v1":              {{"name": "deployments", "kind": "Deployment", "namespaced": true}},
	"/apis/networking.k8s.io/v1": {{"name": "networkpolicies", "kind": "NetworkPolicy", "namespaced": true}},
	"/apis/cilium.io/v2": {
		{"name": "ciliumnetworkpolicies", "kind": "CiliumNetworkPolicy", "namespaced": true},
		{"name": "ciliumclusterwidenetworkpolicies", "kind": "CiliumClusterwideNetworkPolicy", "namespaced": false},
	},
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path := r.URL.Path
	switch {
	case path == "/healthz":
		fmt.Fprint(w, "ok")
	case path == "/version":
		reply(w, map[string]any{"major": "1", "minor": "36", "gitVersion": netdojo.Kubernetes})
	case path == "/api":
		reply(w, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	case path == "/apis":
		reply(w, groups())
	case resources[path] != nil:
		reply(w, map[string]any{
			"kind": "APIResourceList", "apiVersion": "v1",
			"groupVersion": strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/"), "resources": resources[path],
		})
	default:
		f.serveObject(w, r)
	}
}

// groups lists the groups of resources.
func groups() map[string]any {
	var list []map[string]any
	for path := range resources {
		name, ok := strings.CutPrefix(path, "/apis/")
		if !ok {
			continue
		}
		group, version, _ := strings.Cut(name, "/")
		v := map[string]any{"groupVersion": name, "version": version}
		list = append(list, map[string]any{"name": group, "versions": []any{v}, "preferredVersion": v})
	}
	return map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": list}
}

func (f *fakeAPI) serveObject(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.URL.Path
	if r.Method == http.MethodPatch {
		object := map[string]any{}
		if err := json.NewDecoder(r.Body).Decode(&object); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		object["metadata"].(map[string]any)["uid"] = path
		object["status"] = map[string]any{"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
		f.objects[path] = object
		w.WriteHeader(http.StatusCreated)
		reply(w, object)
		return
	}
	if object := f.objects[path]; object != nil {
		reply(w, object)
		return
	}
	var items []map[string]any
	for key, object := range f.objects {
		if name, ok := strings.CutPrefix(key, path+"/"); ok && !strings.Contains(name, "/") {
			items = append(items, object)
		}
	}
	if isCollection(path) {
		reply(w, map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
		return
	}
	w.WriteHeader(http.StatusNotFound)
	reply(w, map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no such thing",
	})
}

// isCollection says whether a path names all objects of a kind.
func isCollection(path string) bool {
	for _, kinds := range resources {
		for _, k := range kinds {
			if strings.HasSuffix(path, "/"+k["name"].(string)) {
				return true
			}
		}
	}
	return false
}

func reply(w http.ResponseWriter, body any) { _ = json.NewEncoder(w).Encode(body) }
