package service

import (
	"context"
	"sync"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/proxy"
)

// watch follows Services, EndpointSlices and the node's pods, and keeps what they amount to.
type watch struct {
	cfg     Config
	factory informers.SharedInformerFactory // Services and EndpointSlices
	pods    informers.SharedInformerFactory // those of this node
	// changed has a value when state may differ from what it was.
	changed chan struct{}
	ready   []cache.InformerSynced

	services  *proxy.ServiceChangeTracker
	endpoints *proxy.EndpointsChangeTracker

	mu   sync.Mutex // guards the maps; state alone updates those of Services
	svcs proxy.ServicePortMap
	eps  proxy.EndpointsMap

	hosts map[frontend]hostPort // guarded by mu
}

// family is the one that is served, as Kubernetes names it.
func (c Config) family() v1.IPFamily {
	if c.NodeAddr.Is6() {
		return v1.IPv6Protocol
	}
	return v1.IPv4Protocol
}

func newWatch(cfg Config) *watch {
	w := &watch{
		cfg: cfg, changed: make(chan struct{}, 1),
		services:  proxy.NewServiceChangeTracker(cfg.family(), nil, nil),
		endpoints: proxy.NewEndpointsChangeTracker(cfg.family(), cfg.NodeName, nil, nil),
		svcs:      proxy.ServicePortMap{}, eps: proxy.EndpointsMap{},
		hosts: map[frontend]hostPort{}, pods: podsOf(cfg),
	}
	// Services of another proxy and slices of headless ones are not ours.
	selector := labels.NewSelector()
	for _, label := range []string{"service.kubernetes.io/service-proxy-name", v1.IsHeadlessService} {
		r, err := labels.NewRequirement(label, selection.DoesNotExist, nil)
		if err != nil {
			panic(err) // a constant that is no label
		}
		selector = selector.Add(*r)
	}
	w.factory = informers.NewSharedInformerFactoryWithOptions(cfg.Client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector.String() }),
		informers.WithTransform(withoutManagers))
	w.follow(w.factory.Core().V1().Services().Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.services.Update(nil, o.(*v1.Service)); w.signal() },
		UpdateFunc: func(old, o any) { w.services.Update(old.(*v1.Service), o.(*v1.Service)); w.signal() },
		DeleteFunc: func(o any) {
			if svc, ok := last(o).(*v1.Service); ok {
				w.services.Update(svc, nil)
				w.signal()
			}
		},
	})
	slice := func(o any, gone bool) {
		if s, ok := last(o).(*discovery.EndpointSlice); ok && w.endpoints.EndpointSliceUpdate(s, gone) {
			w.signal()
		}
	}
	w.follow(w.factory.Discovery().V1().EndpointSlices().Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { slice(o, false) },
		UpdateFunc: func(_, o any) { slice(o, false) },
		DeleteFunc: func(o any) { slice(o, true) },
	})
	w.followPods()
	return w
}

// withoutManagers leaves out who set which field: nothing here reads it.
func withoutManagers(o any) (any, error) {
	if m, ok := o.(metav1.Object); ok {
		m.SetManagedFields(nil)
	}
	return o, nil
}

// last is the object of an event, also where its deletion was missed.
func last(o any) any {
	if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
		return t.Obj
	}
	return o
}

func (w *watch) follow(inf cache.SharedIndexInformer, h cache.ResourceEventHandler) {
	reg, err := inf.AddEventHandler(h)
	if err != nil {
		panic(err) // only an informer that was stopped refuses
	}
	w.ready = append(w.ready, reg.HasSynced)
}

func (w *watch) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run follows until ctx ends.
func (w *watch) run(ctx context.Context) {
	w.factory.Start(ctx.Done())
	w.pods.Start(ctx.Done())
	if cache.WaitForCacheSync(ctx.Done(), w.ready...) {
		w.signal()
	}
	<-ctx.Done()
	w.factory.Shutdown()
	w.pods.Shutdown()
}

// state takes in what changed and returns the whole; false before everything
// has been listed once.
func (w *watch) state() (*state, bool) {
	for _, ready := range w.ready {
		if !ready() {
			return nil, false
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.svcs.Update(w.services)
	w.eps.Update(w.endpoints)
	s := build(w.svcs, w.eps, w.cfg)
	s.addHosts(w.hosts, w.cfg.NodeAddr)
	return s, true
}
