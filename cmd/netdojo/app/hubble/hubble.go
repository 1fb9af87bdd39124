// Package hubble is `netdojo hubble`: Hubble's own client, which netdojo has for the
// cilium pod, on the machine that the cluster runs on.
package hubble

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app/become"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// serverVar tells hubble where the observer is.
const serverVar = "HUBBLE_SERVER"

// tool is Cilium's program, which is Hubble's client when it is called by the name hubble.
var tool = become.Tool{
	Name: "hubble", Called: "hubble", Program: "netdojo-cilium", Missing: "make build puts it beside netdojo",
	Prepare: func(ctx context.Context, o *become.Options) error {
		if !needsServer(o.Args) {
			return nil
		}
		server, err := find(ctx, o.Env)
		if err != nil {
			return err
		}
		return os.Setenv(serverVar, server)
	},
}

// New makes the command. Run may be replaced in tests.
func New(e *env.Env, run func(context.Context, *become.Options) error) *cobra.Command {
	return tool.Command(&cobra.Command{
		Use:   "hubble [ARGUMENTS]",
		Short: "Run Hubble's client on the cluster",
		Long: `Run Hubble's own client on an embedded cluster: all arguments are hubble's, with
every filter of hubble observe. NETDOJO_CLUSTER says which cluster, else it is that
of the current context, else the only one that runs. In kind clusters hubble is in
the cilium pod; netdojo flows shows the flows of any cluster.`,
		Example: `  netdojo hubble observe --verdict DROPPED --follow
  netdojo hubble status`,
	}, e, run)
}

// find gives the address of the cluster's observer.
func find(ctx context.Context, e *env.Env) (string, error) {
	name, err := e.Choose(ctx, "")
	if err != nil {
		return "", err
	}
	st, _, err := e.Running(ctx, name)
	if err != nil {
		return "", err
	}
	if st.Provider != embedded.Name {
		return "", exit.WithCure(fmt.Errorf("cluster %s is of the provider %s, whose observers are inside of it", name, st.Provider),
			"use netdojo flows, or netdojo kubectl -n kube-system exec ds/cilium -- hubble observe")
	}
	return address(filepath.Join(e.StateDir, "clusters", name, control.FlowSocket))
}

// offline are hubble's commands that talk to no observer.
var offline = []string{"help", "completion", "config", "version"}

// needsServer says whether hubble will ask the cluster. A server or a file that the user
// names is theirs.
func needsServer(args []string) bool {
	for _, a := range args {
		switch name, _, _ := strings.Cut(a, "="); name {
		case "--server", "--input-file", "--port-forward", "-P", "--help", "-h":
			return false
		}
	}
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	return i >= 0 && !slices.Contains(offline, args[i]) && os.Getenv(serverVar) == ""
}
