// Package watch feeds a node's policy engine from the API server: pods,
// namespaces, nodes, policies, CIDR groups and, once a policy names them,
// Services or Secrets. It writes back what became of policies, as conditions and events. It
// decides nothing, and knows no packet path.
package watch

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	ciliumclient "github.com/cilium/cilium/pkg/k8s/client/clientset/versioned/typed/cilium.io/v2"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	networkingclient "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
	policyclient "sigs.k8s.io/network-policy-api/pkg/client/clientset/versioned/typed/apis/v1alpha2"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// Config is what a watcher works with.
type Config struct {
	REST     *rest.Config
	Engine   *policy.Engine
	NodeName string
	// PublishEndpoints writes CiliumEndpoint and CiliumIdentity objects for the
	// pods of this node. It is for a cluster of one node, or where all nodes' engines
	// have the same numbers for identities.
	PublishEndpoints bool
	// SharedIdentities says that other nodes publish too: an identity goes when no node's
	// endpoint has it.
	SharedIdentities bool
	// Routes is told of other nodes' pods; nil where there are no other nodes.
	Routes Routes
	Logger *slog.Logger

	// policies replaces Engine for policies; tests set it.
	policies policyEngine
}

// policyEngine is what of the engine takes policies.
type policyEngine interface {
	PolicyState(policy.Key) (st policy.PolicyState, known bool)
	SetCiliumPolicy(ctx context.Context, cnp *ciliumv2.CiliumNetworkPolicy, clusterwide bool) error
	SetNetworkPolicy(ctx context.Context, np *networkingv1.NetworkPolicy) error
	SetClusterNetworkPolicy(ctx context.Context, cnp *policyv1alpha2.ClusterNetworkPolicy) error
	DeletePolicy(ctx context.Context, key policy.Key) error
}

// Routes leads to the pods of other nodes.
type Routes interface {
	SetNode(name string, via ipfamily.Pair[netip.Addr], pods []netip.Prefix) error
	RemoveNode(name string) error
}

// Watcher is a running set of watches.
type Watcher struct {
	cfg    Config
	engine *policy.Engine
	logger *slog.Logger
	core   coreclient.CoreV1Interface
	net    networkingclient.NetworkingV1Interface
	disc   discoveryclient.DiscoveryV1Interface
	cilium ciliumclient.CiliumV2Interface
	kcnp   policyclient.PolicyV1alpha2Interface

	pods, namespaces cache.Store
	services, slices cache.Store
	servicesOnce     sync.Once
	secretsOnce      sync.Once
	synced           []cache.InformerSynced

	// podMu orders what the store says of a pod with what the engine is told.
	podMu  sync.Mutex
	signal signal

	// policyMu orders what the stores say of policies with what the engine is told,
	// and guards policies.
	policyMu sync.Mutex
	policies map[string]cache.Store // by kind
	// retries are policies that the engine is to be given again, reports those whose
	// outcome is to be written on the object.
	retries, reports workqueue.TypedRateLimitingInterface[policy.Key]
	told             told

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Start opens the watches. They run until Close; ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Watcher, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.policies == nil {
		cfg.policies = cfg.Engine
	}
	w := &Watcher{cfg: cfg, engine: cfg.Engine, logger: cfg.Logger}
	rc := rest.CopyConfig(cfg.REST)
	rc.QPS, rc.Burst = -1, -1 // the API server has its own fairness
	client, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	protobuf := rest.CopyConfig(rc)
	protobuf.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	core, err := coreclient.NewForConfigAndClient(protobuf, client)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	netc, err := networkingclient.NewForConfigAndClient(protobuf, client)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	disc, err := discoveryclient.NewForConfigAndClient(protobuf, client)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	cil, err := ciliumclient.NewForConfigAndClient(rc, client)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	kcnp, err := policyclient.NewForConfigAndClient(rc, client)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	w.core, w.net, w.disc, w.cilium, w.kcnp = core, netc, disc, cil, kcnp
	w.signal.init()
	w.retries, w.reports = newQueue(), newQueue()
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.watchCluster()
	w.watchPolicies()
	w.running.Go(w.retry)
	w.running.Go(w.report)
	if cfg.PublishEndpoints {
		w.running.Go(w.publish)
	}
	return w, nil
}

func newQueue() workqueue.TypedRateLimitingInterface[policy.Key] {
	return workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[policy.Key](20*time.Millisecond, 30*time.Second))
}

// WaitForSync waits until the engine knows what the API server held at Start.
func (w *Watcher) WaitForSync(ctx context.Context) error {
	if !allSynced(ctx, w.synced...) {
		return fmt.Errorf("wait for objects of the API server: %w", ctx.Err())
	}
	return nil
}

// allSynced waits for watches to be in step; false when ctx ended first. It
// looks more often than client-go's own wait: a node's start waits for it.
func allSynced(ctx context.Context, synced ...cache.InformerSynced) bool {
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	for _, done := range synced {
		for !done() {
			select {
			case <-ctx.Done():
				return false
			case <-t.C:
			}
		}
	}
	return true
}

// Close ends the watches and waits for their goroutines. The engine keeps what
// it was told.
func (w *Watcher) Close() {
	w.cancel()
	w.retries.ShutDown()
	w.reports.ShutDown()
	w.running.Wait()
}

// source is one watch.
type source struct {
	client    cache.Getter
	resource  string
	namespace string
	options   func(*metav1.ListOptions)
	object    runtime.Object
	slim      func(any) // drops what nobody reads
	set       func(any)
	remove    func(any)
}

// watch starts a watch. Handlers run one after the other, after the store has
// the change.
func (w *Watcher) watch(s source) (cache.Store, cache.InformerSynced) {
	if s.options == nil {
		s.options = func(*metav1.ListOptions) {}
	}
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.ToListWatcherWithWatchListSemantics(
			cache.NewFilteredListWatchFromClient(s.client, s.resource, s.namespace, s.options), plainList{}),
		ObjectType: s.object,
		Transform: func(obj any) (any, error) {
			if m, err := meta.Accessor(obj); err == nil {
				m.SetManagedFields(nil)
			}
			if s.slim != nil {
				s.slim(obj)
			}
			return obj, nil
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    s.set,
			UpdateFunc: func(_, obj any) { s.set(obj) },
			DeleteFunc: func(obj any) {
				if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = gone.Obj
				}
				s.remove(obj)
			},
		},
	})
	w.running.Go(func() { controller.RunWithContext(w.ctx) })
	return store, controller.HasSynced
}

// plainList asks for LIST and WATCH instead of a streamed list. The first stream
// of a custom resource is turned away for a second, while the API server fills
// its cache; a list is answered at once.
type plainList struct{}

func (plainList) IsWatchListSemanticsUnSupported() bool { return true }

// failed notes an engine call that went wrong for another reason than the object.
func (w *Watcher) failed(what string, err error) {
	if err != nil && w.ctx.Err() == nil {
		w.logger.Error(what, "error", err)
	}
}

// signal wakes all who wait for a change.
type signal struct {
	mu sync.Mutex
	c  chan struct{}
}

func (s *signal) init() { s.c = make(chan struct{}) }
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c
}
func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.c)
	s.c = make(chan struct{})
}
