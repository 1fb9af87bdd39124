// Package policy judges connections and DNS questions by Cilium's own policy
// engine. Objects of Kubernetes go in (pods, namespaces, policies, CIDR groups,
// Services), verdicts come out. It translates and never decides a rule itself,
// and it knows neither the API server nor the packet path.
//
// One engine stands for one node: "host" and "remote-node" are relative to it.
package policy

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/identity/identitymanager"
	"github.com/cilium/cilium/pkg/ipcache"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	ctypes "github.com/cilium/cilium/pkg/types"

	"github.com/netdojo/netdojo/datapath/policy/l7"
)

// Config is what an engine needs to know of its node.
type Config struct {
	// ClusterName is "default" when empty. All engines of a process share it.
	ClusterName string
	NodeName    string
	// IPv6 says that pods have an address of that family beside the other. All
	// engines of a process share it; without, IPv6 addresses are nobody's.
	IPv6 bool
	// CIDRMatch is what CIDRs select by its addresses beside the outside: CIDRMatchPods,
	// CIDRMatchNodes, as Cilium's option policy-cidr-match-mode. All engines of a
	// process share it too.
	CIDRMatch []string
	// NodeAddrs have the identity host, the ones that pods see as their gateway
	// included.
	NodeAddrs []netip.Addr
	// PodCIDRs hold pods only: an address in them without an endpoint is
	// nobody's, and refused.
	PodCIDRs []netip.Prefix
	// SharedIdentities has identities of pods numbered by their labels, so that engines of
	// several nodes have the same numbers, but for two sets of labels in some ten thousand
	// that meet. Else they are numbered as they come.
	SharedIdentities bool
	// ActiveConns lists the connections that are alive, so that names they were
	// opened by are kept. Nil keeps none; an error keeps all.
	ActiveConns func(context.Context) ([]Conn, error)
	// GCInterval is how often expired DNS names are looked for; 10 s when zero.
	// A name goes two to three rounds after its TTL.
	GCInterval time.Duration
	Logger     *slog.Logger
}

// Conn is the two ends of a live connection, after Service translation.
type Conn struct{ Src, Dst netip.Addr }

// Engine judges. Its methods are safe for concurrent use.
type Engine struct {
	cfg    Config
	logger *slog.Logger

	ids     *allocator
	repo    *cpolicy.Repository
	ipc     *ipcache.IPCache
	names   *names
	ports   *portMap
	metas   ruleCache
	mutated atomic.Bool // an identity changed its labels: recompute all

	// update serialises changes. Decisions never take it. It is not held by the
	// IP cache's goroutine, for which changes wait.
	update     sync.Mutex
	namespaces map[string]map[string]string
	policies   map[Key]*object
	groups     map[string]map[netip.Prefix]struct{} // CIDR group → its prefixes
	services   map[Key]Service
	nodes      nodeTable
	lastID     uint32
	changed    chan struct{} // closed when Endpoints lists something else
	learned    chan struct{} // has a value when DNS answered

	pods     podTable
	epoch    atomic.Uint32
	revision atomic.Uint64

	secrets l7.Secrets
	subs    subscribers
	states  states
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing sync.Once
}

// New returns a running engine that knows its node and no pod or policy.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.ClusterName == "" {
		cfg.ClusterName = "default"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.GCInterval == 0 {
		cfg.GCInterval = 10 * time.Second
	}
	if err := setup(cfg.Logger, cfg.ClusterName, cfg.IPv6, cfg.CIDRMatch); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e := &Engine{
		cfg: cfg, logger: cfg.Logger, cancel: cancel,
		namespaces: map[string]map[string]string{},
		policies:   map[Key]*object{},
		groups:     map[string]map[netip.Prefix]struct{}{},
		services:   map[Key]Service{},
		ports:      &portMap{ctypes.NewNamedPortMultiMap()},
		learned:    make(chan struct{}, 1),
	}
	e.states.init()
	e.pods.init()
	e.ids = newAllocator(cfg.SharedIdentities, func(added, deleted identity.IdentityMap) { e.updateIdentities(added, deleted) })
	e.repo = cpolicy.NewPolicyRepository(cfg.Logger, identity.ListReservedIdentities(), nil,
		envoypolicy.NewEnvoyL7RulesTranslator(cfg.Logger, &e.secrets), identitymanager.NewIDManager(cfg.Logger), nil)
	e.repo.SetNamedPortsGetter(e.ports)
	e.ipc = ipcache.NewIPCache(&ipcache.Configuration{
		Context: run, Logger: cfg.Logger, IdentityAllocator: e.ids, IdentityUpdater: identityUpdater{e},
	})
	e.names = newNames(cfg.Logger, e.ipc, cfg.IPv6)
	e.repo.GetSelectorCache().SetLocalIdentityNotifier(e.names)
	e.epoch.Store(1 + rand.Uint32N(MaxEpoch))
	e.subs.wake = make(chan struct{}, 1)

	e.update.Lock()
	err := e.applyNodes(ctx)
	e.update.Unlock()
	if err != nil {
		cancel()
		e.stopEngine()
		return nil, err
	}
	e.running.Go(func() { e.subs.run(run, e.Epoch) })
	e.running.Go(func() { e.collect(run) })
	return e, nil
}

// Close ends the engine's goroutines. Decisions go on by the last state. It may
// be called again.
func (e *Engine) Close() {
	e.closing.Do(func() {
		e.cancel()
		e.running.Wait()
		e.stopEngine()
	})
}

func (e *Engine) stopEngine() {
	if err := e.ipc.Shutdown(); err != nil {
		e.logger.Debug("stop the IP cache", "error", err)
	}
	stopNotifications(e.repo.GetSelectorCache(), e.logger)
	stopNotifications(e.repo.GetSubjectSelectorCache(), e.logger)
}
