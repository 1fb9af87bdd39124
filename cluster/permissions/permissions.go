// Package permissions asks a cluster what its user may do there.
package permissions

import (
	"context"

	authv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// Refused asks by a SelfSubjectAccessReview each, as kubectl auth can-i does, and returns
// in its words what the user may not do, such as "create pods/exec -n shop".
func Refused(ctx context.Context, api authclient.SelfSubjectAccessReviewsGetter, deeds []authv1.ResourceAttributes) ([]string, error) {
	var refused []string
	for _, d := range deeds {
		answer, err := api.SelfSubjectAccessReviews().Create(ctx,
			&authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &d}}, metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		if !answer.Status.Allowed {
			refused = append(refused, inWords(d))
		}
	}
	return refused, nil
}

func inWords(d authv1.ResourceAttributes) string {
	what := d.Resource
	if d.Group != "" {
		what += "." + d.Group
	}
	if d.Subresource != "" {
		what += "/" + d.Subresource
	}
	if d.Namespace != "" {
		what += " -n " + d.Namespace
	}
	return d.Verb + " " + what
}
