package pagerun

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
)

// api relays a page's kubectl to the cluster, with credentials that the page never
// sees, and notes what passes: what runs in pods, and what is written. It refuses what
// would leave the cluster unusable.
type api struct {
	server http.Server
	// only is the one namespace that may be written to; "" is all.
	only string
	// guard says why a request is refused beside; nil refuses none.
	guard func(Request) string
	// started is called with each command in a pod before it begins, without a lock.
	started func(*execution)

	mu         sync.Mutex // guards what follows
	executions []*execution
	writes     []write
	refusals   []string
}

// write is a change of an object that the API took.
type write struct {
	ref        manifests.Ref
	uid        string
	generation int64
	created    bool
	deleted    bool
}

// policy is the policy that was changed; false when the object is none.
func (w write) policy() (cluster.PolicyRef, bool) {
	if !policies.Is(w.ref.GVK.GroupKind()) {
		return cluster.PolicyRef{}, false
	}
	return cluster.PolicyRef{
		Kind: w.ref.GVK.Kind, Namespace: w.ref.Namespace, Name: w.ref.Name, UID: w.uid, Generation: w.generation, Deleted: w.deleted,
	}, true
}

// newAPI makes the relay to the cluster that config names. What speaks HTTP/2 gets flows
// alone, nil for none.
func newAPI(config *rest.Config, prefix, only string, guard func(Request) string, started func(*execution), flows http.Handler) (*api, error) {
	config = rest.CopyConfig(config)
	config.NextProtos = []string{"http/1.1"} // a connection that is upgraded has no other
	config.WarningHandler = rest.NoWarnings{}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	to, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	a := &api{only: only, guard: guard, started: started}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: to.Scheme, Host: to.Host})
			r.Out.Host = to.Host
			for name := range r.Out.Header {
				if name == "Authorization" || strings.HasPrefix(name, "Impersonate-") {
					r.Out.Header.Del(name)
				}
			}
			if r.In.Method != http.MethodGet {
				// What is written is read here too.
				r.Out.Header.Set("Accept", "application/json")
				r.Out.Header.Del("Accept-Encoding")
			}
		},
		ModifyResponse: a.note,
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	// Hubble's clients know no prefix: there are none where the listener has one.
	protocols.SetUnencryptedHTTP2(flows != nil)
	a.server = http.Server{
		ReadHeaderTimeout: 10 * time.Second, ErrorLog: proxy.ErrorLog,
		Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		Handler: http.StripPrefix(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 { // Hubble's client, and nobody else
				flows.ServeHTTP(w, r)
				return
			}
			if why := a.refuses(r); why != "" {
				refuse(w, why)
				return
			}
			proxy.ServeHTTP(w, a.watched(r))
		})),
	}
	return a, nil
}

func (a *api) serve(l net.Listener) { _ = a.server.Serve(l) } // it ends when the listener is closed

// take gives what was noted since the last call.
func (a *api) take() (executions []*execution, writes []write, refusals []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	executions, writes, refusals = a.executions, a.writes, a.refusals
	a.executions, a.writes, a.refusals = nil, nil, nil
	return executions, writes, refusals
}

// running are the commands in pods that have begun since the last take.
func (a *api) running() []*execution {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.executions)
}

var (
	execPath   = regexp.MustCompile(`^/api/v1/namespaces/([^/]+)/pods/([^/]+)/(exec|attach)$`)
	objectPath = regexp.MustCompile(`^/(?:api/([^/]+)|apis/([^/]+)/([^/]+))(?:/namespaces/([^/]+)(?:/([^/]+)(?:/([^/]+))?)?|/([^/]+)(?:/([^/]+))?)(/.*)?$`)
)

// place is what a path of the API names.
type place struct {
	group, version, namespace, resource, name, sub string
}

func placeOf(path string) (place, bool) {
	m := objectPath.FindStringSubmatch(path)
	if m == nil {
		return place{}, false
	}
	p := place{version: m[1] + m[3], group: m[2], namespace: m[4], resource: m[5], name: m[6], sub: m[9]}
	if m[4] != "" && m[5] == "" {
		p.resource, p.name, p.namespace = "namespaces", m[4], ""
	}
	if m[7] != "" {
		p.resource, p.name = m[7], m[8]
	}
	return p, true
}

