// Package sandbox is the wire form between the CRI server and the helper that
// becomes a container: what to mount, which namespaces to join, whom to run as.
// It is linked into the small helper, so it imports the standard library only.
package sandbox

// Container is what the helper's "container" role reads as JSON from file
// descriptor 3. The CRI server starts the helper in new mount and PID
// namespaces; the helper joins the sandbox's others, builds the root, drops
// privileges and becomes Args (PID 1).
type Container struct {
	Root     string   `json:"root"`     // the prepared root folder (an overlay's mount point is made by the helper)
	Overlay  *Overlay `json:"overlay"`  // mounted on Root when set
	Mounts   []Mount  `json:"mounts"`   // in order, after Root; destinations are inside Root
	ReadOnly bool     `json:"readOnly"` // remount Root read-only at the end

	JoinNet string `json:"joinNet"` // paths of namespaces to join; empty keeps the caller's
	JoinIPC string `json:"joinIPC"`
	JoinUTS string `json:"joinUTS"`

	Hostname    string   `json:"hostname,omitempty"`
	CgroupPaths []string `json:"cgroupPaths,omitempty"`
	Process
	// TTY asks for a pseudo-terminal of the container's own devpts. Its master is
	// sent back over file descriptor 4 (SCM_RIGHTS).
	TTY           bool     `json:"tty"`
	MaskedPaths   []string `json:"maskedPaths,omitempty"`
	ReadOnlyPaths []string `json:"readOnlyPaths,omitempty"`
}

// Process says whom to run, where and as whom.
type Process struct {
	Args            []string `json:"args"`
	Env             []string `json:"env"` // KEY=VALUE; PATH in it finds Args[0]
	Dir             string   `json:"dir"`
	UID             int      `json:"uid"`
	GID             int      `json:"gid"`
	Groups          []int    `json:"groups,omitempty"`
	User            string   `json:"user,omitempty"`        // name or uid[:gid], resolved in the container's /etc/passwd when set
	Capabilities    []string `json:"capabilities"`          // the bounding set, CAP_ names
	NoNewPrivileges bool     `json:"noNewPrivileges"`       //
	Seccomp         []byte   `json:"seccomp,omitempty"`     // an assembled BPF program; none when empty
	OOMScoreAdj     *int     `json:"oomScoreAdj,omitempty"` //
	Rlimits         []Rlimit `json:"rlimits,omitempty"`
}

// Overlay is an overlayfs mount.
type Overlay struct {
	Lower []string `json:"lower"` // top first
	Upper string   `json:"upper"`
	Work  string   `json:"work"`
}

// Mount is one mount inside the container's root.
type Mount struct {
	Source      string   `json:"source"`
	Destination string   `json:"destination"`
	Type        string   `json:"type"`    // a file system, or "bind"
	Options     []string `json:"options"` // as in fstab: ro, nosuid, rbind, mode=755, …
}

// Rlimit is a resource limit by its RLIMIT_ name.
type Rlimit struct {
	Name string `json:"name"`
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// Exec is what the helper's "exec" role reads from file descriptor 3: a further
// process in a running container. Resize messages follow on the same descriptor
// as JSON values when TTY is set. The helper exits with the process's code
// (128+signal when a signal ended it).
type Exec struct {
	PID int `json:"pid"` // the container's PID 1 as the CRI server sees it
	Process
	TTY bool `json:"tty"`
}

// Resize is a terminal's new size in cells.
type Resize struct {
	Width  uint16 `json:"width"`
	Height uint16 `json:"height"`
}
