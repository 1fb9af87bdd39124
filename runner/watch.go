package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies"
)

// Watch calls changed, with the kind and name of an object, whenever a policy or
// a pod of the lab's namespaces changes in a way that a check could see. It
// returns nil when ctx ends. Changed is called from several goroutines.
func Watch(ctx context.Context, h cluster.Handle, lab *labs.Lab, changed func(what string)) error {
	client, err := dynamic.NewForConfig(h.RESTConfig())
	if err != nil {
		return fmt.Errorf("watch the lab: %w", err)
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	in := append(namespacesOf(lab), "") // a clusterwide policy's
	watch := map[string]schema.GroupVersionResource{"Pod": corev1.SchemeGroupVersion.WithResource("pods")}
	for _, k := range policies.Kinds {
		if k.Optional {
			if _, err := client.Resource(k.GVR()).List(ctx, metav1.ListOptions{Limit: 1}); apierrors.IsNotFound(err) {
				continue
			}
		}
		watch[k.Name] = k.GVR()
	}
	var errs []error
	for kind, gvr := range watch {
		_, err := factory.ForResource(gvr).Informer().AddEventHandler(watchHandler(kind, in, changed))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watch the lab: %w", err)
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func watchHandler(kind string, in []string, changed func(string)) cache.ResourceEventHandler {
	tell := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		u, ok := obj.(*unstructured.Unstructured)
		if !ok || !slices.Contains(in, u.GetNamespace()) {
			return
		}
		if _, marker := u.GetLabels()[cluster.MarkerLabel]; !marker {
			changed(kind + " " + u.GetName())
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) {
			if !initial {
				tell(obj)
			}
		},
		UpdateFunc: func(old, obj any) {
			a, _ := old.(*unstructured.Unstructured)
			b, _ := obj.(*unstructured.Unstructured)
			if a == nil || b == nil || visible(kind, a) != visible(kind, b) {
				tell(obj)
			}
		},
		DeleteFunc: tell,
	}
}

// visible is what of an object a check could see: of a policy its spec, of a pod
// its labels, address and readiness. Status alone changes all the time.
func visible(kind string, u *unstructured.Unstructured) string {
	id := string(u.GetUID())
	if kind != "Pod" {
		return fmt.Sprintf("%s %d", id, u.GetGeneration())
	}
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod); err != nil {
		return id + u.GetResourceVersion()
	}
	ready := ""
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			ready = string(c.Status)
		}
	}
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(pod.Labels)) {
		pairs = append(pairs, k+"="+pod.Labels[k])
	}
	return strings.Join([]string{id, pod.Status.PodIP, ready, strings.Join(pairs, ",")}, " ")
}
