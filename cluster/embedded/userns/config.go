// Package userns brings a process tree into user, mount, PID, network, IPC and
// UTS namespaces of its own, with a private root, and ends it as a whole. It is
// linked into the small helper and imports only the standard library and x/sys.
//
// Three helper processes stand above the node, and one more in each further node:
//
//	launch  in the host's namespaces: holds the lock, the listening sockets and the log
//	enter   in an outer user namespace: builds the node's root
//	init    in an inner one, PID 1 of the node: enters the root, starts the node, reaps
//	further in namespaces below those: PID 1 of a node that the first node's program starts
//
// Each dies with the one above it, and the kernel ends everything below init. The
// mounts that enter made are locked for all inside the inner user namespace
// (mount_namespaces(7)): none can be taken away or made writable there.
package userns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// Config is what a launch needs.
type Config struct {
	Dir     string `json:"dir"`     // the cluster's folder, which is the host's alone
	Images  string `json:"images"`  // the image store, which the node reads
	Daemon  string `json:"daemon"`  // the program that init starts, with argument "node"
	CoreDNS string `json:"coredns"` // may be empty, and so may Cilium
	Cilium  string `json:"cilium"`
	Helper  string `json:"helper"` // this program, inside Dir
	// Listen are TCP addresses on the host. The node takes their connections by the
	// names that ListenerName gives.
	Listen []string `json:"listen"`
	// Balancers are the addresses of loopback that the node may listen on; of those of
	// IPv4 others of the same size are taken when another cluster has them. Internet
	// says whether the node may connect to the outside.
	Balancers []netip.Prefix `json:"balancers"`
	Internet  bool           `json:"internet"`
	// MaxImageGiB bounds an image that is pulled; 0 is the store's default.
	MaxImageGiB int `json:"maxImageGiB"`
	// Spec is given to the node's program as it is.
	Spec json.RawMessage `json:"spec"`
}

// Node is what the node's program is given, as JSON on its standard input.
type Node struct {
	Spec      json.RawMessage `json:"spec"`
	Balancers []netip.Prefix  `json:"balancers"` // those that this cluster may listen on
}

// Names of files in Config.Dir.
const (
	LockFile  = "lock"  // held by launch as long as the cluster runs; says who holds it
	PortsFile = "ports" // JSON list of the addresses that Listen became
	LogFile   = "daemon.log"
	EndFile   = "end.json" // an End, after one that nobody asked for
	NodeDir   = "node"     // the node's disk: /var of the node lives here
	rootDir   = "root"     // an empty folder: where the node's root is mounted
	roomFile  = "room"     // room for EndFile on a disk that is full by then
)

// Names of the unix sockets in Config.Dir, by which the node takes them too.
const (
	ControlSocket = "control.sock"
	FlowSocket    = "hubble.sock"
)

// ListenerName is how the node takes the connections of Listen[i].
func ListenerName(i int) string { return fmt.Sprintf("listen/%d", i) }

// Where things stand inside the node's root.
const (
	NodeBinDir    = "/opt/netdojo"
	NodeImagesDir = "/opt/netdojo/images"
	// NodeOutside is the descriptor of an outside.Pair's end in the node's program, and
	// NodeLog that of the pipe whose lines the log marks as the node's.
	NodeOutside = 3
	NodeLog     = 4
)

const (
	envConfig  = "NETDOJO_LAUNCH"
	envMapWait = "NETDOJO_MAP_WAIT" // the descriptor that says when the id maps are written
	envRemove  = "NETDOJO_REMOVE"   // set in the process that removes
)

func (c Config) environ() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, prefixes and JSON that was read before
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
