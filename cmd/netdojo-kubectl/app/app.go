// Package app is kubectl's command line. It is a program of its own because what
// kubectl's packages do before main would hold up netdojo's first frame.
package app

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
)

// Main runs kubectl with the process's surroundings and ends the process with
// kubectl's exit code. Args are without the program's name, which users see as
// kubectl.
func Main(args []string) {
	argv := append([]string{"kubectl"}, args...)
	if _, err := logs.GlogSetter(kubectl.GetLogVerbosity(argv)); err != nil {
		util.CheckErr(err)
	}
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	// Without a plugin handler no other program is looked for: what runs is what
	// was built in. The rates are those of kubectl's own main.
	flags := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().
		WithDiscoveryBurst(300).WithDiscoveryQPS(50).WithWarningPrinter(streams)
	flags.WrapConfigFn = func(c *rest.Config) *rest.Config {
		c.Wrap(kubeconfig.SameServer)
		return c
	}
	cmd := kubectl.NewDefaultKubectlCommandWithArgs(kubectl.KubectlOptions{
		Arguments: argv, ConfigFlags: flags, IOStreams: streams,
	})
	cmd.SetArgs(args)
	if err := cli.RunNoErrOutput(cmd); err != nil {
		util.CheckErr(err)
	}
	os.Exit(0)
}
