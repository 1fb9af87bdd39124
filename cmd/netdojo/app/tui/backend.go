package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/preflight"
	"github.com/netdojo/netdojo/cmd/netdojo/app/session"
	"github.com/netdojo/netdojo/cmd/netdojo/app/shell"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui"
)

// backend is tui.Backend over the runner and the provider of one cluster.
type backend struct {
	e    *env.Env
	name string
}

// Labs implements tui.Backend.
func (b *backend) Labs() ([]*labs.Lab, error) { return labs.Catalogue() }

// Cluster implements tui.Backend.
func (b *backend) Cluster(ctx context.Context) (tui.ClusterState, error) {
	st, _, found, err := b.e.Status(ctx, b.name)
	if err != nil || !found {
		return tui.ClusterState{Name: b.name}, err
	}
	return tui.ClusterState{Name: b.name, Running: st.Running, Ready: st.Ready, Provider: st.Provider, Detail: st.Detail}, nil
}

// Missing implements tui.Backend.
func (b *backend) Missing(ctx context.Context) []tui.Missing {
	var out []tui.Missing
	for _, r := range preflight.Examine(ctx, b.e, b.spec()) {
		if r.State == doctor.Failed || r.State == doctor.Warning {
			out = append(out, tui.Missing{Cause: r.Cause, Cure: r.Cure, Fatal: r.State == doctor.Failed})
		}
	}
	return out
}

func (b *backend) spec() cluster.Spec {
	return cluster.Spec{Name: b.name, Provider: b.e.Kinds[0].Name, Datapath: "netdojo", World: "simulated"}
}

// TakeDown implements tui.Backend.
func (b *backend) TakeDown(ctx context.Context, listen event.Listener) error {
	_, provider, found, err := b.e.Status(ctx, b.name)
	if err != nil || !found {
		return err
	}
	report := func(u step.Update) { listen(event.StepUpdate{Update: u}) }
	return provider.Down(ctx, b.name, false, report)
}

// Log implements tui.Backend.
func (b *backend) Log(lines int) []string {
	data, err := os.ReadFile(filepath.Join(b.e.StateDir, "clusters", b.name, embedded.LogFile))
	if err != nil {
		return nil
	}
	all := strings.Split(strings.TrimSpace(string(data)), "\n")
	return all[max(0, len(all)-lines):]
}

// target is the cluster that runs, or that is to.
func (b *backend) target(ctx context.Context) (session.Target, error) {
	// Warnings would be written over the screen, and Missing has them.
	silent := *b.e
	silent.Err = io.Discard
	return session.Find(ctx, &silent, session.Wanted{Spec: b.spec()})
}

// session runs one that may bring the cluster up.
func (b *backend) session(ctx context.Context, lab *labs.Lab, task string, listen event.Listener,
	run func(context.Context, runner.Options) (record.Run, error),
) (record.Run, error) {
	target, err := b.target(ctx)
	if err != nil {
		return record.Run{}, err
	}
	result, err := run(ctx, runner.Options{
		Provider: target.Provider, Spec: target.Spec, Lab: lab, Task: task, Keep: true,
		StateDir: b.e.StateDir, Listener: listen, Log: b.e.Log,
	})
	return result, target.Ended(ctx, b.e, err)
}

// Enter implements tui.Backend.
func (b *backend) Enter(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, listen, runner.Enter)
}

// Resume implements tui.Backend.
func (b *backend) Resume(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, listen, runner.Resume)
}

// Baseline implements tui.Backend.
func (b *backend) Baseline(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, listen, runner.Baseline)
}

// Check implements tui.Backend.
func (b *backend) Check(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, listen, runner.Check)
}

// Solve implements tui.Backend.
func (b *backend) Solve(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	return b.session(ctx, lab, task, listen, runner.Solve)
}

// Compare implements tui.Backend.
func (b *backend) Compare(ctx context.Context, lab *labs.Lab, task string) ([]record.Difference, error) {
	target, err := b.target(ctx)
	if err != nil {
		return nil, err
	}
	return runner.Compare(ctx, runner.Options{
		Provider: target.Provider, Spec: target.Spec, Lab: lab, Task: task, StateDir: b.e.StateDir, Log: b.e.Log,
	})
}

// Watch implements tui.Backend.
func (b *backend) Watch(ctx context.Context, lab *labs.Lab, changed func(string)) error {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return err
	}
	lab, err = runner.At(ctx, h, lab)
	if err == nil {
		err = runner.Watch(ctx, h, lab, changed)
	}
	return errors.Join(err, h.Close())
}

// Flows implements tui.Backend.
func (b *backend) Flows(ctx context.Context, flow func(tui.Flow)) error {
	h, err := b.e.Open(ctx, b.name)
	if err != nil {
		return err
	}
	defer h.Close()
	stream, err := h.Flows(ctx, 0)
	if errors.Is(err, cluster.ErrNoFlows) {
		return tui.ErrNoFlows
	}
	if err != nil {
		return fmt.Errorf("read flows: %w", err)
	}
	// Recv knows no context: closing ends it.
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer stop()
	for {
		f, err := stream.Recv()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, stream.Close())
		}
		flow(row(f))
	}
}

// KeepCopy implements tui.Backend.
func (b *backend) KeepCopy(text string) (string, error) {
	file := filepath.Join(b.e.StateDir, "copied.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", exit.WithCure(fmt.Errorf("keep the copy: %w", err), "make room in %s", b.e.StateDir)
	}
	return file, nil
}

// Shell implements tui.Backend.
func (b *backend) Shell(ctx context.Context, lab *labs.Lab) (*exec.Cmd, func() error, error) {
	return shell.Command(ctx, b.e, b.name, lab, true)
}
