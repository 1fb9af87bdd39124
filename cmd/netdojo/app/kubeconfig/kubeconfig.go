// Package kubeconfig is `netdojo kubeconfig`.
package kubeconfig

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	merge "github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// Options are what the command line says.
type Options struct {
	Env   *env.Env
	Name  string
	Path  bool // print where it is instead
	Merge bool // put its context into the user's kubeconfig instead
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print a cluster's private kubeconfig",
		Example: `  netdojo kubeconfig > cluster.yaml
  KUBECONFIG=$(netdojo kubeconfig --path) kubectl get pods`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Path && o.Merge {
				return exit.Usagef("--path and --merge exclude each other")
			}
			return run(cmd.Context(), o)
		},
	}
	env.ChosenNameFlag(cmd, &o.Name)
	cmd.Flags().BoolVar(&o.Path, "path", false, "print the file's path")
	cmd.Flags().BoolVar(&o.Merge, "merge", false, "merge its context into your kubeconfig and make it the current one")
	return cmd
}

// Run prints or merges the kubeconfig of a running cluster.
func Run(ctx context.Context, o *Options) (err error) {
	if o.Name, err = o.Env.Choose(ctx, o.Name); err != nil {
		return err
	}
	st, _, err := o.Env.Running(ctx, o.Name)
	if err != nil {
		return err
	}
	source := o.Env.Source(st.Provider)
	if o.Path {
		// Whoever is given the path hands it to kubectl, which runs what it says.
		if _, err := merge.Read(st.Kubeconfig, source); err != nil {
			return err
		}
		fmt.Fprintln(o.Env.Out, st.Kubeconfig)
		return nil
	}
	if o.Merge {
		files, err := merge.Default()
		if err != nil {
			return err
		}
		path, err := files.Merge(ctx, o.Name, st.Kubeconfig, source)
		if errors.Is(err, merge.ErrNowhere) {
			return exit.WithCure(err, "set KUBECONFIG to a file, or leave it unset for ~/.kube/config")
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Env.Out, "context %s is the current one in %s\n", merge.ContextName(o.Name), path)
		return nil
	}
	config, err := merge.Read(st.Kubeconfig, source)
	if err != nil {
		return err
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode the cluster's kubeconfig: %w", err)
	}
	_, err = o.Env.Out.Write(data)
	return err
}
