//go:build linux

package datapath

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/datapath/cni"
	"github.com/netdojo/netdojo/datapath/internal/keep"
)

// Files in Config.RunDir, beside the leases of cni.
const (
	sandboxesFile = "sandboxes.json" // sandbox → cni.AttachRequest
	namesFile     = "names.json"     // pod UID → what DNS answered it
)

// saveSandboxes keeps which pod each sandbox is. The caller holds podsMu.
func (a *Agent) saveSandboxes() error {
	if a.cfg.RunDir == "" {
		return nil
	}
	if err := keep.Save(filepath.Join(a.cfg.RunDir, sandboxesFile), a.requests); err != nil {
		return fmt.Errorf("save sandboxes: %w", err)
	}
	return nil
}

// earlier reads the sandboxes that an earlier agent connected and that still
// have their links.
func (a *Agent) earlier() (map[string]cni.AttachRequest, error) {
	found := map[string]cni.AttachRequest{}
	if a.cfg.RunDir == "" {
		return found, nil
	}
	if err := keep.Load(filepath.Join(a.cfg.RunDir, sandboxesFile), &found); err != nil {
		return nil, fmt.Errorf("read sandboxes: %w", err)
	}
	maps.DeleteFunc(found, func(sandbox string, _ cni.AttachRequest) bool { return !a.net.Attached(sandbox) })
	return found, nil
}

// restore makes the pods of an earlier agent known again, with what DNS had
// answered them. Those that went meanwhile are passed over: their sandboxes are
// detached in time.
func (a *Agent) restore(ctx context.Context, sandboxes map[string]cni.AttachRequest) error {
	w, err := a.api.watcher(ctx)
	if err != nil {
		return fmt.Errorf("restore pods: %w", err)
	}
	names := map[string]json.RawMessage{}
	if err := keep.Load(filepath.Join(a.cfg.RunDir, namesFile), &names); err != nil {
		a.log.Warn("names that DNS answered earlier are lost", "error", err)
	}
	var errs []error
	for sandbox, req := range sandboxes {
		addrs := a.net.Addrs(sandbox)
		if len(addrs) == 0 || !w.Has(req.PodNamespace, req.PodName, req.PodUID) {
			continue
		}
		if err := a.setPod(ctx, req, addrs); err != nil {
			errs = append(errs, err)
			continue
		}
		if saved, ok := names[req.PodUID]; ok {
			errs = append(errs, a.engine.RestoreNames(ctx, req.PodUID, saved))
		}
	}
	a.log.Info("restored", "pods", len(sandboxes))
	return errors.Join(errs...)
}

// gatherNames is how long DNS answers are gathered before they are saved.
const gatherNames = 100 * time.Millisecond

// keepNames saves what DNS answers until ctx ends.
func (a *Agent) keepNames(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.engine.Learned():
		}
		gather := time.NewTimer(gatherNames)
		select {
		case <-ctx.Done():
			gather.Stop()
		case <-gather.C:
		}
		names, err := a.engine.SaveNames()
		if err == nil {
			err = keep.Save(filepath.Join(a.cfg.RunDir, namesFile), names)
		}
		if err != nil {
			a.log.Warn("names that DNS answered are not saved", "error", err)
		}
	}
}
