// Command netdojo-helm is Helm for netdojo: it renders and installs a chart that
// the client asks for, and carries Cilium's own. See cluster/kind/chart.
package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/signal"

	"github.com/netdojo/netdojo/cluster/kind/chart"
	"github.com/netdojo/netdojo/cluster/kind/chart/helm"
)

// packed holds cilium.tgz once `make build` has put it there. Without it the
// package still compiles, so that go vet needs no build.
//
//go:embed all:packed
var packed embed.FS

func main() {
	if len(os.Args) != 2 || os.Args[1] != chart.Render && os.Args[1] != chart.Install {
		fmt.Fprintln(os.Stderr, "netdojo-helm is started by `netdojo up --datapath cilium`")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "netdojo-helm:", err)
		os.Exit(3)
	}
}

func run(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cilium, _ := packed.ReadFile("packed/cilium.tgz") // empty where it was not packed
	return helm.Serve(ctx, role, cilium, os.Stdin, os.Stdout)
}
