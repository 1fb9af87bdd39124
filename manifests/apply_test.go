package manifests

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/manifests/object"
)

// fakeAPI keeps objects by their path, and answers as far as Client asks.
type fakeAPI struct {
	mu      sync.Mutex // guards what follows
	objects map[string]*unstructured.Unstructured
	version int
	watches []chan metav1.WatchEvent
	queries []string
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queries = append(a.queries, r.Method+" "+r.URL.String())
	_, name, _ := strings.Cut(r.URL.Query().Get("fieldSelector"), "=")
	switch {
	case r.URL.Query().Get("watch") != "":
		a.watch(w, r, r.URL.Path+"/"+name)
	case r.Method == http.MethodPatch:
		body, _ := io.ReadAll(r.Body) // a broken request fails below
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(body); err != nil || u.GetLabels()["bad"] != "" {
			reply(w, http.StatusBadRequest, apierrors.NewBadRequest(`unknown field "spec.x"`).Status())
			return
		}
		a.store(r.URL.Path, u)
		reply(w, http.StatusOK, u)
	case r.Method == http.MethodDelete:
		u := a.objects[r.URL.Path]
		delete(a.objects, r.URL.Path)
		reply(w, http.StatusOK, u)
	case strings.HasSuffix(r.URL.Path, "/pods"), strings.HasSuffix(r.URL.Path, "/events"):
		list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "List"}}
		for path, u := range a.objects {
			if strings.HasPrefix(path, r.URL.Path+"/") {
				list.Items = append(list.Items, *u)
			}
		}
		reply(w, http.StatusOK, list)
	default:
		if u := a.objects[r.URL.Path]; u != nil {
			reply(w, http.StatusOK, u)
			return
		}
		reply(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{}, r.URL.Path).Status())
	}
}

// watch ends the handler's hold on the lock while it streams.
func (a *fakeAPI) watch(w http.ResponseWriter, r *http.Request, path string) {
	ch := make(chan metav1.WatchEvent, 8)
	a.watches = append(a.watches, ch)
	a.mu.Unlock()
	defer a.mu.Lock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case ev := <-ch:
			if json.NewEncoder(w).Encode(ev) != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}
}

// store keeps an object under the lock and tells the watches.
func (a *fakeAPI) store(path string, u *unstructured.Unstructured) {
	a.version++
	u.SetUID("uid")
	if old := a.objects[path]; old == nil || !equalSpec(old, u) {
		u.SetResourceVersion(strconv.Itoa(a.version))
	} else {
		u.SetResourceVersion(old.GetResourceVersion())
	}
	a.objects[path] = u
	raw, err := u.MarshalJSON()
	if err != nil {
		return
	}
	for _, ch := range a.watches {
		ev := metav1.WatchEvent{Type: "MODIFIED"}
		ev.Object.Raw = raw
		ch <- ev
	}
}

func equalSpec(a, b *unstructured.Unstructured) bool {
	x, _ := json.Marshal(a.Object["data"]) // plain data marshals
	y, _ := json.Marshal(b.Object["data"])
	return string(x) == string(y)
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client sees a broken answer
}

// staticMapper never learns anything by a reset.
type staticMapper struct{ meta.RESTMapper }

func (staticMapper) Reset() {}

