//go:build linux

// Package pause holds the helper's role "pause": PID 1 of a pod whose
// containers share one PID namespace. It reaps and waits to be ended.
package pause

import (
	"encoding/json"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// Run reaps children until SIGTERM or SIGINT.
func Run([]string) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT)
	// The end of this stream says that it runs. As a stand-in's command it has
	// no such descriptors.
	sandbox.SetPIDMax(readSpec().PIDMax)
	_ = unix.Close(sandbox.StatusFD)
	for s := range signals {
		if s != unix.SIGCHLD {
			return 0
		}
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
		}
	}
	return 0
}

func readSpec() sandbox.Pause {
	f := os.NewFile(sandbox.SpecFD, "spec")
	defer f.Close()
	var spec sandbox.Pause
	if json.NewDecoder(f).Decode(&spec) != nil {
		return sandbox.Pause{}
	}
	return spec
}
