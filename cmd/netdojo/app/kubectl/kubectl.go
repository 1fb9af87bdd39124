// Package kubectl is `netdojo kubectl`: kubectl's own code, in a program of its
// own, pointed at the cluster's private kubeconfig.
package kubectl

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/become"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

var tool = become.Tool{
	Name: "kubectl", Program: "netdojo-kubectl",
	Missing: "make build puts it beside netdojo; or use a kubectl of yours with netdojo kubeconfig",
	Prepare: prepare,
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *become.Options) error) *cobra.Command {
	return tool.Command(&cobra.Command{
		Use:   "kubectl [ARGUMENTS]",
		Short: "Run kubectl on the cluster",
		Long: `Run kubectl on the cluster: kubectl's own code, with the cluster's private
kubeconfig. All arguments are kubectl's; NETDOJO_CLUSTER says which cluster, else
it is that of the current context, else the only one that runs.`,
	}, e, run)
}

// prepare points kubectl at the cluster.
func prepare(ctx context.Context, o *become.Options) error {
	if !needsCluster(o.Args) {
		return nil
	}
	name, err := o.Env.Choose(ctx, "")
	if err != nil {
		return err
	}
	st, _, err := o.Env.Running(ctx, name)
	if err != nil {
		return err
	}
	// kubectl's cache of what the API offers is ours to clean up too.
	if os.Getenv(cacheVar) == "" {
		if err := os.Setenv(cacheVar, filepath.Join(o.Env.StateDir, "kubectl")); err != nil {
			return err
		}
	}
	// kubectl runs what its kubeconfig says.
	if _, err := kubeconfig.Read(st.Kubeconfig, o.Env.Source(st.Provider)); err != nil {
		return err
	}
	// A shell of ours has a copy, in which its user may have chosen a namespace.
	if os.Getenv(env.ShellVar) != "" {
		return nil
	}
	return os.Setenv("KUBECONFIG", st.Kubeconfig)
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
