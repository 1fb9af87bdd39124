//go:build linux

// Command netdojo-helper holds the small programs that run around and inside
// clusters, one a role; under the name of the CNI plugin or of one of busybox's
// network programs it is that. It links the standard library, x/sys and CNI's own
// types only, since many copies run at once.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/agnhost"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/busybox"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/enter"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/httpmock"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/pause"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/redis"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/datapath/cni/plugin"
)

// roles maps the first argument to the program that it names.
var roles = map[string]func(args []string) int{
	"launch": func([]string) int { return userns.Launch() },
	"enter":  func([]string) int { return userns.Enter() },
	"init":   func([]string) int { return userns.Init() },
	"remove": userns.Remove,

	"further": func([]string) int { return userns.Further() },

	"container": enter.Container,
	"exec":      enter.Exec,
	"pause":     pause.Run,
	"httpmock":  httpmock.Run,

	"echo-advanced": httpmock.EchoAdvanced,

	"redis":     redis.Run,
	"redis-cli": redis.Client,

	"agnhost-connect":        agnhost.Connect,
	"agnhost-porter":         agnhost.Porter,
	"agnhost-serve-hostname": agnhost.ServeHostname,
}

func main() {
	name := filepath.Base(os.Args[0])
	if name == plugin.Name {
		plugin.Main()
		return
	}
	if busybox.Has(name) {
		os.Exit(busybox.Run(name, os.Args[1:]))
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "netdojo-helper is a part of netdojo-cluster and not meant to be called by hand")
		os.Exit(2)
	}
	os.Exit(roles[os.Args[1]](os.Args[2:]))
}
