// Package preflight asks the doctor on behalf of the commands that bring a
// cluster up: quickly before, thoroughly when it failed.
package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/internal/printable"
)

// examineTimeout bounds the examination after a failure.
const examineTimeout = 10 * time.Second

// Config is what the doctor is to examine for a cluster.
func Config(e *env.Env, spec cluster.Spec) doctor.Config {
	cfg := doctor.Config{
		StateDir: e.StateDir, APIPort: spec.APIPort,
		Programs: []string{
			e.Daemon, filepath.Join(filepath.Dir(e.Daemon), "netdojo-coredns"), filepath.Join(filepath.Dir(e.Daemon), "netdojo-cilium"),
		},
	}
	for _, p := range spec.Publish {
		cfg.Ports = append(cfg.Ports, p.HostPort)
	}
	return cfg
}

// KindConfig is what the doctor is to examine for a kind cluster.
func KindConfig(e *env.Env, spec cluster.Spec) doctor.KindConfig {
	dir, local := filepath.Dir(e.Daemon), kind.LocalImage
	programs := []string{filepath.Join(dir, "netdojo-agent"), filepath.Join(dir, "netdojo-helper")}
	if spec.Datapath == cluster.DatapathCilium {
		local = kind.CiliumImage
		programs = append(programs, filepath.Join(dir, "netdojo-helm"))
	}
	image := cmp.Or(spec.NodeImage, local)
	return doctor.KindConfig{
		Programs: programs,
		Image:    image, CgroupsV1: image == local, Nodes: spec.Nodes, APIPort: spec.APIPort, StateDir: e.StateDir,
	}
}

// Thorough examines everything that a provider needs; ok is false for one that
// the doctor does not know.
func Thorough(ctx context.Context, e *env.Env, spec cluster.Spec) (results []doctor.Result, ok bool) {
	switch spec.Provider {
	case embedded.Name:
		return doctor.All(ctx, Config(e, spec)), true
	case kind.Name:
		cfg := KindConfig(e, spec)
		cfg.Kernel = true
		return doctor.Kind(ctx, cfg), true
	case existing.Name:
		cfg := doctor.Config{StateDir: e.StateDir, Programs: KindConfig(e, spec).Programs}
		return append(doctor.Existing(ctx, cfg), existing.Examine(ctx, spec)...), true
	}
	return nil, false
}

// Examine is what can be told at once of what a provider needs.
func Examine(ctx context.Context, e *env.Env, spec cluster.Spec) []doctor.Result {
	switch spec.Provider {
	case embedded.Name:
		return doctor.Quick(ctx, Config(e, spec))
	case kind.Name:
		return doctor.Kind(ctx, KindConfig(e, spec))
	}
	return nil
}

// Quick says before a cluster is started what would certainly keep it from
// working. Warnings are printed.
func Quick(ctx context.Context, e *env.Env, spec cluster.Spec) error {
	results := Examine(ctx, e, spec)
	for _, r := range results {
		if r.State == doctor.Warning {
			fmt.Fprintf(e.Err, "warning: %s\ncure: %s\n", printable.Text(r.Cause), printable.Text(r.Cure))
		}
	}
	return doctor.Err(results)
}

// Explain adds to the error of a failed start what the doctor finds wrong with
// the machine. Where ctx ended, that is the reason. What is wrong with a cluster that
// somebody else made, its provider has said.
func Explain(ctx context.Context, e *env.Env, spec cluster.Spec, err error) error {
	if ctx.Err() != nil || spec.Provider == existing.Name {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	results, _ := Thorough(ctx, e, spec)
	return errors.Join(err, doctor.Err(results))
}
