package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// KindConfig says what is examined for a kind cluster.
type KindConfig struct {
	Programs  []string // paths of the programs that the nodes run
	Image     string   // of the nodes; where the engine lacks it, it is pulled
	CgroupsV1 bool     // the image's kubelet takes version 1 of cgroups
	Nodes     int      // 0 means one
	APIPort   int      // wanted for the API; 0 takes a free one
	StateDir  string
	// Kernel says to try the kernel too: some tenths of a second.
	Kernel bool
	// Machine is asked in place of this one; the zero value is this one.
	Machine Machine
}

// Machine is what checks ask of a machine. Nil functions ask this one.
type Machine struct {
	Look   func(program string) (string, error)                                      // its path
	Run    func(ctx context.Context, program string, args ...string) (string, error) // its output
	Sysctl func(name string) string                                                  // by its path under /proc/sys; "" where there is none
	Env    func(name string) string
	Free   func(dir string) (uint64, error) // bytes that may be written
	Kernel func(ctx context.Context) Result // whether it can hold the datapath's ruleset
}

func (m Machine) withDefaults(stateDir string) Machine {
	if m.Look == nil {
		m.Look = exec.LookPath
	}
	if m.Run == nil {
		m.Run = func(ctx context.Context, program string, args ...string) (string, error) {
			cmd := exec.CommandContext(ctx, program, args...)
			cmd.WaitDelay = time.Second // what it started may hold its output open
			out, err := cmd.Output()
			var failed *exec.ExitError
			if errors.As(err, &failed) && len(failed.Stderr) > 0 {
				err = errors.New(strings.TrimSpace(string(failed.Stderr)))
			}
			return strings.TrimSpace(string(out)), err
		}
	}
	if m.Sysctl == nil {
		m.Sysctl = readSysctl
	}
	if m.Env == nil {
		m.Env = os.Getenv
	}
	if m.Free == nil {
		m.Free = freeSpace
	}
	if m.Kernel == nil {
		m.Kernel = func(ctx context.Context) Result {
			for _, r := range examineKernel(ctx, Config{StateDir: stateDir}) {
				if r.ID == nftablesID {
					return r
				}
			}
			return Result{State: Unknown, Cause: "the nodes' kernel is not this machine's"}
		}
	}
	return m
}

