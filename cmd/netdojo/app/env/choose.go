package env

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// ChosenNameFlag adds --name for a command that works on a cluster which is there: what
// Choose makes of the name is the one that is meant.
func ChosenNameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", os.Getenv(ClusterVar),
		"the cluster's name (default: that of the current context, else of the only one that runs, else "+cluster.DefaultName+")")
}

// Choose tells which cluster is meant by a command that works on one which runs: the
// named one; else that of the kubeconfig's current context, where it runs; else the only
// one that runs; else the one called DefaultName, whether it runs or not. What it chose
// without being told, it says on e.Err, but for DefaultName.
func (e *Env) Choose(ctx context.Context, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	name, why, err := e.guess(ctx)
	if err == nil && name != DefaultName() {
		fmt.Fprintf(e.Err, "cluster %s, %s\n", name, why)
	}
	return name, err
}

func (e *Env) guess(ctx context.Context) (name, why string, err error) {
	if name := os.Getenv(ClusterVar); name != "" {
		return name, "", nil
	}
	// Without a home there is no kubeconfig, and one that cannot be read says nothing.
	if files, err := kubeconfig.Default(); err == nil {
		if name, err := files.Current(ctx); err == nil && cluster.CheckName(name) == nil {
			st, _, _, err := e.Status(ctx, name)
			if err != nil || st.Running {
				return name, "of the current context", err
			}
		}
	}
	running, err := e.Names(ctx)
	if err != nil {
		return "", "", err
	}
	if len(running) == 1 {
		return running[0], "the only one that runs", nil
	}
	return DefaultName(), "", nil
}

// Names are those of the clusters that run, in their order.
func (e *Env) Names(ctx context.Context) ([]string, error) {
	// One that cannot be looked at keeps no other from being meant.
	all, err := e.All(ctx)
	if err != nil && len(all) == 0 {
		return nil, err
	}
	var names []string
	for _, st := range all {
		if st.Running {
			names = append(names, st.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// OrRunning adds to the error about a cluster that does not run a cure that names those
// which do.
func (e *Env) OrRunning(ctx context.Context, err error) error {
	names, listErr := e.Names(ctx)
	if listErr != nil || len(names) == 0 {
		return err
	}
	return exit.WithCure(err, "or take one that runs: --name %s", strings.Join(names, " or --name "))
}
