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
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
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

// A name becomes a folder, a host name and part of a context's name.
var nameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// CheckName says what is wrong with a cluster's name.
func CheckName(name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return exit.WithCure(exit.Usagef("%q cannot name a cluster", name),
		"use up to 40 lower-case letters, digits and dashes, with no dash at the ends")
}

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
// else one that has state. Found is false when nobody knows it.
func (e *Env) Status(ctx context.Context, name string) (st cluster.Status, p cluster.Provider, found bool, err error) {
	if err := CheckName(name); err != nil {
		return st, nil, false, err
	}
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
			s, err := candidate.Status(ctx, name)
			if err != nil {
				return st, nil, false, fmt.Errorf("status of cluster %s: %w", name, err)
			}
			if !found || s.Running {
				st, p, found = s, candidate, true
			}
		}
	}
	return st, p, found, nil
}

// All gives the state of every cluster of every provider, by provider and name.
func (e *Env) All(ctx context.Context) ([]cluster.Status, error) {
	all := []cluster.Status{}
	for _, k := range e.Kinds {
		p, err := k.New(e)
		if err != nil {
			return nil, err
		}
		names, err := p.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("list %s clusters: %w", k.Name, err)
		}
		for _, name := range names {
			st, err := p.Status(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("status of cluster %s: %w", name, err)
			}
			all = append(all, st)
		}
	}
	return all, nil
}

// Running gives the state of a cluster that must run; its private kubeconfig is
// in it. Else the error wraps cluster.ErrNotRunning and knows the cure.
func (e *Env) Running(ctx context.Context, name string) (cluster.Status, cluster.Provider, error) {
	st, p, _, err := e.Status(ctx, name)
	if err != nil {
		return st, nil, err
	}
	if !st.Running {
		return st, nil, NotRunning(name, st.Detail)
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

// NameFlag adds --name, which tells the cluster that is meant.
func NameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", DefaultName(), "the cluster's name")
}
