package builtin

import (
	"embed"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed all:packed
var packed embed.FS

// ClusterNetworkPolicies is the definition of the Kubernetes network policy API's
// ClusterNetworkPolicy, its experimental channel: Cilium serves domainNames, which
// the other lacks. Its short name is left out, as it is that of CiliumNetworkPolicy.
// It is packed when netdojo is built, from the module that Cilium takes the Go type
// from.
func ClusterNetworkPolicies() (*unstructured.Unstructured, error) {
	text, err := packed.ReadFile("packed/clusternetworkpolicies.yaml")
	if err != nil {
		return nil, fmt.Errorf("%w: this program was not built by make build", err)
	}
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &u.Object); err != nil {
		return nil, fmt.Errorf("parse the definition of ClusterNetworkPolicy: %w", err)
	}
	unstructured.RemoveNestedField(u.Object, "spec", "names", "shortNames")
	unstructured.RemoveNestedField(u.Object, "status")
	return u, nil
}
