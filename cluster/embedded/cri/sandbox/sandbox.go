// Package sandbox is the wire form between the CRI server and the helper that
// becomes a container: what to mount, which limits to set, whom to run as.
// It is linked into the small helper, so it imports the standard library only.
//
// The CRI server starts the helper inside the namespaces that the process is
// to have (it enters them on a thread of its own and forks from there); only
// the mount namespace is left to the helper. On file descriptor SpecFD the
// helper reads one JSON value, a Container or an Exec. On StatusFD, a socket
// that keeps message bounds, it answers; a message is a type byte and a text:
//
//	MessageTTY   the master of the terminal, as SCM_RIGHTS
//	MessageFail  a Failure as JSON: the command did not start
//
// The end of the stream without MessageFail says that the command runs.
package sandbox

// File descriptors that the helper's roles container and exec are given.
const (
	SpecFD   = 3
	StatusFD = 4
	PidFD    = 5 // role exec only: a pidfd of the container's main process
)

// Types of message on StatusFD.
const (
	MessageTTY  = 't'
	MessageFail = 'f'
)

// Failure says why a command did not start.
type Failure struct {
	Message string `json:"message"`
	// Code is the exit code that a shell would give: 127 not found, 126 found but
	// not executable, 128 for everything else.
	Code int `json:"code"`
}

// Container is what the helper's "container" role becomes. The helper starts
// in a mount namespace of its own, a copy of the node's.
type Container struct {
	Root     string    `json:"root"`     // the folder that becomes "/"
	Overlays []Overlay `json:"overlays"` // mounted in order before all else
	Mounts   []Mount   `json:"mounts"`   // in order; sources are the node's paths
	ReadOnly bool      `json:"readOnly"` // make "/" read-only at the end
	Process
	TTY           bool     `json:"tty"` // of the container's own devpts
	MaskedPaths   []string `json:"maskedPaths,omitempty"`
	ReadOnlyPaths []string `json:"readOnlyPaths,omitempty"`
	PIDMax        int      `json:"pidMax,omitempty"` // kernel.pid_max of the PID namespace that it begins
}

// Process says whom to run, where and as whom.
type Process struct {
	Args            []string `json:"args"`
	Env             []string `json:"env"` // KEY=VALUE; PATH in it finds Args[0]
	Dir             string   `json:"dir"` // made when it is missing (role container)
	UID             int      `json:"uid"`
	GID             int      `json:"gid"`
	Groups          []int    `json:"groups,omitempty"`
	Capabilities    []string `json:"capabilities"`          // the bounding set, CAP_ names
	NoNewPrivileges bool     `json:"noNewPrivileges"`       //
	Seccomp         []byte   `json:"seccomp,omitempty"`     // an array of struct sock_filter; none when empty
	OOMScoreAdj     *int     `json:"oomScoreAdj,omitempty"` //
	Rlimits         []Rlimit `json:"rlimits,omitempty"`
}

// Overlay is an overlayfs mount on a folder below Container.Root. Target is
// trusted: no component of it may be a symbolic link of an image's making.
type Overlay struct {
	Target    string   `json:"target"` // "" is the root itself
	Lower     []string `json:"lower"`  // top first
	Upper     string   `json:"upper"`
	Work      string   `json:"work"`
	UserXattr bool     `json:"userxattr"` // set inside a user namespace
}

// Propagation of a bind mount, as mount(8) names it.
const (
	Private = ""
	Slave   = "rslave"
	Shared  = "rshared"
)

// Mount is one mount inside the container.
type Mount struct {
	Source      string   `json:"source"`
	Destination string   `json:"destination"` // symbolic links are the container's own
	Type        string   `json:"type"`        // a file system, or "bind" (always with all mounts below it)
	Options     []string `json:"options"`     // ro, rro (ro for all below too), nosuid, nodev, noexec; else for the file system: mode=755, …
	Propagation string   `json:"propagation,omitempty"`
	// Fallback is bound when the kernel refuses the file system; with
	// FallbackNone the mount is left out then.
	Fallback string `json:"fallback,omitempty"`
}

// FallbackNone as Mount.Fallback lets a mount be refused.
const FallbackNone = "none"

// Rlimit is a resource limit by its RLIMIT_ number.
type Rlimit struct {
	Resource int    `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Pause is what the helper's "pause" role is told.
type Pause struct {
	PIDMax int `json:"pidMax,omitempty"` // kernel.pid_max of the pod's PID namespace
}

// Exec is what the helper's "exec" role becomes: a further process in a running
// container, whose mount namespace it enters by PidFD.
type Exec struct {
	Process
	TTY bool `json:"tty"`
}