// readSysctl reads a kernel parameter by its path under /proc/sys; "" where there
// is none.
func readSysctl(name string) string {
	data, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// NodeImage is the result about the image of a kind cluster's nodes: OK where the
// engine has it.
const NodeImage = "node-image"

// Names of results whose check is in a file that only some systems have.
const (
	nftablesID  = "nftables"
	nftablesReq = "nftables with conntrack, NAT, TPROXY and NFQUEUE works in them, and the node's table loads"
)

// engineInfo is what the container engine says of itself. Docker and nerdctl
// say it one way, Podman another.
type engineInfo struct {
	program  string
	Cgroups  string   `json:"CgroupVersion"`
	Memory   uint64   `json:"MemTotal"`
	Root     string   `json:"DockerRootDir"`
	System   string   `json:"OperatingSystem"`
	Security []string `json:"SecurityOptions"`
	Host     struct {
		Cgroups  string `json:"cgroupVersion"`
		Memory   uint64 `json:"memTotal"`
		Security struct {
			Rootless bool `json:"rootless"`
		} `json:"security"`
	} `json:"host"`
	Store struct {
		Root string `json:"graphRoot"`
	} `json:"store"`
}

func (i engineInfo) rootless() bool {
	return i.Host.Security.Rootless || slices.ContainsFunc(i.Security, func(s string) bool { return strings.Contains(s, "rootless") })
}

// here says whether the engine's containers run on this machine's kernel.
func (i engineInfo) here() bool {
	return runtime.GOOS == "linux" && !strings.Contains(i.System, "Docker Desktop")
}

// kindExam is one examination.
type kindExam struct {
	KindConfig
	m        Machine
	engine   engineInfo
	hasImage bool
}

// Kind examines what a kind cluster needs. Without a container engine what
// depends on it is Unknown.
func Kind(ctx context.Context, cfg KindConfig) []Result {
	e := &kindExam{KindConfig: cfg, m: cfg.Machine.withDefaults(cfg.StateDir)}
	none := Config{Programs: cfg.Programs, APIPort: cfg.APIPort, StateDir: cfg.StateDir}
	results := runAll(ctx, none, []check{
		{"container-engine", "Docker, nerdctl or Podman is installed and answers", e.findEngine},
	})
	there := results[0].State == OK
	for _, c := range []check{
		{NodeImage, "The engine has the nodes' image", e.nodeImage},
		{"cgroups", "The nodes' kubelet takes the version of cgroups that the engine's kernel has", e.cgroups},
		{"memory", "The engine has memory for the nodes", e.memory},
		{"engine-disk", "The engine's disk has room for the nodes", e.disk},
	} {
		if there {
			results = append(results, c.result(ctx, none))
			continue
		}
		results = append(results, Result{ID: c.id, Requirement: c.requirement, State: Unknown, Cause: "not examined: no container engine answers"})
	}
	results = append(results, runAll(ctx, none, []check{
		{"inotify", "The kernel lets many files be watched: each node's programs do", e.inotify},
		{"proxies", "The proxies that are set can be reached from containers", e.proxies},
		{"programs", "The programs that nodes run are beside netdojo", programs},
		{"state-dir", "The state folder can be written", stateDir},
		{"ports", "The ports that are asked for are free", ports},
	})...)
	if !cfg.Kernel {
		return results
	}
	kernel := Result{State: Unknown, Cause: "the nodes' kernel is not this machine's"}
	if there && e.engine.here() {
		kernel = e.m.Kernel(ctx)
	}
	kernel.ID, kernel.Requirement = nftablesID, "The kernel can hold the datapath's ruleset: nftables with conntrack, NAT, TPROXY and NFQUEUE"
	return append(results, kernel)
}

func (e *kindExam) findEngine(ctx context.Context, _ Config) error {
	candidates := []string{"docker", "nerdctl", "podman"}
	if chosen := e.m.Env("KIND_EXPERIMENTAL_PROVIDER"); chosen != "" {
		candidates = []string{chosen}
	}
	for _, program := range candidates {
		if _, err := e.m.Look(program); err != nil {
			continue
		}
		out, err := e.m.Run(ctx, program, "info", "--format", "{{json .}}")
		if err != nil {
			return failed("start its daemon (on Linux, as root: systemctl start docker), and see that your user may use it: on Linux be of the group docker",
				"%s does not answer: %v", program, err)
		}
		e.engine.program = program
		if err := json.Unmarshal([]byte(out), &e.engine); err != nil {
			return failed("update it", "%s describes itself in a way that netdojo does not know: %v", program, err)
		}
		return nil
	}
	return failed("install Docker (https://docs.docker.com/engine/install), or use --provider embedded, which needs none",
		"none of %s is installed", strings.Join(candidates, ", "))
}

func (e *kindExam) cgroups(context.Context, Config) error {
	version := e.engine.Cgroups + e.engine.Host.Cgroups
	switch {
	case version == "" || strings.Contains(version, "2"):
		return nil
	case e.engine.rootless():
		return failed("boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line, or use an engine that root runs",
			"%s runs without root, and cgroups have version 1", e.engine.program)
	case e.hasImage && e.CgroupsV1:
		return nil
	}
	return warning("boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line, or use the node image of make kind-image",
		"cgroups have version 1, which Kubernetes refuses unless the node image says otherwise")
}

// What a node with a lab takes of memory, measured: 0.7 GB, and 0.35 GB for one
// without a control plane.
const (
	firstNode = 1 << 30
	nextNode  = 512 << 20
)

func (e *kindExam) memory(context.Context, Config) error {
	have := e.engine.Memory + e.engine.Host.Memory
	need := uint64(firstNode + max(e.Nodes-1, 0)*nextNode)
	cure := fmt.Sprintf("give the engine %.1f GB or more (Docker Desktop: Settings, Resources), or ask for fewer --nodes", float64(2*need)/(1<<30))
	switch {
	case have == 0 || have >= 2*need:
		return nil
	case have < need:
		return failed(cure, "the engine has %.1f GB in all", float64(have)/(1<<30))
	}
	return warning(cure, "the engine has %.1f GB in all", float64(have)/(1<<30))
}

// What the engine's disk needs: a node image has 0.5 to 1 GB, and a node writes some
// hundred MB.
const (
	minEngineFree    = 1 << 30
	scarceEngineFree = 4 << 30
)

func (e *kindExam) disk(context.Context, Config) error {
	root := e.engine.Root + e.engine.Store.Root
	if root == "" || !e.engine.here() {
		return nil // not a disk that can be looked at
	}
	free, err := e.m.Free(root)
	if err != nil || free >= scarceEngineFree {
		return nil //nolint:nilerr // a remote engine's folder is not here
	}
	cure := e.engine.program + " system prune removes what no container uses"
	if free < minEngineFree {
		return failed(cure, "only %d MB are free at %s", free>>20, root)
	}
	return warning(cure, "only %d MB are free at %s", free>>20, root)
}

func (e *kindExam) nodeImage(ctx context.Context, _ Config) error {
	if e.Image == "" {
		return nil
	}
	if _, err := e.m.Run(ctx, e.engine.program, "image", "inspect", "--format", "{{.Id}}", e.Image); err != nil {
		return warning("build one here with make kind-image (make kind-cilium for real Cilium), or let the engine pull kind's own: it needs the internet",
			"%s has no image %s", e.engine.program, e.Image)
	}
	e.hasImage = true
	return nil
}

// What kind's documentation asks for, see "Pod errors due to too many open files".
var inotifyLimits = []struct {
	name string
	want int
}{
	{"fs/inotify/max_user_watches", 65536},
	{"fs/inotify/max_user_instances", 512},
}

func (e *kindExam) inotify(context.Context, Config) error {
	for _, limit := range inotifyLimits {
		text := e.m.Sysctl(limit.name)
		if have, err := strconv.Atoi(text); err == nil && have < limit.want {
			name := strings.ReplaceAll(limit.name, "/", ".")
			return warning(fmt.Sprintf("as root: sysctl -w %s=%d (and put it into /etc/sysctl.d/)", name, limit.want),
				"%s is %d: with several nodes programs may fail with \"too many open files\"", name, have)
		}
	}
	return nil
}

func (e *kindExam) proxies(context.Context, Config) error {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		u, err := url.Parse(e.m.Env(name))
		if err != nil {
			return failed("correct it, or unset it", "%s is no URL: %v", name, err)
		}
		addr := net.ParseIP(u.Hostname())
		if u.Hostname() == "localhost" || addr != nil && addr.IsLoopback() {
			return warning("set it to an address of the machine that containers reach",
				"%s is %s, and kind hands it to the nodes: there that is the node itself", name, u.Redacted())
		}
	}
	return nil
}
