// Package kubectl is `netdojo kubectl`: kubectl's own code, in a program of its
// own, pointed at the cluster's private kubeconfig.
package kubectl

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// Options are what the command line says. Args are kubectl's, untouched.
type Options struct {
	Env  *env.Env
	Args []string
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:   "kubectl [ARGUMENTS]",
		Short: "Run kubectl on the cluster",
		Long: `Run kubectl on the cluster: kubectl's own code, with the cluster's private
kubeconfig. All arguments are kubectl's; NETDOJO_CLUSTER says which cluster.`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Args = args
			return run(cmd.Context(), o)
		},
	}
}

// Run becomes kubectl, which ends the process with its own code. It returns only
// when kubectl could not be started.
func Run(ctx context.Context, o *Options) error {
	program := filepath.Join(filepath.Dir(o.Env.Daemon), programName)
	if _, err := os.Stat(program); err != nil {
		return exit.WithCure(fmt.Errorf("find kubectl: %w", err), "make build puts it beside netdojo; or use a kubectl of yours with netdojo kubeconfig")
	}
	if needsCluster(o.Args) {
		st, _, err := o.Env.Running(ctx, env.DefaultName())
		if err != nil {
			return err
		}
		// kubectl's cache of what the API offers is ours to clean up too.
		if os.Getenv(cacheVar) == "" {
			if err := os.Setenv(cacheVar, filepath.Join(o.Env.StateDir, "kubectl")); err != nil {
				return err
			}
		}
		// A shell of ours has a copy, in which its user may have chosen a namespace.
		if os.Getenv(env.ShellVar) == "" {
			if err := os.Setenv("KUBECONFIG", st.Kubeconfig); err != nil {
				return err
			}
		}
	}
	// kubectl handles signals itself, or counts on their usual effect.
	o.Env.Signals.Default()
	if err := become(program, o.Args); err != nil {
		return fmt.Errorf("start kubectl: %w", err)
	}
	return nil
}

// cacheVar is where kubectl is told where to cache (default: ~/.kube/cache).
const cacheVar = "KUBECACHEDIR"

// offline are kubectl's commands that talk to no cluster.
var offline = []string{"help", "completion", "kustomize", "options", "plugin", "kuberc"}

// needsCluster says whether kubectl will want the private kubeconfig. A
// kubeconfig or server that the user names is theirs.
func needsCluster(args []string) bool {
	for i, a := range args {
		if a == "--" {
			args = args[:i]
			break
		}
	}
	for _, a := range args {
		switch name, _, _ := strings.Cut(a, "="); name {
		case "--kubeconfig", "--server", "-s", "--help", "-h":
			return false
		}
	}
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 || slices.Contains(offline, args[i]) {
		return false
	}
	return args[i] != "version" || !slices.Contains(args, "--client") && !slices.Contains(args, "--client=true")
}
