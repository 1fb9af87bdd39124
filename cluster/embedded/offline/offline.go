// Package offline answers questions about connections from files of Kubernetes
// objects: it tells them to a policy engine that belongs to no cluster, with
// made-up addresses, and asks it. Nothing runs, and no packet is sent.
package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/inquiry"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/internal/ipfamily"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// Addresses of the cluster that does not exist: those of the embedded one. It has the
// second family where speaksIPv6 says so.
var (
	nodeAddr    = netip.MustParseAddr("192.168.77.2")
	apiServer   = netip.AddrPortFrom(nodeAddr, 6443)
	podCIDR     = netip.MustParsePrefix("10.244.0.0/16")
	firstPod    = netip.MustParseAddr("10.244.0.10")
	firstSvc    = netip.MustParseAddr("10.96.0.100")
	clusterDNS  = netip.MustParseAddr("10.96.0.10")
	dnsPodLabel = map[string]string{"k8s-app": "kube-dns"}

	nodeAddr6 = netip.MustParseAddr("fd00:77::2")
	podCIDR6  = netip.MustParsePrefix("fd00:10:244::/64")
	firstPod6 = netip.MustParseAddr("fd00:10:244::a")
	firstSvc6 = netip.MustParseAddr("fd00:10:96::64")
)

// Run reads a question as JSON and writes the answer. What is at fault with the
// question or the files is part of the answer.
func Run(ctx context.Context, in io.Reader, out io.Writer) error {
	var q control.Offline
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("decode the question: %w", err)
	}
	res, err := Answer(ctx, q)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(res)
}

// Answer answers one question.
func Answer(ctx context.Context, q control.Offline) (control.OfflineResult, error) {
	var res control.OfflineResult
	if q.Variants != nil {
		var err error
		res.Variants, err = variants(ctx, q)
		if fault := faultOf(err); fault != nil {
			return control.OfflineResult{Fault: fault}, nil
		}
		return res, err
	}
	namespace := "default"
	if q.Explain != nil && q.Explain.Namespace != "" {
		namespace = q.Explain.Namespace
	}
	objects, err := parse(q.Files)
	var c *cluster
	if err == nil {
		c, err = load(ctx, q, objects, namespace)
	}
	if err == nil {
		defer c.engine.Close()
		switch {
		case q.Explain != nil:
			res.Answer, err = inquiry.Explain(c.engine, c.view, *q.Explain)
		case q.Matrix != nil:
			res.Matrix, err = inquiry.Matrix(c.engine, c.view, *q.Matrix)
		}
	}
	if fault := faultOf(err); fault != nil {
		return control.OfflineResult{Fault: fault}, nil
	}
	return res, err
}

// fileError is a file that cannot be used.
type fileError struct{ error }

func (e fileError) Unwrap() error { return e.error }

func faultOf(err error) *control.Error {
	var missing *inquiry.NotFoundError
	var usage *inquiry.UsageError
	var file fileError
	if !errors.As(err, &missing) && !errors.As(err, &usage) && !errors.As(err, &file) {
		return nil
	}
	out := &control.Error{Message: err.Error()}
	var cured interface{ Cure() string }
	if errors.As(err, &cured) {
		out.Cure = cured.Cure()
	}
	return out
}

// cluster is the engine with what it was told.
type cluster struct {
	engine    *policy.Engine
	view      inquiry.View
	namespace string // of objects without one
	// nextPod and nextSvc are the addresses that the next pod and Service get.
	nextPod  ipfamily.Pair[netip.Addr]
	nextSvc  ipfamily.Pair[netip.Addr]
	services []*corev1.Service
	noted    map[string]bool // kinds of objects that are passed over
	refused  []string        // what the engine does not take as it is written
	refusals []control.Refusal
}

