//go:build linux

package datapath

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

// fakeAPI is an API server that stores what the test puts, lists and streams
// it, and lets every write of a client pass unread.
type fakeAPI struct {
	listener net.Listener
	server   *http.Server

	mu      sync.Mutex // guards all below
	version int
	objects map[string]map[string]json.RawMessage // collection → namespace/name → object
	changed chan struct{}
	log     []fakeEvent
}

// fakeKinds are the version and the kind of each collection's objects.
var fakeKinds = map[string][2]string{
	pods:            {"v1", "Pod"},
	namespaces:      {"v1", "Namespace"},
	services:        {"v1", "Service"},
	endpoints:       {"discovery.k8s.io/v1", "EndpointSlice"},
	cnps:            {"cilium.io/v2", "CiliumNetworkPolicy"},
	"/api/v1/nodes": {"v1", "Node"},
	networkPolicies: {"networking.k8s.io/v1", "NetworkPolicy"},
	"/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies": {"policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"},
	cilium + "ciliumclusterwidenetworkpolicies":                      {"cilium.io/v2", "CiliumClusterwideNetworkPolicy"},
	cilium + "ciliumcidrgroups":                                      {"cilium.io/v2", "CiliumCIDRGroup"},
	cilium + "ciliumendpoints":                                       {"cilium.io/v2", "CiliumEndpoint"},
	cilium + "ciliumidentities":                                      {"cilium.io/v2", "CiliumIdentity"},
}

type fakeEvent struct {
	version    int
	collection string
	kind       string // ADDED, MODIFIED, DELETED
	object     json.RawMessage
}

// newFakeAPI takes a port; it answers after serve.
func newFakeAPI(t testing.TB) *fakeAPI {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	f := &fakeAPI{listener: l, version: 1, objects: map[string]map[string]json.RawMessage{}, changed: make(chan struct{})}
	f.server = &http.Server{Handler: f}
	t.Cleanup(func() { _ = f.server.Close(); _ = l.Close() })
	return f
}

func (f *fakeAPI) config() *rest.Config { return &rest.Config{Host: f.listener.Addr().String()} }

func (f *fakeAPI) serve() { go f.server.Serve(f.listener) }

// put stores an object of a collection such as /api/v1/pods.
func (f *fakeAPI) put(t testing.TB, collection string, o interface {
	runtime.Object
	metav1.Object
}) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	o.SetResourceVersion(strconv.Itoa(f.version))
	data, err := json.Marshal(o)
	must(t, err)
	if f.objects[collection] == nil {
		f.objects[collection] = map[string]json.RawMessage{}
	}
	key, kind := o.GetNamespace()+"/"+o.GetName(), "ADDED"
	if _, ok := f.objects[collection][key]; ok {
		kind = "MODIFIED"
	}
	f.objects[collection][key] = data
	f.tell(fakeEvent{f.version, collection, kind, data})
}

func (f *fakeAPI) remove(collection, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	data := f.objects[collection][key]
	delete(f.objects[collection], key)
	f.tell(fakeEvent{f.version, collection, "DELETED", data})
}

func (f *fakeAPI) tell(e fakeEvent) {
	f.log = append(f.log, e)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	collection, match := f.request(r)
	switch {
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Success"}`)
	case r.URL.Query().Get("watch") != "":
		f.stream(w, r, collection, match)
	default:
		f.mu.Lock()
		defer f.mu.Unlock()
		items := []json.RawMessage{}
		for _, o := range f.objects[collection] {
			if match(o) {
				items = append(items, o)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": fakeKinds[collection][1] + "List", "apiVersion": fakeKinds[collection][0], "items": items,
			"metadata": map[string]string{"resourceVersion": strconv.Itoa(f.version)},
		})
	}
}

// request reads which objects are asked for.
func (f *fakeAPI) request(r *http.Request) (collection string, match func(json.RawMessage) bool) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	namespace := ""
	for i, p := range parts {
		if p == "namespaces" && i+2 < len(parts) {
			namespace = parts[i+1]
			parts = append(parts[:i:i], parts[i+2:]...)
			break
		}
	}
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		selector = labels.Nothing()
	}
	return "/" + strings.Join(parts, "/"), func(o json.RawMessage) bool {
		var m metav1.PartialObjectMetadata
		if json.Unmarshal(o, &m) != nil {
			return false
		}
		return (namespace == "" || m.Namespace == namespace) && selector.Matches(labels.Set(m.Labels))
	}
}

func (f *fakeAPI) stream(w http.ResponseWriter, r *http.Request, collection string, match func(json.RawMessage) bool) {
	out := json.NewEncoder(w)
	send := func(kind string, object any) {
		_ = out.Encode(map[string]any{"type": kind, "object": object})
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		f.mu.Lock()
		for _, o := range f.objects[collection] {
			if match(o) {
				send("ADDED", o)
			}
		}
		from = f.version
		f.mu.Unlock()
		send("BOOKMARK", map[string]any{
			"apiVersion": fakeKinds[collection][0], "kind": fakeKinds[collection][1],
			"metadata": map[string]any{"resourceVersion": strconv.Itoa(from),
				"annotations": map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
		})
	}
	for {
		f.mu.Lock()
		changed := f.changed
		for _, e := range f.log {
			if e.version > from && e.collection == collection && match(e.object) {
				send(e.kind, e.object)
			}
		}
		from = f.version
		f.mu.Unlock()
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}
