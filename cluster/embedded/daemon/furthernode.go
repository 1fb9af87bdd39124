//go:build linux

package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/cluster/agentapi"
	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/place"
	"github.com/netdojo/netdojo/cluster/world/outside"
)

// RunFurther is Run in a further node: it has no control plane and no world, but the
// first node's. From says what it is to be, and later that the API serves:
// clients that asked before would come back late.
func RunFurther(ctx context.Context, cfg Config, from io.Reader) error {
	var told FurtherConfig
	lines := json.NewDecoder(from)
	if err := lines.Decode(&told); err != nil {
		return fmt.Errorf("read what the node is to be: %w", err)
	}
	serving := make(chan struct{})
	go func() {
		var serves apiServes
		if lines.Decode(&serves) == nil {
			close(serving)
		}
	}()
	log := slog.New(slog.NewTextHandler(cfg.Log, &slog.HandlerOptions{Level: logLevel()}))
	cfg.Spec = told.Spec
	n := &node{cfg: cfg, spec: told.Spec, trace: &trace{start: time.Now()}, Place: place.Of(told.Spec, told.Number)}
	n.log = log.With("node", n.Name)
	n.ca, n.lookUp = told.WorldCA, agentapi.Resolver(simulated(told.Spec))
	routeLogs(n.log)
	if err := controlplane.SetUpProcess(n.log); err != nil {
		return err
	}
	controlplane.HurryUp()
	return n.run(ctx, func(ctx context.Context, way *outside.Dialer) error {
		return n.startAsFurther(ctx, way, told.Access, serving)
	})
}

func (n *node) startAsFurther(ctx context.Context, way *outside.Dialer, a controlplane.NodeAccess, serving <-chan struct{}) error {
	if err := upLoopback(); err != nil {
		return err
	}
	if err := n.openImages(way); err != nil {
		return err
	}
	own := access{
		admin: a.AdminREST(serving), kubelet: a.KubeletREST(serving),
		cert: runDir + "/kubelet.crt", key: runDir + "/kubelet.key", ca: runDir + "/ca.crt",
	}
	for path, data := range map[string][]byte{own.cert: a.ServingCert, own.key: a.ServingKey, own.ca: a.CA} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}
	events, err := n.events(own.admin)
	if err != nil {
		return err
	}
	k, err := n.startNode(ctx, own, events, way)
	if err != nil {
		return err
	}
	select {
	case <-k.Ready():
	case <-k.Done():
		return cmp.Or(context.Cause(ctx), k.Err())
	}
	n.readyMs.Store(max(1, time.Since(n.trace.start).Milliseconds()))
	n.log.Info("ready", "ms", n.readyMs.Load())
	n.settle(ctx)
	return nil
}