func newClient(t *testing.T) (*Client, *fakeAPI) {
	t.Helper()
	api := &fakeAPI{objects: map[string]*unstructured.Unstructured{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	dyn, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for gvk, scope := range map[schema.GroupVersionKind]meta.RESTScope{
		{Version: "v1", Kind: "ConfigMap"}:                 meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Pod"}:                       meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Namespace"}:                 meta.RESTScopeRoot,
		{Group: "apps", Version: "v1", Kind: "Deployment"}: meta.RESTScopeNamespace,
	} {
		mapper.Add(gvk, scope)
	}
	return NewFor(dyn, staticMapper{mapper}), api
}

func parseOne(t *testing.T, text string) Object {
	t.Helper()
	objects, err := object.Parse("x.yaml", []byte(text))
	if err != nil || len(objects) != 1 {
		t.Fatalf("parse: %v, %d objects", err, len(objects))
	}
	return objects[0]
}

func TestApplyAndDelete(t *testing.T) {
	c, api := newClient(t)
	obj := parseOne(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '1'}")
	res, err := c.Apply(t.Context(), obj, "web")
	if err != nil || !res.Created || !res.Changed || res.GetNamespace() != "web" {
		t.Fatalf("first apply: %+v, %v", res, err)
	}
	if res, err = c.Apply(t.Context(), obj, "web"); err != nil || res.Created || res.Changed {
		t.Errorf("same again: created %v, changed %v, %v", res.Created, res.Changed, err)
	}
	changed := parseOne(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '2'}")
	if res, err = c.Apply(t.Context(), changed, "web"); err != nil || res.Created || !res.Changed {
		t.Errorf("changed: created %v, changed %v, %v", res.Created, res.Changed, err)
	}
	if q := strings.Join(api.queries, "\n"); !strings.Contains(q, "fieldManager=netdojo") || !strings.Contains(q, "fieldValidation=Strict") {
		t.Errorf("queries are %s", q)
	} else if strings.Contains(q, "POST") { // a trial finds the node port of the Service that it is about taken
		t.Errorf("what succeeded was tried again: %s", q)
	}
	ref := obj.Ref("web")
	if uid, err := c.Delete(t.Context(), ref); err != nil || uid != types.UID("uid") {
		t.Errorf("delete: %q, %v", uid, err)
	}
	if uid, err := c.Delete(t.Context(), ref); err != nil || uid != "" {
		t.Errorf("delete what is gone: %q, %v", uid, err)
	}
	if _, err := c.Get(t.Context(), ref); !apierrors.IsNotFound(err) {
		t.Errorf("get what is gone: %v", err)
	}
}

func TestApplyOfClusterScope(t *testing.T) {
	c, api := newClient(t)
	if _, err := c.Apply(t.Context(), parseOne(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: web}"), "default"); err != nil {
		t.Fatal(err)
	}
	if api.objects["/api/v1/namespaces/web"] == nil {
		t.Errorf("objects are %v", api.objects)
	}
}

func TestApplyErrors(t *testing.T) {
	c, _ := newClient(t)
	tests := []struct{ name, text, want, cure string }{
		{"refused", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: {bad: yea}}", "x.yaml:1: apply ConfigMap x", "kubectl explain"},
		{"unknown kind", "apiVersion: v1\nkind: ConfgMap\nmetadata: {name: x}", "no matches for kind", "check apiVersion and kind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.Apply(t.Context(), parseOne(t, tt.text), "default")
			var refused *ApplyError
			if !errors.As(err, &refused) || !refused.Rejected() || !strings.Contains(err.Error(), tt.want) || !strings.Contains(refused.Cure(), tt.cure) {
				t.Errorf("got %v", err)
			}
		})
	}
	if items, err := c.List(t.Context(), schema.GroupVersionKind{Group: "x", Version: "v1", Kind: "Y"}, "", ""); err != nil || items != nil {
		t.Errorf("list of a kind that is not there: %v, %v", items, err)
	}
}

const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: default}\nspec: {selector: {matchLabels: {app: x}}}\n"

func TestWaitEndsWhenTheObjectIsReady(t *testing.T) {
	c, api := newClient(t)
	const path = "/apis/apps/v1/namespaces/default/deployments/x"
	done := make(chan error, 1)
	ref := parseOne(t, deployment).Ref("")
	go func() { done <- c.Wait(t.Context(), []Ref{ref}, nil) }()
	deadline := time.After(time.Minute)
	ready := parsed(t, deployment+"status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1}")
	for {
		api.mu.Lock()
		watched := len(api.watches) > 0
		if watched {
			api.store(path, ready)
		}
		api.mu.Unlock()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if !watched {
				t.Error("ended before it was ready")
			}
			return
		case <-deadline:
			t.Fatal("does not end")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestWaitSaysWhyItFailed(t *testing.T) {
	c, api := newClient(t)
	api.mu.Lock()
	api.store("/apis/apps/v1/namespaces/default/deployments/x", parsed(t, deployment))
	api.store("/api/v1/namespaces/default/pods/x-1", parsed(t,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: x-1, namespace: default}\nstatus: {containerStatuses: [{image: a, state: {waiting: {reason: ImagePullBackOff, message: no such image}}}]}"))
	api.mu.Unlock()
	err := c.Wait(t.Context(), []Ref{parseOne(t, deployment).Ref("")}, nil)
	var notReady *NotReadyError
	if !errors.As(err, &notReady) || notReady.Err != nil || !strings.Contains(err.Error(), "no such image") || !strings.Contains(notReady.Cure(), "image load") {
		t.Errorf("a missing image: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = c.Wait(ctx, []Ref{{GVK: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Namespace: "default", Name: "none"}}, nil)
	if !errors.As(err, &notReady) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("out of time: %v", err)
	}
}
