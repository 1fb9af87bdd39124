package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/timestamppb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/policies"
)

// fakeCluster is a provider, its only cluster, that cluster's API, pods and
// datapath. It judges by lab 04's kind of policy. Its fields are set before a
// session starts.
type fakeCluster struct {
	running, known bool
	starting       int // how many looks at its status find it not ready
	noFlows        bool
	silent         int               // how many times it cannot be asked for flows
	notReady       error             // what Wait returns
	rejects        map[string]string // policy → why the API refuses it
	unenforced     map[string]string // policy → why the datapath refuses it
	lacks          map[string]string // feature → why it is not enforced
	anew           bool              // a cluster that begins empty would have them
	dnsDown        bool
	refuse         bool   // an outsider's reject: code 7 without a drop
	refuseHost     string // the same for one destination
	noPod          bool
	ending         map[string]int     // namespace → how many looks find it being deleted
	onPolicy       func(*fakeCluster) // called when a policy was applied
	imageID        string
	uid            string
	explain        func(explain.Request) *explain.Answer // nil for no engine

	mu      sync.Mutex // guards what follows
	objects map[string]*unstructured.Unstructured
	version int
	streams []*fakeStream
	log     []string // what the session asked for
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{imageID: "sha256:aa", uid: "cluster-1", objects: map[string]*unstructured.Unstructured{}}
}

func (f *fakeCluster) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

// asks are what the session asked for. A probe that was ended early may still ask for
// its end: nobody reads the log but under mu.
func (f *fakeCluster) asks() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// forget begins the log anew.
func (f *fakeCluster) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = nil
}

func (f *fakeCluster) asked(what string) bool {
	for _, l := range f.asks() {
		if strings.HasPrefix(l, what) {
			return true
		}
	}
	return false
}

// Provider.

func (f *fakeCluster) Up(_ context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	f.note("up %s%s%s", spec.Name, map[bool]string{true: " with IPv6"}[spec.Dual()], map[bool]string{true: " on two nodes"}[spec.Nodes == 2])
	report(step.Update{Name: "Start the control plane", State: step.Started})
	report(step.Update{Name: "Start the control plane", State: step.Done})
	f.running = true
	return fakeHandle{f}, nil
}

func (f *fakeCluster) Open(context.Context, string) (cluster.Handle, error) {
	if !f.running {
		return nil, cluster.ErrNotRunning
	}
	return fakeHandle{f}, nil
}

func (f *fakeCluster) Down(_ context.Context, name string, purge bool, _ step.Reporter) error {
	f.note("down %s purge=%v", name, purge)
	f.running = false
	return nil
}

func (f *fakeCluster) Status(context.Context, string) (cluster.Status, error) {
	return cluster.Status{}, nil
}

func (f *fakeCluster) List(context.Context) ([]string, error) {
	if f.known {
		return []string{"test"}, nil
	}
	return nil, nil
}

// Handle.

type fakeHandle struct{ f *fakeCluster }

func (h fakeHandle) Status(context.Context) (cluster.Status, error) {
	if !h.f.running {
		return cluster.Status{}, errors.New("connection refused")
	}
	st := cluster.Status{Provider: "fake", Datapath: "netdojo", Running: true, Ready: h.f.starting == 0, Detail: "it starts"}
	h.f.starting = max(0, h.f.starting-1)
	return st, nil
}
func (h fakeHandle) RESTConfig() *rest.Config { return &rest.Config{} }
func (h fakeHandle) Close() error             { return nil }

func (h fakeHandle) Lacks(_ context.Context, features []string) ([]cluster.Lack, error) {
	if h.f.starting > 0 {
		return nil, errors.New("forbidden")
	}
	var lacks []cluster.Lack
	for _, f := range features {
		if why, ok := h.f.lacks[f]; ok {
			lacks = append(lacks, cluster.Lack{Feature: f, Why: why, Fix: "bring what enforces " + f, Anew: h.f.anew})
		}
	}
	return lacks, nil
}

