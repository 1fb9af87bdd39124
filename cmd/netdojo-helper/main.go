//go:build linux

// Command netdojo-helper holds the small programs that run around and inside
// the embedded cluster, one a role. It links the standard library and x/sys
// only, since many copies run at once.
package main

import (
	"fmt"
	"os"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/enter"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/httpmock"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/pause"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
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
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "netdojo-helper is a part of netdojo-cluster and not meant to be called by hand")
		os.Exit(2)
	}
	os.Exit(roles[os.Args[1]](os.Args[2:]))
}
