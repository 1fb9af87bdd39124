// Package env is what every command is given: streams, the state folder, the
// kinds of cluster there are, and the say over signals. It is the one place
// that looks clusters up by name among all providers.
package env

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

// Names of the environment variables that netdojo reads.
const (
	StateDirVar = "NETDOJO_STATE_DIR"
	ClusterVar  = "NETDOJO_CLUSTER"
	LogVar      = "NETDOJO_LOG"
	// ShellVar is set inside netdojo shell: the folder of that shell.
	ShellVar = "NETDOJO_SHELL_DIR"
)

// Env is the surroundings of a command. Commands share one and do not change it.
type Env struct {
	*streams.Streams
	StateDir string // absolute
	Daemon   string // absolute path of the embedded cluster's program, there or not
	Kinds    []Kind // the first is the default
	Signals  *Signals
	Log      *slog.Logger
}

// Kind is a provider by its name on the command line.
type Kind struct {
	Name string
	New  func(*Env) (cluster.Provider, error)
	// Kubeconfig says how much is believed of its clusters' own kubeconfigs.
	Kubeconfig kubeconfig.Source
}

// Work is the folder of a learner's answers to a lab on a cluster, there or not.
func (e *Env) Work(cluster, lab string) string {
	return filepath.Join(e.StateDir, "work", cluster, lab)
}

// Source says how much is believed of the kubeconfigs of a provider's clusters.
func (e *Env) Source(provider string) kubeconfig.Source {
	for _, k := range e.Kinds {
		if k.Name == provider {
			return k.Kubeconfig
		}
	}
	return kubeconfig.Loopback
}

// StateDir is $NETDOJO_STATE_DIR, or netdojo's folder in the XDG state home.
func StateDir() (string, error) {
	if dir := os.Getenv(StateDirVar); dir != "" {
		return filepath.Abs(dir)
	}
	// https://specifications.freedesktop.org/basedir-spec says that a relative
	// path is to be ignored.
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "netdojo"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", exit.WithCure(fmt.Errorf("find the state folder: %w", err), "set %s to a folder of yours", StateDirVar)
	}
	return filepath.Join(home, ".local", "state", "netdojo"), nil
}

// MaxImageGiB is $NETDOJO_MAX_IMAGE_GIB, what an image may take; 0 is the default.
func MaxImageGiB() (int, error) {
	text := os.Getenv(image.MaxSizeVar)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxImageGiB {
		return 0, exit.WithCure(exit.Usagef("%s=%q is no number of GiB", image.MaxSizeVar, text), "use a whole number from 1 to %d, or unset it", maxImageGiB)
	}
	return n, nil
}

// maxImageGiB is more than any image has.
const maxImageGiB = 1024

// Daemon is where the embedded cluster's program is looked for: beside this one.
func Daemon() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	return filepath.Join(filepath.Dir(exe), "netdojo-cluster"), nil
}

// DefaultName is the cluster that is meant when --name is not given.
func DefaultName() string {
	if name := os.Getenv(ClusterVar); name != "" {
		return name
	}
	return cluster.DefaultName
}

// CheckName is cluster.CheckName of what a user typed: an error of usage.
func CheckName(name string) error { return exit.With(exit.Usage, cluster.CheckName(name)) }

// KindNames lists the providers, the default first.
func (e *Env) KindNames() []string {
	var names []string
	for _, k := range e.Kinds {
		names = append(names, k.Name)
	}
	return names
}

// Provider makes the provider of that name; the empty name is the default.
func (e *Env) Provider(name string) (cluster.Provider, error) {
	for _, k := range e.Kinds {
		if k.Name == name || name == "" {
			return k.New(e)
		}
	}
	return nil, exit.WithCure(exit.Usagef("no provider is called %q", name),
		"choose one of: %s", strings.Join(e.KindNames(), ", "))
}

// Status finds the cluster of that name among all providers: the one that runs,
// else one that has state. Found is false when nobody knows it. One whose state
// cannot be told is an error, with the provider that has it: Down may still end it.
func (e *Env) Status(ctx context.Context, name string) (st cluster.Status, p cluster.Provider, found bool, err error) {
	if err := CheckName(name); err != nil {
		return st, nil, false, err
	}
	var unknown error // why st says nothing
	for _, k := range e.Kinds {
		candidate, err := k.New(e)
		if err != nil {
			return st, nil, false, err
		}
		names, err := candidate.List(ctx)
		if err != nil {
			return st, nil, false, fmt.Errorf("list %s clusters: %w", k.Name, err)
		}
		for _, n := range names {
			if n != name || found && st.Running {
				continue
			}
			s, serr := candidate.Status(ctx, name)
			if serr != nil {
				serr = fmt.Errorf("status of cluster %s: %w", name, serr)
				s = cluster.Status{Name: name, Provider: k.Name, Detail: serr.Error(), Unknown: true}
			}
			if !found || s.Running {
				st, p, found, unknown = s, candidate, true, serr
			}
		}
	}
	return st, p, found, unknown
}

// All gives the state of every cluster of every provider, by provider and name. A
// cluster or provider that cannot tell keeps no other from it: the error names each
// of them, beside the clusters, and they are listed with what is wrong as a detail.
func (e *Env) All(ctx context.Context) ([]cluster.Status, error) {
	all := []cluster.Status{}
	var errs []error
	for _, k := range e.Kinds {
		p, err := k.New(e)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		names, err := p.List(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("list %s clusters: %w", k.Name, err))
			continue
		}
		for _, name := range names {
			st, err := p.Status(ctx, name)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				st = cluster.Status{Name: name, Provider: k.Name, Detail: err.Error(), Unknown: true}
				errs = append(errs, fmt.Errorf("status of cluster %s: %w", name, err))
			}
			all = append(all, st)
		}
	}
	return all, errors.Join(errs...)
}

// Running gives the state of a cluster that must run; its private kubeconfig is
// in it. Else the error wraps cluster.ErrNotRunning and knows the cure.
func (e *Env) Running(ctx context.Context, name string) (cluster.Status, cluster.Provider, error) {
	st, p, _, err := e.Status(ctx, name)
	if err != nil {
		return st, nil, err
	}
	if !st.Running {
		return st, nil, e.OrRunning(ctx, NotRunning(name, st.Detail))
	}
	return st, p, nil
}

// Open connects to a running cluster.
func (e *Env) Open(ctx context.Context, name string) (cluster.Handle, error) {
	_, p, err := e.Running(ctx, name)
	if err != nil {
		return nil, err
	}
	h, err := p.Open(ctx, name)
	if errors.Is(err, cluster.ErrNotRunning) {
		return nil, NotRunning(name, "")
	}
	if err != nil {
		return nil, fmt.Errorf("open cluster %s: %w", name, err)
	}
	return h, nil
}

// NotRunning is the error for a cluster that does not run, with its cure.
func NotRunning(name, detail string) error {
	err := fmt.Errorf("cluster %s: %w", name, cluster.ErrNotRunning)
	if detail != "" {
		err = fmt.Errorf("%w: %s", err, detail)
	}
	return exit.WithCure(err, "bring it up: %s", Command("up", name))
}

// Command is a netdojo command about the cluster of that name, for advice.
func Command(command, name string) string {
	command = "netdojo " + command
	if name != cluster.DefaultName {
		command += " --name " + name
	}
	return command
}

// NameFlag adds --name for a command that may make or remove the cluster that is meant,
// which is not guessed.
func NameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", DefaultName(), "the cluster's name")
}
