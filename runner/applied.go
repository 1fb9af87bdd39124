package runner

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/policies"
)

// Applied are the policies on a cluster, of all namespaces and kinds, but for
// netdojo's own.
func Applied(ctx context.Context, h cluster.Handle) ([]unstructured.Unstructured, error) {
	client, err := dynamic.NewForConfig(h.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("list the policies: %w", err)
	}
	var out []unstructured.Unstructured
	for _, k := range policies.Kinds {
		found, err := client.Resource(k.GVR()).List(ctx, metav1.ListOptions{})
		if k.Optional && apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list the policies: %w", err)
		}
		for _, p := range found.Items {
			if _, marker := p.GetLabels()[cluster.MarkerLabel]; !marker {
				out = append(out, p)
			}
		}
	}
	return out, nil
}
