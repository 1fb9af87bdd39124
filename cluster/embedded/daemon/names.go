//go:build linux

package daemon

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// learnNames makes the world serve every name that a Cilium policy speaks of: a
// learner who allows a name can reach it, whichever it is.
func (n *node) learnNames(ctx context.Context, config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = "", "" // custom resources are JSON only
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("watch policies for names: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	informers := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	learn := func(obj any) {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return
		}
		names := namesIn(u.Object["spec"], namesIn(u.Object["specs"], nil))
		if len(names) == 0 {
			return
		}
		if err := n.world.Load().Serve(names...); err != nil {
			n.log.Info("names of a policy", "policy", u.GetName(), "error", err)
		}
	}
	for _, resource := range []string{"ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies"} {
		gvr := schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: resource}
		_, err := informers.ForResource(gvr).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    learn,
			UpdateFunc: func(_, obj any) { learn(obj) },
		})
		if err != nil {
			stop()
			return fmt.Errorf("watch %s for names: %w", resource, err)
		}
	}
	informers.Start(ctx.Done())
	n.onStop("names of policies", func(context.Context) error {
		stop()
		informers.Shutdown()
		return nil
	})
	return nil
}

// namesIn collects the values of matchName below v, and of those matchPatterns
// that a world can serve.
func namesIn(v any, names []string) []string {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			name, isText := below.(string)
			if isText && (key == "matchName" || key == "matchPattern") {
				names = append(names, name)
				continue
			}
			names = namesIn(below, names)
		}
	case []any:
		for _, below := range v {
			names = namesIn(below, names)
		}
	}
	return names
}
