package watch

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// fakeAPI is as much of an API server as a watcher asks of one: lists and
// watches of any resource, creation, and merge patches.
type fakeAPI struct {
	server *httptest.Server

	mu       sync.Mutex
	away     bool
	horizon  int // a watch from before it is refused
	version  int
	objects  map[string]map[string]map[string]any // resource → namespace/name → object
	watchers map[string][]chan map[string]any     // resource → streams
}

var kinds = map[string]string{
	"namespaces": "Namespace", "pods": "Pod", "nodes": "Node", "services": "Service",
	"endpointslices": "EndpointSlice", "secrets": "Secret", "networkpolicies": "NetworkPolicy",
	"ciliumnetworkpolicies": "CiliumNetworkPolicy", "ciliumclusterwidenetworkpolicies": "CiliumClusterwideNetworkPolicy",
	"clusternetworkpolicies": "ClusterNetworkPolicy",
	"ciliumcidrgroups":       "CiliumCIDRGroup", "ciliumidentities": "CiliumIdentity", "ciliumendpoints": "CiliumEndpoint",
}

func newFakeAPI(t *testing.T) *fakeAPI {
	f := &fakeAPI{objects: map[string]map[string]map[string]any{}, watchers: map[string][]chan map[string]any{}}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

func (f *fakeAPI) rest() *rest.Config { return &rest.Config{Host: f.server.URL} }

// put stores an object, raising its generation when its spec differs.
func (f *fakeAPI) put(resource string, obj map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.putLocked(resource, obj)
}

func (f *fakeAPI) putLocked(resource string, obj map[string]any) {
	f.version++
	m := obj["metadata"].(map[string]any)
	m["resourceVersion"] = strconv.Itoa(f.version)
	if m["uid"] == nil {
		m["uid"] = resource + "-" + text(m["namespace"]) + "-" + text(m["name"])
	}
	key := text(m["namespace"]) + "/" + text(m["name"])
	kind := "ADDED"
	m["generation"] = 1
	if old := f.objects[resource][key]; old != nil {
		kind = "MODIFIED"
		was := old["metadata"].(map[string]any)["generation"].(int)
		if !same(old["spec"], obj["spec"]) {
			was++
		}
		m["generation"] = was
	}
	if f.objects[resource] == nil {
		f.objects[resource] = map[string]map[string]any{}
	}
	f.objects[resource][key] = obj
	f.tell(resource, kind, obj)
}

func (f *fakeAPI) remove(resource, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	obj := f.objects[resource][key]
	delete(f.objects[resource], key)
	f.version++
	obj["metadata"].(map[string]any)["resourceVersion"] = strconv.Itoa(f.version)
	f.tell(resource, "DELETED", obj)
}

func (f *fakeAPI) tell(resource, kind string, obj map[string]any) {
	raw, _ := json.Marshal(obj)
	for _, c := range f.watchers[resource] {
		c <- map[string]any{"type": kind, "object": json.RawMessage(raw)}
	}
}

// get returns a copy of a stored object, or nil.
func (f *fakeAPI) get(resource, key string) map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return clone(f.objects[resource][key])
}

func (f *fakeAPI) all(resource string) []map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []map[string]any
	for _, o := range f.objects[resource] {
		out = append(out, clone(o))
	}
	return out
}

// goAway ends what is open and answers nothing until back is called. By then what
// changed is too old to be watched from.
func (f *fakeAPI) goAway() (back func()) {
	f.mu.Lock()
	f.away = true
	f.watchers = map[string][]chan map[string]any{}
	f.mu.Unlock()
	f.server.CloseClientConnections()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.away, f.horizon = false, f.version
	}
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	away := f.away
	f.mu.Unlock()
	if away {
		panic(http.ErrAbortHandler)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	version, parts := parts[1], parts[2:] // api/v1
	if strings.HasPrefix(r.URL.Path, "/apis/") {
		version, parts = strings.Join(strings.Split(r.URL.Path, "/")[2:4], "/"), parts[1:]
	}
	namespace := ""
	if len(parts) > 2 && parts[0] == "namespaces" {
		namespace, parts = parts[1], parts[2:]
	}
	resource := parts[0]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodGet && len(parts) == 1 && r.URL.Query().Get("watch") != "":
		f.stream(w, r, resource)
	case r.Method == http.MethodGet && len(parts) == 1:
		f.mu.Lock()
		items := []any{}
		for _, o := range f.objects[resource] {
			if namespace == "" || namespace == text(o["metadata"].(map[string]any)["namespace"]) {
				items = append(items, o)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": kinds[resource] + "List", "apiVersion": version, "metadata": map[string]any{"resourceVersion": strconv.Itoa(f.version)}, "items": items,
		})
		f.mu.Unlock()
	case r.Method == http.MethodPost:
		var obj map[string]any
		_ = json.NewDecoder(r.Body).Decode(&obj)
		m := obj["metadata"].(map[string]any)
		if g := text(m["generateName"]); g != "" {
			m["name"] = g + strconv.Itoa(len(f.all(resource)))
		}
		if namespace != "" {
			m["namespace"] = namespace
		}
		f.put(resource, obj)
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(f.get(resource, text(m["namespace"])+"/"+text(m["name"])))
	case r.Method == http.MethodPatch:
		var patch map[string]any
		_ = json.NewDecoder(r.Body).Decode(&patch)
		f.mu.Lock()
		obj := clone(f.objects[resource][namespace+"/"+parts[1]])
		if obj == nil { // deleted meanwhile
			f.mu.Unlock()
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))
			return
		}
		obj["status"] = patch["status"]
		f.putLocked(resource, obj)
		obj = clone(obj)
		f.mu.Unlock()
		_ = json.NewEncoder(w).Encode(obj)
	case r.Method == http.MethodDelete:
		f.remove(resource, namespace+"/"+parts[1])
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Success"}`))
	default:
		http.Error(w, r.Method+" "+r.URL.Path, http.StatusNotImplemented)
	}
}

func (f *fakeAPI) stream(w http.ResponseWriter, r *http.Request, resource string) {
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	events := make(chan map[string]any, 1000)
	f.mu.Lock()
	if since < f.horizon {
		f.mu.Unlock()
		w.WriteHeader(http.StatusGone)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`))
		return
	}
	for _, o := range f.objects[resource] { // what came between list and watch
		if v, _ := strconv.Atoi(text(o["metadata"].(map[string]any)["resourceVersion"])); v > since {
			events <- map[string]any{"type": "ADDED", "object": clone(o)}
		}
	}
	f.watchers[resource] = append(f.watchers[resource], events)
	f.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			_ = json.NewEncoder(w).Encode(e)
			w.(http.Flusher).Flush()
		}
	}
}

func text(v any) string { s, _ := v.(string); return s }

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func clone(o map[string]any) map[string]any {
	if o == nil {
		return nil
	}
	raw, _ := json.Marshal(o)
	var out map[string]any
	_ = json.Unmarshal(raw, &out)
	if m, ok := out["metadata"].(map[string]any); ok {
		if g, ok := m["generation"].(float64); ok {
			m["generation"] = int(g)
		}
	}
	return out
}