func (h fakeHandle) EnsureImages(_ context.Context, refs []string, _ func(string)) error {
	h.f.note("images %s", strings.Join(refs, " "))
	return nil
}

func (h fakeHandle) Flows(context.Context, int) (cluster.FlowStream, error) {
	if h.f.noFlows {
		return nil, cluster.ErrNoFlows
	}
	if h.f.silent > 0 {
		h.f.silent--
		return nil, errors.New("pod not found")
	}
	s := &fakeStream{ch: make(chan *flowpb.Flow, 64)}
	h.f.mu.Lock()
	h.f.streams = append(h.f.streams, s)
	h.f.mu.Unlock()
	return s, nil
}

func (h fakeHandle) Enforced(_ context.Context, ref cluster.PolicyRef) error {
	h.f.note("enforced %s deleted=%v", ref.Name, ref.Deleted)
	if why, ok := h.f.unenforced[ref.Name]; ok && !ref.Deleted {
		return &cluster.RejectedError{Ref: ref, Rejection: policies.NotServed([]string{why})}
	}
	return nil
}

func (h fakeHandle) ServeNames(_ context.Context, names []string) error {
	h.f.note("serve %s", strings.Join(names, ","))
	return nil
}

type fakeStream struct {
	ch chan *flowpb.Flow

	mu     sync.Mutex // guards closed, and ch against a send after its end
	closed bool
}

func (s *fakeStream) send(fl *flowpb.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.ch <- fl
	}
}

func (s *fakeStream) Recv() (*flowpb.Flow, error) {
	fl, ok := <-s.ch
	if !ok {
		return nil, io.EOF
	}
	return fl, nil
}

func (s *fakeStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.ch)
	}
	return nil
}

// API.

func key(kind, namespace, name string) string { return kind + " " + namespace + "/" + name }

var clusterScoped = map[string]bool{"Namespace": true, "CiliumClusterwideNetworkPolicy": true}

func refKey(ref manifests.Ref) string {
	if clusterScoped[ref.GVK.Kind] {
		ref.Namespace = ""
	}
	return key(ref.GVK.Kind, ref.Namespace, ref.Name)
}

func (f *fakeCluster) Apply(_ context.Context, obj manifests.Object, namespace string) (manifests.Result, error) {
	if why, ok := f.rejects[obj.GetName()]; ok {
		return manifests.Result{}, &manifests.ApplyError{Object: obj, Err: apierrors.NewBadRequest(why)}
	}
	ref := obj.Ref(namespace)
	f.note("apply %s", ref)
	u := obj.DeepCopy()
	if clusterScoped[u.GetKind()] {
		ref.Namespace = ""
	}
	u.SetNamespace(ref.Namespace)
	f.mu.Lock()
	f.version++
	before := f.objects[refKey(ref)]
	u.SetUID(types.UID("uid-" + strconv.Itoa(f.version)))
	if before != nil {
		u.SetUID(before.GetUID())
	}
	u.SetGeneration(int64(f.version))
	f.objects[refKey(ref)] = u
	f.mu.Unlock()
	if isPolicy(ref) && f.onPolicy != nil {
		f.onPolicy(f)
	}
	return manifests.Result{Unstructured: u, Created: before == nil, Changed: true, At: time.Now()}, nil
}

func (f *fakeCluster) Defaulted(_ context.Context, obj manifests.Object, namespace string) (*unstructured.Unstructured, error) {
	if why, ok := f.rejects[obj.GetName()]; ok {
		return nil, &manifests.ApplyError{Object: obj, Err: apierrors.NewBadRequest(why)}
	}
	u := obj.DeepCopy()
	u.SetNamespace(obj.Ref(namespace).Namespace)
	u.SetUID("dry-run")
	return u, nil
}