// parse reads files of objects.
func parse(files []control.File) ([]manifests.Object, error) {
	var objects []manifests.Object
	var errs []error
	for _, f := range files {
		found, err := object.Parse(f.Name, f.Data)
		objects = append(objects, found...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fileError{err}
	}
	return objects, nil
}

// load makes an engine and tells it of the objects, which it does not change. They are
// those of the question's files.
func load(ctx context.Context, q control.Offline, objects []manifests.Object, namespace string) (*cluster, error) {
	var names []string
	for _, f := range q.Files {
		names = append(names, f.Name)
	}
	cfg := policy.Config{
		NodeName: "node", NodeAddrs: []netip.Addr{nodeAddr}, PodCIDRs: []netip.Prefix{podCIDR}, GCInterval: time.Hour,
	}
	c := &cluster{
		namespace: namespace, nextPod: ipfamily.Pair[netip.Addr]{V4: firstPod}, nextSvc: ipfamily.Pair[netip.Addr]{V4: firstSvc}, noted: map[string]bool{},
		view: inquiry.View{Source: strings.Join(names, ", "), Node: ipfamily.Pair[netip.Addr]{V4: nodeAddr}, APIServer: apiServer},
	}
	if speaksIPv6(q, objects) {
		cfg.IPv6, c.view.Node.V6 = true, nodeAddr6
		cfg.NodeAddrs, cfg.PodCIDRs = append(cfg.NodeAddrs, nodeAddr6), append(cfg.PodCIDRs, podCIDR6)
		c.nextPod.V6, c.nextSvc.V6 = firstPod6, firstSvc6
		c.view.Notes = append(c.view.Notes, "IPv6 is spoken of: the node and its pods are taken to have addresses of both families")
	}
	e, err := policy.New(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make a policy engine: %w", err)
	}
	c.engine = e
	if err := c.tell(ctx, objects); err != nil {
		e.Close()
		return nil, err
	}
	return c, nil
}

// tell tells the engine of the objects in the order of need: namespaces before
// pods, pods before policies.
func (c *cluster) tell(ctx context.Context, objects []manifests.Object) error {
	if err := c.engine.SetAPIServer(ctx, []netip.Addr{nodeAddr}); err != nil {
		return err
	}
	namespaces := map[string]map[string]string{"default": {}, "kube-system": {}, c.namespace: {}}
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace":
			namespaces[o.GetName()] = o.GetLabels()
		default:
			if ns := o.GetNamespace(); ns != "" && namespaces[ns] == nil {
				namespaces[ns] = map[string]string{}
			}
		}
	}
	for name, lbls := range namespaces {
		all := map[string]string{"kubernetes.io/metadata.name": name}
		for k, v := range lbls {
			all[k] = v
		}
		if err := c.engine.SetNamespace(ctx, name, all); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context, manifests.Object) error{c.pod, c.service, c.group, c.secret, c.policy} {
		for _, o := range objects {
			if err := step(ctx, o); err != nil {
				return err
			}
		}
		if err := c.afterPods(ctx); err != nil {
			return err
		}
	}
	for kind := range c.noted {
		c.view.Notes = append(c.view.Notes, "objects of kind "+kind+" are passed over")
	}
	slices.Sort(c.view.Notes)
	return nil
}

// into reads an object into its Go type.
func into[T any](o manifests.Object) (*T, error) {
	v := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, v); err != nil {
		return nil, fileError{fmt.Errorf("%s:%d: %s %s: %w", o.File, o.Line, o.GetKind(), o.GetName(), err)}
	}
	return v, nil
}

func (c *cluster) namespaceOf(o manifests.Object) string {
	if ns := o.GetNamespace(); ns != "" {
		return ns
	}
	return c.namespace
}

func (c *cluster) group(ctx context.Context, o manifests.Object) error {
	if o.GetKind() != "CiliumCIDRGroup" {
		return nil
	}
	g, err := into[ciliumv2.CiliumCIDRGroup](o)
	if err != nil {
		return err
	}
	return c.accepted(o, c.engine.SetCIDRGroup(ctx, g))
}

// secret tells of what headers are compared with.
func (c *cluster) secret(_ context.Context, o manifests.Object) error {
	if o.GetKind() != "Secret" {
		return nil
	}
	s, err := into[corev1.Secret](o)
	if err != nil {
		return err
	}
	data := maps.Clone(s.Data)
	for k, v := range s.StringData {
		if data == nil {
			data = map[string][]byte{}
		}
		data[k] = []byte(v) // as the API server merges them
	}
	c.engine.SetSecret(c.namespaceOf(o), o.GetName(), data)
	return nil
}

func (c *cluster) policy(ctx context.Context, o manifests.Object) error {
	switch o.GetKind() {
	case policy.KindNetworkPolicy:
		np, err := into[networkingv1.NetworkPolicy](o)
		if err != nil {
			return err
		}
		np.Namespace = c.namespaceOf(o)
		return c.accepted(o, c.engine.SetNetworkPolicy(ctx, np))
	case policy.KindClusterNetworkPolicy:
		cnp, err := into[policyv1alpha2.ClusterNetworkPolicy](o)
		if err != nil {
			return err
		}
		return c.accepted(o, c.engine.SetClusterNetworkPolicy(ctx, cnp))
	case policy.KindCiliumNetworkPolicy, policy.KindCiliumClusterwideNetworkPolicy:
		cnp, err := into[ciliumv2.CiliumNetworkPolicy](o)
		if err != nil {
			return err
		}
		clusterwide := o.GetKind() == policy.KindCiliumClusterwideNetworkPolicy
		if cnp.Namespace = c.namespaceOf(o); clusterwide {
			cnp.Namespace = ""
		}
		return c.accepted(o, c.engine.SetCiliumPolicy(ctx, cnp, clusterwide))
	}
	return nil
}

// accepted notes what the engine refuses of an object, as the cluster would with
// a condition and an event.
func (c *cluster) accepted(o manifests.Object, err error) error {
	if rejection, ok := errors.AsType[*policies.Rejection](err); ok {
		note := fmt.Sprintf("%s:%d: %s %s: %v", o.File, o.Line, o.GetKind(), o.GetName(), rejection)
		c.view.Notes, c.refused = append(c.view.Notes, note), append(c.refused, note)
		if rejection.Whole() {
			c.refusals = append(c.refusals, control.Refusal{
				File: o.File, Line: o.Line, Object: o.Ref(c.namespace).String(), Reason: rejection.Reason, Cure: rejection.Advice,
			})
		}
		return nil
	}
	return err
}
