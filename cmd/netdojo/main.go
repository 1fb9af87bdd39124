// Command netdojo runs Kubernetes network-policy labs.
package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/apart"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cluster/existing"
	"github.com/netdojo/netdojo/cluster/kind"
	"github.com/netdojo/netdojo/cluster/kubeconfig"
	"github.com/netdojo/netdojo/cmd/netdojo/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

func main() {
	if os.Args[0] == doctor.ProbeName {
		os.Exit(doctor.Probe(os.Args[1:]))
	}
	if os.Args[0] == apart.Name {
		os.Exit(apart.Main(os.Args[1:]))
	}
	kinds := []env.Kind{{Name: embedded.Name, New: newEmbedded}, {Name: kind.Name, New: newKind, Kubeconfig: kubeconfig.Machine}}
	if runtime.GOOS != "linux" {
		slices.Reverse(kinds) // the embedded cluster needs Linux
	}
	kinds = append(kinds, env.Kind{Name: existing.Name, New: newExisting, Kubeconfig: kubeconfig.Guest})
	os.Exit(app.Main(os.Args[1:], kinds))
}

func newKind(e *env.Env) (cluster.Provider, error) {
	return kind.New(kind.Config{StateDir: e.StateDir, Agent: filepath.Join(filepath.Dir(e.Daemon), "netdojo-agent")}), nil
}

func newExisting(e *env.Env) (cluster.Provider, error) {
	return existing.New(existing.Config{StateDir: e.StateDir, Agent: filepath.Join(filepath.Dir(e.Daemon), "netdojo-agent")}), nil
}

func newEmbedded(e *env.Env) (cluster.Provider, error) {
	most, err := env.MaxImageGiB()
	if err != nil {
		return nil, err
	}
	return embedded.New(embedded.Config{StateDir: e.StateDir, Daemon: e.Daemon, MaxImageGiB: most}), nil
}
