// Command netdojo-cilium is what the cilium pod of a cluster with netdojo's datapath
// runs: by its name it is Cilium's own cilium-dbg or Hubble's own hubble. Both speak to the
// datapath over the sockets that Cilium's agent has. Commands that the datapath has
// no answer to are refused by name.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	dbg "github.com/cilium/cilium/cilium-dbg/cmd"
	hubble "github.com/cilium/cilium/hubble/cmd"
	hubblepkg "github.com/cilium/cilium/hubble/pkg"
	"github.com/cilium/cilium/pkg/version"
)

func main() {
	setVersions()
	switch name := filepath.Base(os.Args[0]); name {
	case "cilium-dbg", "cilium":
		refuse(dbg.RootCmd)
		dbg.Execute()
	case "hubble":
		if err := hubble.Execute(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "%s is called by the name of cilium-dbg, cilium or hubble, in the cilium pod\n", name)
		os.Exit(2)
	}
}

// setVersions tells both tools the version of the module that they are of; Cilium's
// build sets it by the linker.
func setVersions() {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/cilium/cilium" {
			hubblepkg.Version = m.Version
			version.Version = fmt.Sprintf("%s netdojo - go version %s %s/%s", m.Version[1:], runtime.Version(), runtime.GOOS, runtime.GOARCH)
		}
	}
}
