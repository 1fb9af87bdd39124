// Package netdojo tells the versions of what netdojo is made of. They stand in go.mod,
// and nowhere else.
package netdojo

import (
	_ "embed"
	"strings"
)

//go:embed go.mod
var goMod string

// Versions of the modules whose code netdojo runs, with their v.
var (
	Kubernetes = required("k8s.io/kubernetes")
	Cilium     = required("github.com/cilium/cilium")
)

// required is the version in which go.mod requires a module. A module that is not
// required is a fault of this package.
func required(module string) string {
	for line := range strings.Lines(goMod) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == module {
			return f[1]
		}
	}
	panic("go.mod does not require " + module)
}
