//go:build !linux

package doctor

import (
	"context"
	"errors"
	"runtime"
)

// ProbeName is argv[0] of the child that examines the kernel on Linux.
const ProbeName = "netdojo-doctor-probe"

// Probe has nothing to examine here.
func Probe([]string) int { return 2 }

func platform() []check {
	return []check{{"linux", "The machine runs Linux", func(context.Context, Config) error {
		return failed("use --provider kind, or a Linux machine", "an embedded cluster is made of Linux namespaces; this is %s", runtime.GOOS)
	}}}
}

func examineKernel(context.Context, Config) []Result { return nil }

// system is what checks ask of a machine.
type system struct {
	free func(dir string) (bytes uint64, err error)
}

var thisSystem = &system{free: freeSpace}

// freeSpace is not asked for here: there are no embedded clusters.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
