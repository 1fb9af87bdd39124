// Package learn finds the DNS names that Cilium policies speak of, so that a
// simulated world can serve them: a learner who allows a name can reach it,
// whichever it is.
package learn

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/netdojo/netdojo/policies"
)

// Watch calls serve with the names of each policy, as it comes and changes,
// until stop is called or ctx ends. What serve refuses is logged.
func Watch(ctx context.Context, config *rest.Config, serve func(names ...string) error, log *slog.Logger) (stop func(), err error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = "", "" // custom resources are JSON only
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("watch policies for names: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
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
		if err := serve(names...); err != nil {
			log.Info("names of a policy", "policy", u.GetName(), "error", err)
		}
	}
	for _, name := range []string{policies.CiliumNetworkPolicy, policies.CiliumClusterwideNetworkPolicy} {
		kind, _ := policies.Find(name)
		_, err := informers.ForResource(kind.GVR()).Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    learn,
			UpdateFunc: func(_, obj any) { learn(obj) },
		})
		if err != nil {
			cancel()
			return nil, fmt.Errorf("watch %s for names: %w", kind.Resource, err)
		}
	}
	informers.Start(ctx.Done())
	return func() {
		cancel()
		informers.Shutdown()
	}, nil
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
