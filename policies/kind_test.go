package policies_test

import (
	"testing"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/netdojo/netdojo/policies"
)

// TestKindsAreTheAPIs compares the table with the Go types of the APIs.
func TestKindsAreTheAPIs(t *testing.T) {
	want := map[string]schema.GroupVersionResource{
		policies.CiliumNetworkPolicy:            ciliumv2.SchemeGroupVersion.WithResource(ciliumv2.CNPPluralName),
		policies.CiliumClusterwideNetworkPolicy: ciliumv2.SchemeGroupVersion.WithResource(ciliumv2.CCNPPluralName),
		policies.NetworkPolicy:                  networkingv1.SchemeGroupVersion.WithResource("networkpolicies"),
		policies.ClusterNetworkPolicy:           {Group: policyv1alpha2.GroupName, Version: "v1alpha2", Resource: "clusternetworkpolicies"},
	}
	for _, k := range policies.Kinds {
		if k.GVR() != want[k.Name] {
			t.Errorf("%s is %v, want %v", k.Name, k.GVR(), want[k.Name])
		}
		if k.GVK().Kind != k.Name || k.APIVersion() != want[k.Name].GroupVersion().String() {
			t.Errorf("%s: %v, %s", k.Name, k.GVK(), k.APIVersion())
		}
		if found, ok := policies.Find(k.Name); !ok || found != k {
			t.Errorf("Find(%s) = %v, %v", k.Name, found, ok)
		}
	}
	if len(policies.Kinds) != len(want) || len(policies.Names()) != len(want) {
		t.Errorf("there are %d kinds, want %d", len(policies.Kinds), len(want))
	}
}

func TestIs(t *testing.T) {
	for gk, want := range map[schema.GroupKind]bool{
		{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:          true,
		{Group: "policy.networking.k8s.io", Kind: "NetworkPolicy"}:   false,
		{Group: "projectcalico.org", Kind: "NetworkPolicy"}:          false,
		{Group: "cilium.io", Kind: "CiliumClusterwideNetworkPolicy"}: true,
		{Group: "cilium.io", Kind: "CiliumCIDRGroup"}:                false,
		{}: false,
	} {
		if got := policies.Is(gk); got != want {
			t.Errorf("Is(%v) = %v", gk, got)
		}
	}
	if _, ok := policies.Find("Pod"); ok {
		t.Error("a Pod is found among policies")
	}
}
