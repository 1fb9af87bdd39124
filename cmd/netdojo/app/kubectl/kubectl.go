// Package kubectl is `netdojo kubectl`: kubectl's own code, pointed at the
// cluster's private kubeconfig.
package kubectl

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/klog/v2"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
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

// Run becomes kubectl. It does not return when kubectl fails: kubectl ends the
// process with its own code.
func Run(ctx context.Context, o *Options) error {
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
	// kubectl handles signals itself, or counts on their usual effect; what it
	// logs is for its user.
	o.Env.Signals.Default()
	klog.ClearLogger()

	argv := append([]string{"kubectl"}, o.Args...)
	if _, err := logs.GlogSetter(kubectlcmd.GetLogVerbosity(argv)); err != nil {
		return err
	}
	streams := genericiooptions.IOStreams{In: o.Env.In, Out: o.Env.Out, ErrOut: o.Env.Err}
	// Without a plugin handler no other program is looked for: what runs is what
	// was built in. The rates are those of kubectl's own main.
	flags := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().
		WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams)
	cmd := kubectlcmd.NewDefaultKubectlCommandWithArgs(kubectlcmd.KubectlOptions{
		Arguments: argv, ConfigFlags: flags, IOStreams: streams,
	})
	cmd.SetArgs(o.Args)
	cmd.SetIn(o.Env.In)
	cmd.SetOut(o.Env.Out)
	cmd.SetErr(o.Env.Err)
	if err := cli.RunNoErrOutput(cmd); err != nil {
		util.CheckErr(err)
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
