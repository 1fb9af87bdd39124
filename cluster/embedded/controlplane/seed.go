package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	schedulingapi "k8s.io/kubernetes/pkg/apis/scheduling/v1"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/netdojo/netdojo/manifests/builtin/crds"
)

// Keys of ours in etcd, beside the API's own /registry.
const seedKey = "/netdojo/seed"

// seedVersion changes whenever what is seeded does.
var seedVersion = Version + "+" + crds.SchemaVersion + "+3"

// seed writes what a new cluster always has straight into etcd, before the API
// serves: namespaces, roles, priority classes, service accounts, CRDs, the node,
// cluster DNS. The API's own start hooks and the controllers would make the same
// objects, but they poll by the second. What is there already is left as it is.
//
// It reports whether this very seed had been laid before; if not, the API's
// hooks have to bring older roles up to date.
func (c *ControlPlane) seed(ctx context.Context, e *etcd) (known bool, err error) {
	had, err := e.server.Server.Range(ctx, &pb.RangeRequest{Key: []byte(seedKey)})
	if err != nil {
		return false, fmt.Errorf("read seed's mark: %w", err)
	}
	fresh := len(had.Kvs) == 0
	if !fresh {
		for _, n := range c.cfg.nodes() {
			if err := e.forgetReady(ctx, n.Name); err != nil {
				return false, fmt.Errorf("mark node %s as not ready: %w", n.Name, err)
			}
		}
		if string(had.Kvs[0].Value) == seedVersion {
			return true, nil
		}
	}
	rootCA, err := os.ReadFile(c.pki.cert(certCA))
	if err != nil {
		return false, fmt.Errorf("read certificate authority: %w", err)
	}
	objects := seedObjects(&c.cfg, string(rootCA))
	if c.bornDNS, err = c.bearDNS(ctx, e); err != nil {
		return false, err
	}
	if c.bornDNS {
		if err := seedDNS(objects, &c.cfg); err != nil {
			return false, err
		}
	}
	defs, err := seedCRDs(c.cfg.Logger)
	if err != nil {
		return false, err
	}
	enc, err := newSeedCodec()
	if err != nil {
		return false, err
	}
	if err := e.put(ctx, enc, objects, false); err != nil {
		return false, fmt.Errorf("seed objects: %w", err)
	}
	// A CRD of an older netdojo is replaced; instances are validated anew on use.
	if err := e.put(ctx, enc, defs, !fresh); err != nil {
		return false, fmt.Errorf("seed resource definitions: %w", err)
	}
	if _, err := e.server.Server.Put(ctx, &pb.PutRequest{Key: []byte(seedKey), Value: []byte(seedVersion)}); err != nil {
		return false, fmt.Errorf("write seed's mark: %w", err)
	}
	return fresh, nil
}

// bearDNS says whether cluster DNS is to be seeded: where there is any already,
// its pod has another name.
func (c *ControlPlane) bearDNS(ctx context.Context, e *etcd) (bool, error) {
	if !c.cfg.DNSUpstream.IsValid() {
		return false, nil
	}
	there, err := e.server.Server.Range(ctx, &pb.RangeRequest{Key: []byte(dnsDeploymentKey), CountOnly: true})
	if err != nil {
		return false, fmt.Errorf("look for cluster DNS: %w", err)
	}
	return there.Count == 0, nil
}

// put stores objects in one transaction each, where none is stored yet or where
// replace is set.
func (e *etcd) put(ctx context.Context, enc runtime.Encoder, objects map[string]runtime.Object, replace bool) error {
	var ops []*pb.RequestOp
	for key, obj := range objects {
		if !replace {
			got, err := e.server.Server.Range(ctx, &pb.RangeRequest{Key: []byte(key), CountOnly: true, Serializable: true})
			if err != nil {
				return err
			}
			if got.Count > 0 {
				continue
			}
		}
		value, err := runtime.Encode(enc, obj)
		if err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
			RequestPut: &pb.PutRequest{Key: []byte(key), Value: value},
		}})
	}
	if len(ops) == 0 {
		return nil
	}
	_, err := e.server.Server.Txn(ctx, &pb.TxnRequest{Success: ops})
	return err
}

// forgetReady takes back what the node said of itself before the last end: a
// kubelet that finds its node Ready reports it again only after a while.
func (e *etcd) forgetReady(ctx context.Context, node string) error {
	key := []byte("/registry/minions/" + node)
	got, err := e.server.Server.Range(ctx, &pb.RangeRequest{Key: key})
	if err != nil || len(got.Kvs) == 0 {
		return err
	}
	codec, err := newSeedCodec()
	if err != nil {
		return err
	}
	n := &corev1.Node{}
	if err := runtime.DecodeInto(codec, got.Kvs[0].Value, n); err != nil {
		return err
	}
	for i := range n.Status.Conditions {
		cond := &n.Status.Conditions[i]
		if cond.Type == corev1.NodeReady {
			cond.Status, cond.Reason, cond.Message = corev1.ConditionUnknown, "NodeStopped", "The node was stopped."
			cond.LastTransitionTime = metav1.Now()
		}
	}
	n.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	value, err := runtime.Encode(codec, n)
	if err != nil {
		return err
	}
	_, err = e.server.Server.Put(ctx, &pb.PutRequest{Key: key, Value: value})
	return err
}

