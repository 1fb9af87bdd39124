package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
)

var sliceGVK = schema.GroupVersionKind{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"}

// dnsTimeout bounds the wait for cluster DNS that is not there: a pod that is being
// replaced is back sooner. apiTimeout is for the Service of the API, which its server
// makes anew within ten seconds.
const (
	dnsTimeout = 45 * time.Second
	apiTimeout = 15 * time.Second
)

// clusterDNS brings back what is gone of the cluster's own DNS: kubectl delete all --all
// -A takes it with the rest. It returns the wait for a pod of it that is ready, which
// comes after the lab's workloads: a cluster that has just come up readies both
// meanwhile. Clusters that do not keep their DNS are left as they are.
func (s *Session) clusterDNS(ctx context.Context, detail func(string)) (await func(context.Context) error, err error) {
	there := func(context.Context) error { return nil }
	keeper, ok := s.handle.(cluster.DNSKeeper)
	if !ok {
		return there, nil
	}
	// A pod that starts is asked already (the Service publishes it): a cluster that has just
	// come up is not waited for.
	if found, err := s.dnsHas(ctx, anyPod); found || err != nil {
		return there, err
	}
	objects, err := keeper.DNSObjects()
	if err != nil {
		return nil, err
	}
	brought, err := s.bringBack(ctx, objects)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		detail("cluster DNS")
		return s.awaitDNS(ctx, brought)
	}, nil
}

// bringBack applies those of the objects that are gone, and says which they were.
func (s *Session) bringBack(ctx context.Context, objects []*unstructured.Unstructured) ([]manifests.Ref, error) {
	gone := make([]bool, len(objects))
	group, gctx := errgroup.WithContext(ctx)
	for i, u := range objects {
		group.Go(func() error {
			_, err := s.conn.objects.Get(gctx, manifests.Object{Unstructured: u}.Ref(metav1.NamespaceSystem))
			if gone[i] = apierrors.IsNotFound(err); gone[i] {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("look for cluster DNS: %w", err)
	}
	var brought []manifests.Ref
	for i, u := range objects {
		if !gone[i] {
			continue
		}
		if len(brought) == 0 {
			s.awaitAPIService(ctx)
		}
		obj := manifests.Object{Unstructured: u}
		if _, err := s.conn.objects.Apply(ctx, obj, metav1.NamespaceSystem); err != nil {
			return nil, fmt.Errorf("bring cluster DNS back: %w", err)
		}
		brought = append(brought, obj.Ref(metav1.NamespaceSystem))
	}
	return brought, nil
}

// awaitDNS waits until cluster DNS has a pod that is ready, and what was brought back is.
func (s *Session) awaitDNS(ctx context.Context, brought []manifests.Ref) error {
	within, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(within, readyPause, true, func(ctx context.Context) (ready bool, err error) {
		ready, last = s.dnsHas(ctx, servingPod)
		// A pod from before that is about to end may serve still: the new ones count.
		for _, ref := range brought {
			ready = ready && s.isReady(ctx, ref)
		}
		return ready, nil
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &EnvironmentError{
			Err:    errors.Join(errors.New("cluster DNS does not work: the Service kube-dns of kube-system has no pod that is ready"), last),
			Advice: fmt.Sprintf("look at its pods (netdojo kubectl -n kube-system get pods -l k8s-app=kube-dns), or start the cluster anew: netdojo down --purge --name %s", s.t.Spec.Name),
		}
	case len(brought) > 0:
		s.emit(event.Notice{Text: "cluster DNS was gone; it was brought back"})
	}
	return nil
}

// awaitAPIService waits for the Service kubernetes: a pod that starts without it is
// not told where the API is. Cluster DNS that starts so ends, and is started again.
func (s *Session) awaitAPIService(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	service := manifests.Ref{GVK: schema.GroupVersionKind{Version: "v1", Kind: "Service"}, Namespace: metav1.NamespaceDefault, Name: "kubernetes"}
	_ = wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (bool, error) {
		_, err := s.conn.objects.Get(ctx, service)
		return err == nil, nil
	})
}

// isReady says whether an object is there and ready.
func (s *Session) isReady(ctx context.Context, ref manifests.Ref) bool {
	u, err := s.conn.objects.Get(ctx, ref)
	if err != nil {
		return false
	}
	ready, _ := manifests.Ready(u)
	return ready
}

// dnsHas says whether the Service kube-dns is there and has a pod of a kind.
func (s *Session) dnsHas(ctx context.Context, kind func(conditions map[string]any) bool) (bool, error) {
	service := manifests.Ref{GVK: schema.GroupVersionKind{Version: "v1", Kind: "Service"}, Namespace: metav1.NamespaceSystem, Name: "kube-dns"}
	var there *unstructured.Unstructured
	var slices []unstructured.Unstructured
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		there, err = s.conn.objects.Get(gctx, service)
		return err
	})
	group.Go(func() (err error) {
		slices, err = s.conn.objects.List(gctx, sliceGVK, metav1.NamespaceSystem, "kubernetes.io/service-name=kube-dns")
		return err
	})
	if err := group.Wait(); apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("look for cluster DNS: %w", err)
	}
	for _, one := range slices {
		if of(one, there.GetUID()) && hasPod(one, kind) {
			return true, nil
		}
	}
	return false, nil
}

// of says whether an EndpointSlice is of the Service with this UID, and not of one
// that was deleted before.
func of(slice unstructured.Unstructured, service types.UID) bool {
	for _, owner := range slice.GetOwnerReferences() {
		if owner.UID != service {
			return false
		}
	}
	return true
}

// hasPod says whether an EndpointSlice has a pod of a kind that is not about to end.
func hasPod(slice unstructured.Unstructured, kind func(conditions map[string]any) bool) bool {
	endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
	for _, e := range endpoints {
		one, ok := e.(map[string]any)
		if !ok {
			continue
		}
		conditions, _, _ := unstructured.NestedMap(one, "conditions")
		if ending, _ := conditions["terminating"].(bool); !ending && kind(conditions) {
			return true
		}
	}
	return false
}

func anyPod(map[string]any) bool { return true }

// servingPod is one that answers. A Service that publishes pods which are not ready calls
// all of them ready, so that it is serving that tells.
func servingPod(conditions map[string]any) bool {
	serving, _ := conditions["serving"].(bool)
	return serving
}
