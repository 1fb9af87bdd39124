// Package preflight asks the doctor on behalf of the commands that bring a
// cluster up: quickly before, thoroughly when it failed.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

// examineTimeout bounds the examination after a failure.
const examineTimeout = 10 * time.Second

// Config is what the doctor is to examine for a cluster.
func Config(e *env.Env, spec cluster.Spec) doctor.Config {
	cfg := doctor.Config{
		StateDir: e.StateDir, APIPort: spec.APIPort,
		Programs: []string{e.Daemon, filepath.Join(filepath.Dir(e.Daemon), "netdojo-coredns")},
	}
	for _, p := range spec.Publish {
		cfg.Ports = append(cfg.Ports, p.HostPort)
	}
	return cfg
}

// Quick says before a cluster is started what would certainly keep it from
// working. Warnings are printed.
func Quick(ctx context.Context, e *env.Env, spec cluster.Spec) error {
	if spec.Provider != embedded.Name {
		return nil
	}
	results := doctor.Quick(ctx, Config(e, spec))
	for _, r := range results {
		if r.State == doctor.Warning {
			fmt.Fprintf(e.Err, "warning: %s\ncure: %s\n", r.Cause, r.Cure)
		}
	}
	return doctor.Err(results)
}

// Explain adds to the error of a failed start what the doctor finds wrong with
// the machine. Where ctx ended, that is the reason.
func Explain(ctx context.Context, e *env.Env, spec cluster.Spec, err error) error {
	if ctx.Err() != nil || spec.Provider != embedded.Name {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	return errors.Join(err, doctor.Err(doctor.All(ctx, Config(e, spec))))
}