func (f *fakeCluster) Get(_ context.Context, ref manifests.Ref) (*unstructured.Unstructured, error) {
	if ref.Name == "kube-system" || ref.Name == "default" {
		u := &unstructured.Unstructured{}
		u.SetUID(types.UID(f.uid))
		return u, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ref.GVK.Kind == "Namespace" && f.ending[ref.Name] > 0 {
		f.ending[ref.Name]--
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
		return u, nil
	}
	if u := f.objects[refKey(ref)]; u != nil {
		return u, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: ref.GVK.Kind}, ref.Name)
}

// fakeAPI is the cluster's API, whose List is not the provider's.
type fakeAPI struct{ *fakeCluster }

func (f fakeAPI) List(_ context.Context, gvk schema.GroupVersionKind, namespace, _ string) ([]unstructured.Unstructured, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []unstructured.Unstructured
	for _, u := range f.objects {
		if u.GetKind() == gvk.Kind && (namespace == "" || u.GetNamespace() == namespace) {
			found = append(found, *u)
		}
	}
	return found, nil
}

func (f *fakeCluster) Delete(_ context.Context, ref manifests.Ref) (types.UID, error) {
	f.note("delete %s", ref)
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.objects[refKey(ref)]
	delete(f.objects, refKey(ref))
	if u == nil {
		return "", nil
	}
	return u.GetUID(), nil
}

func (f *fakeCluster) Wait(context.Context, []manifests.Ref, func(string)) error { return f.notReady }

// Pods.

