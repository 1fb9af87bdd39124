// Package policies is what every room knows of policy objects: which kinds there
// are, and why one is not enforced as it is written. It knows no client and no
// engine, so that all may import it.
package policies

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Names of the kinds of policy objects.
const (
	CiliumNetworkPolicy            = "CiliumNetworkPolicy"
	CiliumClusterwideNetworkPolicy = "CiliumClusterwideNetworkPolicy"
	NetworkPolicy                  = "NetworkPolicy"
	ClusterNetworkPolicy           = "ClusterNetworkPolicy"
)

// Kind is a kind of policy object.
type Kind struct {
	Name        string // as in an object's field kind
	Group       string
	Version     string // that netdojo reads and writes
	Resource    string // the plural, as in a path of the API
	Clusterwide bool   // its objects have no namespace
	Optional    bool   // a custom resource, which a cluster may lack
}

// Kinds are all that a datapath of netdojo's judges by.
var Kinds = []Kind{
	{Name: CiliumNetworkPolicy, Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies", Optional: true},
	{
		Name: CiliumClusterwideNetworkPolicy, Group: "cilium.io", Version: "v2",
		Resource: "ciliumclusterwidenetworkpolicies", Clusterwide: true, Optional: true,
	},
	{Name: NetworkPolicy, Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	{
		Name: ClusterNetworkPolicy, Group: "policy.networking.k8s.io", Version: "v1alpha2",
		Resource: "clusternetworkpolicies", Clusterwide: true, Optional: true,
	},
}

// GVK names the kind with its group and version.
func (k Kind) GVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: k.Group, Version: k.Version, Kind: k.Name}
}

// GVR names the kind's resource, as dynamic clients take it.
func (k Kind) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
}

// APIVersion is what objects of the kind have in the field apiVersion.
func (k Kind) APIVersion() string { return k.GVK().GroupVersion().String() }

// Find returns the kind of that name; false when it is none of policies.
func Find(name string) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

// Is says whether objects of a group and kind are policies, whatever their
// version.
func Is(gk schema.GroupKind) bool {
	k, ok := Find(gk.Kind)
	return ok && k.Group == gk.Group
}

// Names are the names of all kinds, in the order of Kinds.
func Names() []string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = k.Name
	}
	return names
}
