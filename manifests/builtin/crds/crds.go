// Package crds holds the custom resources that netdojo's datapath serves. It
// links Cilium's own, so the client does not.
package crds

import (
	"fmt"
	"log/slog"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netdojo/netdojo/manifests/builtin"
)

// SchemaVersionLabel is the label in which Cilium notes its schema's version on
// a CRD, and SchemaVersion the version of CRDs. A stored CRD of another version
// is out of date.
const (
	SchemaVersionLabel = ciliumio.CustomResourceDefinitionSchemaVersionKey
	SchemaVersion      = ciliumio.CustomResourceDefinitionSchemaVersion
)

// kinds are those that the datapath serves or publishes: the name of the CRD
// in Cilium's module, and where the API lists its objects.
var kinds = []struct{ name, path string }{
	{client.CNPCRDName, "/apis/cilium.io/v2/ciliumnetworkpolicies"},
	{client.CCNPCRDName, "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies"},
	{client.CCGCRDName, "/apis/cilium.io/v2/ciliumcidrgroups"},
	{client.CEPCRDName, "/apis/cilium.io/v2/ciliumendpoints"},
	{client.CIDCRDName, "/apis/cilium.io/v2/ciliumidentities"},
	{client.CNCRDName, "/apis/cilium.io/v2/ciliumnodes"},
}

// clusterPolicies is the kind that Cilium serves beside its own.
const clusterPolicies = "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies"

// Paths are the API's paths of the lists of all kinds that CRDs define.
func Paths() []string {
	out := []string{clusterPolicies}
	for _, k := range kinds {
		out = append(out, k.path)
	}
	return out
}

// All are Cilium's own definitions of the policy kinds, endpoints, identities
// and nodes, with short names and printer columns, every default filled in, and
// ClusterNetworkPolicy. Parsing them takes a tenth of a second or two. The caller
// owns the result.
func All(logger *slog.Logger) ([]*apiextv1.CustomResourceDefinition, error) {
	out := make([]*apiextv1.CustomResourceDefinition, 0, len(kinds)+1)
	for _, k := range kinds {
		crd := client.GetPregeneratedCRD(logger, k.name)
		out = append(out, complete(&crd))
	}
	kcnp, err := ClusterNetworkPolicies()
	if err != nil {
		return nil, err
	}
	return append(out, kcnp), nil
}

// ClusterNetworkPolicies is that of builtin, every default filled in.
func ClusterNetworkPolicies() (*apiextv1.CustomResourceDefinition, error) {
	object, err := builtin.ClusterNetworkPolicies()
	if err != nil {
		return nil, err
	}
	var crd apiextv1.CustomResourceDefinition
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &crd); err != nil {
		return nil, fmt.Errorf("read the definition of ClusterNetworkPolicy: %w", err)
	}
	out := complete(&crd)
	out.Annotations = crd.Annotations // that the group was approved of
	return out, nil
}

func complete(in *apiextv1.CustomResourceDefinition) *apiextv1.CustomResourceDefinition {
	crd := &apiextv1.CustomResourceDefinition{Spec: in.Spec}
	crd.SetGroupVersionKind(apiextv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	crd.ObjectMeta = metav1.ObjectMeta{
		Name:   in.Spec.Names.Plural + "." + in.Spec.Group,
		Labels: map[string]string{SchemaVersionLabel: SchemaVersion},
	}
	names := &crd.Spec.Names
	if names.Singular == "" {
		names.Singular = strings.ToLower(names.Kind)
	}
	if names.ListKind == "" {
		names.ListKind = names.Kind + "List"
	}
	if crd.Spec.Conversion == nil {
		crd.Spec.Conversion = &apiextv1.CustomResourceConversion{Strategy: apiextv1.NoneConverter}
	}
	return crd
}