// newSeedCodec reads and writes objects as the API stores them.
func newSeedCodec() (runtime.Serializer, error) {
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	utilruntime.Must(apiextv1.AddToScheme(scheme))
	return protobuf.NewSerializer(scheme, scheme), nil
}

// settled is how long ago seeded kinds were established, as they tell it: for
// two seconds after that moment the API holds back each object of a kind.
const settled = time.Minute

func seedCRDs(logger *slog.Logger) (map[string]runtime.Object, error) {
	all, err := crds.All(logger)
	if err != nil {
		return nil, err
	}
	out := map[string]runtime.Object{}
	for _, crd := range all {
		stampNew(&crd.ObjectMeta)
		crd.Generation = 1
		then := metav1.NewTime(time.Now().Add(-settled))
		crd.Status.AcceptedNames = crd.Spec.Names
		for _, v := range crd.Spec.Versions {
			if v.Storage {
				crd.Status.StoredVersions = []string{v.Name}
			}
		}
		crd.Status.Conditions = []apiextv1.CustomResourceDefinitionCondition{
			{Type: apiextv1.NamesAccepted, Status: apiextv1.ConditionTrue, Reason: "NoConflicts", Message: "no conflicts found", LastTransitionTime: then},
			{Type: apiextv1.Established, Status: apiextv1.ConditionTrue, Reason: "InitialNamesAccepted", Message: "the initial names have been accepted", LastTransitionTime: then},
		}
		out["/registry/apiextensions.k8s.io/customresourcedefinitions/"+crd.Name] = crd
	}
	return out, nil
}

// seedObjects maps etcd's keys to objects of their storage version.
func seedObjects(cfg *Config, rootCA string) map[string]runtime.Object {
	out := map[string]runtime.Object{}
	for _, ns := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
		out["/registry/namespaces/"+ns] = &corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: newMeta("", ns, map[string]string{corev1.LabelMetadataName: ns}),
			Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		}
		out["/registry/serviceaccounts/"+ns+"/default"] = &corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: newMeta(ns, "default", nil),
		}
		root := &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: newMeta(ns, "kube-root-ca.crt", nil),
			Data:       map[string]string{"ca.crt": rootCA},
		}
		root.Annotations = map[string]string{"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."}
		out["/registry/configmaps/"+ns+"/kube-root-ca.crt"] = root
	}
	for _, pc := range schedulingapi.SystemPriorityClasses() {
		pc = pc.DeepCopy()
		pc.SetGroupVersionKind(schedulingv1.SchemeGroupVersion.WithKind("PriorityClass"))
		stampNew(&pc.ObjectMeta)
		pc.Generation = 1
		out["/registry/priorityclasses/"+pc.Name] = pc
	}
	seedRoles(out)
	for _, n := range cfg.nodes() {
		out["/registry/minions/"+n.Name] = &corev1.Node{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
			ObjectMeta: newMeta("", n.Name, map[string]string{corev1.LabelHostname: n.Name}),
			Spec:       corev1.NodeSpec{PodCIDR: n.PodCIDR.V4.String(), PodCIDRs: ranges(n.PodCIDR)},
		}
	}
	out["/registry/minions/"+cfg.NodeName].(*corev1.Node).Labels["node-role.kubernetes.io/control-plane"] = ""
	return out
}

// nodes are all of the cluster's, the one of this process first.
func (c *Config) nodes() []Node {
	return append([]Node{{Name: c.NodeName, Addr: c.NodeAddr, PodCIDR: c.PodCIDR}}, c.Further...)
}

// seedRoles adds the roles and bindings that RBAC starts with.
func seedRoles(out map[string]runtime.Object) {
	for _, list := range [][]rbacv1.ClusterRole{bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()} {
		for i := range list {
			r := list[i].DeepCopy()
			r.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("ClusterRole"))
			stampNew(&r.ObjectMeta)
			out["/registry/clusterroles/"+r.Name] = r
		}
	}
	for _, list := range [][]rbacv1.ClusterRoleBinding{bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()} {
		for i := range list {
			b := list[i].DeepCopy()
			b.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding"))
			stampNew(&b.ObjectMeta)
			out["/registry/clusterrolebindings/"+b.Name] = b
		}
	}
	for ns, list := range bootstrappolicy.NamespaceRoles() {
		for i := range list {
			r := list[i].DeepCopy()
			r.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("Role"))
			r.Namespace = ns
			stampNew(&r.ObjectMeta)
			out["/registry/roles/"+ns+"/"+r.Name] = r
		}
	}
	for ns, list := range bootstrappolicy.NamespaceRoleBindings() {
		for i := range list {
			b := list[i].DeepCopy()
			b.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("RoleBinding"))
			b.Namespace = ns
			stampNew(&b.ObjectMeta)
			out["/registry/rolebindings/"+ns+"/"+b.Name] = b
		}
	}
}

func newMeta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
	stampNew(&m)
	return m
}

// stampNew gives an object what the API gives to every new one.
func stampNew(m *metav1.ObjectMeta) {
	m.UID = uuid.NewUUID()
	m.CreationTimestamp = metav1.NewTime(time.Now().Truncate(time.Second))
	m.ResourceVersion = ""
}
