package policy

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	"github.com/cilium/cilium/pkg/labels"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	ctypes "github.com/cilium/cilium/pkg/types"
)

// identityUpdater is how the IP cache tells of identities; they are in every
// endpoint's policy when the channel is closed.
type identityUpdater struct{ e *Engine }

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (u identityUpdater) UpdateIdentities(added, deleted identity.IdentityMap) <-chan struct{} {
	u.e.updateIdentities(added, deleted)
	return closedChan
}

// updateIdentities tells the peers' selectors about identities and lets every
// endpoint take the change over. It takes no lock that changes hold.
func (e *Engine) updateIdentities(added, deleted identity.IdentityMap) {
	sc := e.repo.GetSelectorCache()
	if sc.CanSkipUpdate(added, deleted) {
		return
	}
	wg := &sync.WaitGroup{}
	if sc.UpdateIdentities(added, deleted, wg) {
		e.mutated.Store(true)
	}
	wg.Wait()
	for _, ep := range e.pods.all() {
		ep.consume()
	}
}

// portMap hands the cluster's named ports to egress rules.
type portMap struct {
	m interface {
		ctypes.NamedPortMultiMap
		Update(nid identity.NumericIdentity, old, new ctypes.NamedPortMap) bool
	}
}

func (p *portMap) GetNamedPorts() ctypes.NamedPortMultiMap { return p.m }

// stopNotifications ends a selector cache's goroutine. Cilium, whose agent
// ends with its process, has no call for that; but the goroutine calls its
// users, and a user may end the goroutine it runs on.
func stopNotifications(sc *cpolicy.SelectorCache, _ *slog.Logger) {
	s := &stopper{done: make(chan struct{})}
	lbl := labels.NewLabel("netdojo.stop", "", labels.LabelSourceReserved)
	engineMu.Lock()
	sc.AddSelectors(s, policytypes.NewLabelSelectorFromLabels(lbl))
	engineMu.Unlock()
	sc.UpdateIdentities(identity.IdentityMap{identity.MaxNumericIdentity: labels.LabelArray{lbl}}, nil, &sync.WaitGroup{})
	<-s.done
}

type stopper struct{ done chan struct{} }

func (s *stopper) IdentitySelectionUpdated(*slog.Logger, policytypes.CachedSelector, []identity.NumericIdentity, []identity.NumericIdentity) {
	close(s.done)
	runtime.Goexit()
}
func (s *stopper) IdentitySelectionCommit(*slog.Logger, policytypes.SelectorSnapshot) {}
func (s *stopper) IsPeerSelector() bool                                               { return false }
func (s *stopper) GetRuleLabels(policytypes.CachedSelector) labels.LabelArrayList     { return nil }

// ipcacheTimeout bounds waits for the IP cache: they hold up every other change.
const ipcacheTimeout = 30 * time.Second

// waitIPCache waits until the IP cache, and with it every endpoint's policy,
// holds a change.
func waitIPCache(ctx context.Context, ipc *ipcache.IPCache, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, ipcacheTimeout)
	defer cancel()
	return ipc.WaitForRevision(ctx, revision)
}