func (f *fakeCluster) Subject(_ context.Context, from checks.From, _ checks.Destination) (checks.Subject, error) {
	if !f.running {
		return checks.Subject{}, errors.New("connection refused")
	}
	if f.noPod {
		return checks.Subject{State: checks.PodMissing, Namespace: from.Namespace}, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return checks.Subject{
		State: checks.PodReady, Namespace: "default", Pod: "backend-1", UID: "pod-1", IP: "10.244.0.9", Container: "backend",
		Labels: map[string]string{"app": "backend"}, Image: "docker.io/cilium/json-mock:1.2", ImageID: f.imageID,
	}, nil
}

// Exec is curl in the backend's pod.
func (f *fakeCluster) Exec(ctx context.Context, req checks.ExecRequest) (checks.ExecResult, error) {
	if req.Command[0] == "sh" && strings.HasPrefix(req.Command[2], "kill ") {
		f.note("kill")
		return checks.ExecResult{}, nil
	}
	host := strings.TrimPrefix(req.Command[len(req.Command)-1], "https://")
	stderr := "netdojo-pid 9\n"
	if f.dnsDown {
		return says(stderr, 6, 0, "Could not resolve host: "+host), nil
	}
	selected, dns, names := f.rules()
	ip := "203.0.113." + strconv.Itoa(len(host))
	tried := stderr + "*   Trying " + ip + ":443...\n"
	switch {
	case f.refuse || f.refuseHost == host:
		return says(tried, 7, 0, "Failed to connect to "+host+" port 443 after 0 ms: Couldn't connect to server"), nil
	case selected && !dns:
		f.flow(flowpb.Verdict_DROPPED, "10.244.0.2", 53, "")
		return f.hang(ctx, req, stderr, "Resolving timed out after 5000 milliseconds")
	case !selected:
		f.flow(flowpb.Verdict_FORWARDED, ip, 443, host)
	case names[host] || names["*"]:
		f.flow(flowpb.Verdict_FORWARDED, ip, 443, host)
	default:
		f.flow(flowpb.Verdict_DROPPED, ip, 443, host)
		return f.hang(ctx, req, tried, "Connection timed out after 5001 milliseconds")
	}
	res := says(tried, 0, 200, "")
	res.Stdout = []byte("HTTP/2 200 \r\n\r\n")
	return res, nil
}

// hang is a probe into the dark; the fake's five seconds are 400 ms.
func (f *fakeCluster) hang(ctx context.Context, req checks.ExecRequest, stderr, message string) (checks.ExecResult, error) {
	if _, err := io.WriteString(req.Stderr, stderr); err != nil {
		return checks.ExecResult{}, err
	}
	timeout := time.NewTimer(400 * time.Millisecond)
	defer timeout.Stop()
	select {
	case <-ctx.Done():
		return checks.ExecResult{Stderr: []byte(stderr)}, ctx.Err()
	case <-timeout.C:
		return says(stderr, 28, 0, message), nil
	}
}

func says(stderr string, code, status int, message string) checks.ExecResult {
	if message != "" {
		stderr += fmt.Sprintf("curl: (%d) %s\n", code, message)
	}
	connect := 0.0
	if code == 0 {
		connect = 0.001
	}
	return checks.ExecResult{
		ExitCode: code,
		Stderr:   []byte(stderr + fmt.Sprintf("netdojo-curl exit=%d\thttp=%03d\tconnect=%f\tremote=\tlocal=0\terror=%s\n", code, status, connect, message)),
	}
}

// rules reads the policies as far as lab 04 needs it.
func (f *fakeCluster) rules() (selected, dns bool, names map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names = map[string]bool{}
	for _, u := range f.objects {
		app, _, _ := unstructured.NestedString(u.Object, "spec", "endpointSelector", "matchLabels", "app")
		if u.GetKind() != "CiliumNetworkPolicy" || app != "backend" {
			continue
		}
		selected = true
		egress, _, _ := unstructured.NestedSlice(u.Object, "spec", "egress")
		for _, e := range egress {
			m, _ := e.(map[string]any)
			_, toPods := m["toEndpoints"]
			dns = dns || toPods
			fqdns, _, _ := unstructured.NestedSlice(m, "toFQDNs")
			for _, n := range fqdns {
				for _, v := range n.(map[string]any) {
					names[v.(string)] = true
				}
			}
		}
	}
	return selected, dns, names
}

func (f *fakeCluster) flow(verdict flowpb.Verdict, ip string, port uint32, name string) {
	fl := &flowpb.Flow{
		Time: timestamppb.Now(), Verdict: verdict, TrafficDirection: flowpb.TrafficDirection_EGRESS,
		IP:     &flowpb.IP{Source: "10.244.0.9", Destination: ip},
		L4:     &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{DestinationPort: port}}},
		Source: &flowpb.Endpoint{Namespace: "default", PodName: "backend-1"},
	}
	if name != "" {
		fl.DestinationNames = []string{name}
	}
	by := []*flowpb.Policy{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "backend-egress-allow-fqdn", Revision: 2}}
	if verdict == flowpb.Verdict_DROPPED {
		fl.DropReasonDesc, fl.EgressDeniedBy = flowpb.DropReason_POLICY_DENIED, by
	} else if selected, _, _ := f.rules(); selected {
		fl.EgressAllowedBy = by
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.streams {
		s.send(fl)
	}
}

// options is a session of the fake.
func (f *fakeCluster) options() options {
	return options{Solve: true, Target: Target{
		Provider: f, Spec: cluster.Spec{Name: "test"}, CheckTimeout: 2 * time.Second,
		connect: func(h cluster.Handle) (*connection, error) {
			if _, ok := h.(fakeHandle); !ok {
				return nil, errors.New("not the fake's handle")
			}
			return &connection{objects: fakeAPI{f}, execer: f, inspector: f}, nil
		},
	}}
}

// Explain answers by f.explain, and keeps what it was asked.
func (h fakeHandle) Explain(_ context.Context, req explain.Request) (*explain.Answer, error) {
	h.f.note("explain %s/%s %s:%s", req.Namespace, req.From, req.To, req.Port)
	if h.f.explain == nil {
		return nil, cluster.ErrNoEngine
	}
	return h.f.explain(req), nil
}
