// Command netdojo runs Kubernetes network-policy labs.
package main

import (
	"os"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/embedded"
	"github.com/netdojo/netdojo/cmd/netdojo/app"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
)

func main() {
	if os.Args[0] == doctor.ProbeName {
		os.Exit(doctor.Probe(os.Args[1:]))
	}
	os.Exit(app.Main(os.Args[1:], []env.Kind{{Name: embedded.Name, New: newEmbedded}}))
}

func newEmbedded(e *env.Env) (cluster.Provider, error) {
	return embedded.New(embedded.Config{StateDir: e.StateDir, Daemon: e.Daemon}), nil
}
