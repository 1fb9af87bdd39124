// Package userns brings a process tree into user, mount, PID, network, IPC and
// UTS namespaces of its own, with a private root, and ends it as a whole. It is
// linked into the small helper and imports only the standard library and x/sys.
//
// Three helper processes stand above the node:
//
//	launch  in the host's namespaces: holds the lock and the listening sockets
//	enter   in the user namespace: starts init in all others
//	init    PID 1 of the node: builds the root, starts the node, reaps
//
// Each dies with the one above it, and the kernel ends everything below init.
package userns

import (
	"encoding/json"
	"fmt"
	"os"
)

// Config is what a launch needs. It travels in the environment as JSON.
type Config struct {
	Dir     string `json:"dir"`     // the cluster's folder
	Images  string `json:"images"`  // the image store
	Daemon  string `json:"daemon"`  // the program that init starts, with argument "node"
	CoreDNS string `json:"coredns"` // may be empty, and so may Cilium
	Cilium  string `json:"cilium"`
	Helper  string `json:"helper"` // this program, inside Dir
	// Listen are TCP addresses on the host whose sockets the node gets as file
	// descriptors 3, 4, … in this order. One more descriptor follows: the dialer's
	// end of an outside.Pair that launch serves.
	Listen []string `json:"listen"`
}

// Names of files in Config.Dir.
const (
	LockFile  = "lock"  // held by launch as long as the cluster runs; holds its PID
	PortsFile = "ports" // JSON list of the addresses that Listen became
	NodeDir   = "node"  // the node's disk: /var of the node lives here
)

// Where things stand inside the node's root.
const (
	NodeClusterDir = "/netdojo"
	NodeBinDir     = "/opt/netdojo"
	NodeImagesDir  = "/var/lib/netdojo/images"
)

const (
	envConfig  = "NETDOJO_LAUNCH"
	envMapWait = "NETDOJO_MAP_WAIT" // the descriptor that says when the id maps are written
	envStage   = "NETDOJO_STAGE"    // where root bound Dir, Images and programs
	// EnvListeners tells the node how many descriptors it was handed, from 3 on.
	EnvListeners = "NETDOJO_LISTENERS"
)

func (c Config) environ() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings only
	}
	return envConfig + "=" + string(b)
}

func configFromEnv() (Config, error) {
	var c Config
	if err := json.Unmarshal([]byte(os.Getenv(envConfig)), &c); err != nil {
		return c, fmt.Errorf("read %s: %w", envConfig, err)
	}
	return c, nil
}

// Problem is a failure with a cure for the user.
type Problem struct {
	What string
	Fix  string
	Err  error
}

func (p *Problem) Error() string {
	if p.Err == nil {
		return p.What
	}
	return p.What + ": " + p.Err.Error()
}

// Cure says what the user can do about it.
func (p *Problem) Cure() string { return p.Fix }

func (p *Problem) Unwrap() error { return p.Err }
