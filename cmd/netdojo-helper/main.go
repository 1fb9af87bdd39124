//go:build linux

// Command netdojo-helper holds the small programs that run around and inside
// clusters, one a role; under the name of the CNI plugin it is that. It links the
// standard library, x/sys and CNI's own types only, since many copies run at once.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/enter"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/httpmock"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/pause"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/datapath/cni/plugin"
)

// roles maps the first argument to the program that it names.
var roles = map[string]func(args []string) int{
	"launch": func([]string) int { return userns.Launch() },
	"enter":  func([]string) int { return userns.Enter() },
	"init":   func([]string) int { return userns.Init() },
	"remove": userns.Remove,

	"container": enter.Container,
	"exec":      enter.Exec,
	"pause":     pause.Run,
	"httpmock":  httpmock.Run,
}

func main() {
	if filepath.Base(os.Args[0]) == plugin.Name {
		plugin.Main()
		return
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "netdojo-helper is a part of netdojo-cluster and not meant to be called by hand")
		os.Exit(2)
	}
	os.Exit(roles[os.Args[1]](os.Args[2:]))
}