// system are the namespaces that a cluster does not work without.
var system = []string{metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease", metav1.NamespaceDefault}

// refuses says why a request is not let through; "" when it is. What it has read of
// the body is put back.
func (a *api) refuses(r *http.Request) string {
	if a.guard != nil {
		if why := a.guard(request(r)); why != "" {
			return why
		}
	}
	if r.Method == http.MethodGet && r.Header.Get("Upgrade") == "" || r.Method == http.MethodHead || r.Method == http.MethodOptions {
		return ""
	}
	p, ok := placeOf(r.URL.Path)
	why := ""
	switch {
	case !ok:
		return ""
	case strings.HasSuffix(p.resource, "reviews"):
		return "" // questions
	case a.only != "" && (p.namespace != a.only) && !(p.resource == "namespaces" && p.name == a.only && r.Method != http.MethodDelete):
		why = fmt.Sprintf("change or enter anything outside of namespace %s on a cluster that netdojo did not make", a.only)
	case p.resource == "nodes" && r.Method == http.MethodDelete:
		why = "delete a node"
	case p.resource == "nodes" && p.group == "" && changesScheduling(r):
		why = "take a node out of scheduling"
	case p.resource == "namespaces" && p.name == "" && r.Method == http.MethodDelete:
		why = "delete all namespaces"
	case p.resource == "namespaces" && slices.Contains(system, p.name) && r.Method == http.MethodDelete:
		why = "delete the namespace " + p.name
	case p.resource == "customresourcedefinitions" && r.Method == http.MethodDelete && (p.name == "" || strings.HasSuffix(p.name, ".cilium.io")):
		why = "delete the kinds of policies"
	case p.namespace == metav1.NamespaceSystem && r.Method == http.MethodDelete && p.resource != "pods" && !isPolicyResource(p.resource):
		why = "delete " + p.resource + " of the namespace " + p.namespace
	}
	if why == "" {
		return ""
	}
	why = "netdojo lets no page " + why
	a.refused(why)
	return why
}

func (a *api) refused(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.refusals) < maxRefusals {
		a.refusals = append(a.refusals, why)
	}
}

// request is a request as a guard sees it.
func request(r *http.Request) Request {
	p, _ := placeOf(r.URL.Path)
	return Request{
		Method: r.Method, Path: r.URL.Path, Group: p.group, Resource: p.resource, Namespace: p.namespace, Name: p.name, Sub: p.sub,
		Upgrade: r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect,
		Odd:     r.URL.RawPath != "" || path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") && r.URL.Path != "/",
	}
}

func isPolicyResource(resource string) bool {
	return slices.ContainsFunc(policies.Kinds, func(k policies.Kind) bool { return k.Resource == resource })
}

// maxStreams bounds what one of Hubble's clients asks at once.
const maxStreams = 16

// maxRefusals bounds what is told of one command.
const maxRefusals = 50

// maxBody bounds what of a body is read to know it.
const maxBody = 4 << 20

func changesScheduling(r *http.Request) bool {
	if r.Body == nil {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	return err == nil && (bytes.Contains(body, []byte("unschedulable")) || bytes.Contains(body, []byte("taints")))
}

func refuse(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(metav1.Status{ // a client that is gone does not hear it
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden, Message: why,
	})
}

// note looks at what the cluster answers.
func (a *api) note(res *http.Response) error {
	req := res.Request
	if e, ok := req.Context().Value(executionKey{}).(*execution); ok {
		a.begun(res, e)
		return nil
	}
	if req.Method == http.MethodGet || res.StatusCode/100 != 2 || req.URL.Query().Get("dryRun") != "" {
		return nil
	}
	p, ok := placeOf(req.URL.Path)
	if !ok || p.sub != "" || p.namespace == "" && strings.HasSuffix(p.resource, "reviews") {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return err
	}
	rest := res.Body
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), rest}
	var obj struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        struct {
			Name, Namespace, UID string
			Generation           int64
		}
		Details struct{ Name, Kind, UID string }
	}
	if json.Unmarshal(body, &obj) != nil {
		return nil
	}
	gvk := schema.FromAPIVersionAndKind(obj.APIVersion, obj.Kind)
	w := write{
		ref: manifests.Ref{GVK: gvk, Namespace: obj.Metadata.Namespace, Name: obj.Metadata.Name},
		uid: obj.Metadata.UID, generation: obj.Metadata.Generation,
		created: res.StatusCode == http.StatusCreated && req.Method != http.MethodDelete, deleted: req.Method == http.MethodDelete,
	}
	if obj.Kind == "Status" {
		w.ref, w.uid = manifests.Ref{Namespace: p.namespace, Name: obj.Details.Name}, obj.Details.UID
		for _, k := range policies.Kinds {
			if k.Resource == p.resource {
				w.ref.GVK = k.GVK()
			}
		}
	}
	if w.ref.Name == "" || w.ref.GVK.Kind == "" || strings.HasSuffix(w.ref.GVK.Kind, "Review") {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writes = append(a.writes, w)
	return nil
}
