//go:build linux

package cri

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/busybox"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/enter"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/httpmock"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox/pause"
	"github.com/netdojo/netdojo/cluster/image"
)

// Marks of copies of the tests: in namespaces of their own, and there in a user
// namespace as well.
const (
	aloneEnv  = "NETDOJO_CRI_TEST_ALONE"
	insideEnv = "NETDOJO_CRI_TEST_INSIDE"
)

// TestMain is the helper when it is called as one. The tests themselves run in
// mount and PID namespaces of their own, so that nothing is left on the machine
// however they end.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); busybox.Has(name) {
		os.Exit(busybox.Run(name, os.Args[1:]))
	}
	if len(os.Args) > 1 {
		role := map[string]func([]string) int{
			"container": enter.Container, "exec": enter.Exec, "pause": pause.Run, "httpmock": httpmock.Run, "hog": hog,
		}[os.Args[1]]
		if role != nil {
			os.Exit(role(os.Args[2:]))
		}
	}
	inside := os.Getenv(insideEnv) != ""
	if !inside && os.Getenv(aloneEnv) == "" && os.Getuid() == 0 {
		os.Exit(runAlone())
	}
	if inside || os.Getenv(aloneEnv) != "" {
		if err := ownMounts(); err != nil {
			panic(err)
		}
	}
	if inside {
		if err := loopbackUp(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// runAlone runs the tests in a child and ends as it does.
func runAlone() int {
	runtime.LockOSThread() // the child is to die with this thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), aloneEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	}
	fmt.Fprintln(os.Stderr, "run the tests in namespaces of their own:", err)
	return 1
}

func ownMounts() error {
	return errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		boundPIDs())
}

// needsNamespaces skips where this process may not make namespaces.
func needsNamespaces(t *testing.T) {
	t.Helper()
	err := onThread(nil, func() error { return unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET) })
	if err != nil {
		t.Skipf("needs the right to make namespaces: %v", err)
	}
}

// fakeNetwork gives addresses and remembers who has one.
type fakeNetwork struct {
	mu       sync.Mutex
	attached map[string]AttachRequest
	fail     error
}

func (n *fakeNetwork) Attach(_ context.Context, req AttachRequest) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return nil, n.fail
	}
	var st unix.Stat_t
	if err := unix.Stat(req.NetNS, &st); err != nil {
		return nil, fmt.Errorf("stat %s: %w", req.NetNS, err)
	}
	n.attached[req.SandboxID] = req
	return []netip.Addr{
		netip.AddrFrom4([4]byte{10, 244, 0, byte(len(n.attached) + 1)}), netip.MustParseAddr("fd00:10:244::2"),
	}, nil
}

func (n *fakeNetwork) Detach(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.attached, id)
	return nil
}

func (n *fakeNetwork) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.attached)
}

// node is a server under test and its clients.
type node struct {
	t      *testing.T
	dir    string
	net    *fakeNetwork
	server *Server
	runtimeapi.RuntimeServiceClient
	images runtimeapi.ImageServiceClient
	store  *image.Store

	helper string

	mu       sync.Mutex
	standIns []StandInUse
	notices  []Notice
}

// told are the notices so far.
func (n *node) told() []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.notices)
}

// startNode starts a server; at the end of the test it closes it and checks
// that nothing is left.
func startNode(t *testing.T) *node {
	t.Helper()
	helper, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startNodeWith(t, helper)
}

// startNodeWithConfig is startNode with a changed configuration.
func startNodeWithConfig(t *testing.T, change func(*Config)) *node {
	t.Helper()
	helper, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startNodeOf(t, helper, change)
}

// startNodeWith is startNode with another file for the helper.
func startNodeWith(t *testing.T, helper string) *node {
	t.Helper()
	return startNodeOf(t, helper, nil)
}

func startNodeOf(t *testing.T, helper string, change func(*Config)) *node {
	t.Helper()
	needsNamespaces(t)
	dir, err := os.MkdirTemp("", "cri")
	if err != nil {
		t.Fatal(err)
	}
	store, err := image.Open(image.Options{Dir: filepath.Join(dir, "images"), Roots: filepath.Join(dir, "roots"), Helper: helper, PullTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: dir, helper: helper, store: store, net: &fakeNetwork{attached: map[string]AttachRequest{}}}
	cfg := Config{
		Socket: filepath.Join(dir, "cri.sock"), StateDir: filepath.Join(dir, "state"), Helper: helper,
		Images: store, Network: n.net,
		OnStandIn: func(u StandInUse) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.standIns = append(n.standIns, u)
		},
		OnNotice: func(m Notice) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.notices = append(n.notices, m)
		},
	}
	if change != nil {
		change(&cfg)
	}
	n.server, err = Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+filepath.Join(dir, "cri.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	n.RuntimeServiceClient, n.images = runtimeapi.NewRuntimeServiceClient(conn), runtimeapi.NewImageServiceClient(conn)
	t.Cleanup(func() {
		conn.Close()
		if err := n.server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		n.checkLeaks()
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the node's folder: %v", err)
		}
	})
	return n
}

// checkLeaks fails the test for mounts, processes and addresses that are left.
func (n *node) checkLeaks() {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		n.t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, n.dir) {
			n.t.Errorf("mount left: %s", line)
		}
	}
	own, err := mountNamespace(os.Getpid())
	if err != nil {
		n.t.Error(err)
	}
	eachProcess(func(pid int, ns uint64) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || ns == own {
			return
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if fields[1] == fmt.Sprint(os.Getpid()) {
			n.t.Errorf("process left: %s", stat)
		}
	})
	if left := n.net.count(); left != 0 {
		n.t.Errorf("%d pods are still attached", left)
	}
	for _, kind := range []string{"sandboxes", "containers"} {
		entries, err := os.ReadDir(filepath.Join(n.dir, "state", kind))
		if err != nil || len(entries) != 0 {
			n.t.Errorf("%s left: %v (%v)", kind, entries, err)
		}
	}
}

// pod runs a sandbox; change may alter its configuration.
func (n *node) pod(name string, change func(*runtimeapi.PodSandboxConfig)) (string, *runtimeapi.PodSandboxConfig) {
	n.t.Helper()
	config := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "default", Uid: "uid-" + name},
		Hostname:     name,
		LogDirectory: filepath.Join(n.dir, "log", name),
		DnsConfig:    &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"app": name},
		Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}}},
	}
	if change != nil {
		change(config)
	}
	resp, err := n.RunPodSandbox(n.t.Context(), &runtimeapi.RunPodSandboxRequest{Config: config})
	if err != nil {
		n.t.Fatalf("run pod %s: %v", name, err)
	}
	return resp.PodSandboxId, config
}

// create makes a container of the busybox stand-in; change may alter it.
func (n *node) create(podID string, pod *runtimeapi.PodSandboxConfig, name string, command []string, change func(*runtimeapi.ContainerConfig)) (string, error) {
	config := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: "busybox", UserSpecifiedImage: "busybox"},
		Command:  command,
		LogPath:  name + "/0.log",
		Labels:   map[string]string{"c": name},
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: pod.GetLinux().GetSecurityContext().GetNamespaceOptions(),
			MaskedPaths:      []string{"/proc/kcore", "/proc/timer_list", "/sys/firmware", "/not/there"},
			ReadonlyPaths:    []string{"/proc/sys", "/proc/bus", "/not/there"},
		}},
	}
	if change != nil {
		change(config)
	}
	resp, err := n.CreateContainer(n.t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: podID, Config: config, SandboxConfig: pod})
	if err != nil {
		return "", err
	}
	return resp.ContainerId, nil
}

// run creates and starts a container.
func (n *node) run(podID string, pod *runtimeapi.PodSandboxConfig, name string, command []string, change func(*runtimeapi.ContainerConfig)) string {
	n.t.Helper()
	id, err := n.create(podID, pod, name, command, change)
	if err != nil {
		n.t.Fatalf("create %s: %v", name, err)
	}
	if _, err := n.StartContainer(n.t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id}); err != nil {
		n.t.Fatalf("start %s: %v", name, err)
	}
	return id
}

// ended waits until a container has exited.
func (n *node) ended(id string) *runtimeapi.ContainerStatus {
	n.t.Helper()
	var st *runtimeapi.ContainerStatus
	n.eventually("container "+id+" to end", func() bool {
		st = n.state(id)
		return st.State == runtimeapi.ContainerState_CONTAINER_EXITED
	})
	return st
}

func (n *node) state(id string) *runtimeapi.ContainerStatus {
	n.t.Helper()
	resp, err := n.ContainerStatus(n.t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.Status
}

// eventually polls until ok or a minute is over: a fork bomb keeps the machine busy.
func (n *node) eventually(what string, ok func() bool) {
	n.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			n.t.Fatalf("waited too long for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// logs returns a container's log without times.
func (n *node) logs(id string) string {
	n.t.Helper()
	data, err := os.ReadFile(n.state(id).LogPath)
	if err != nil {
		n.t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		stamp, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
			n.t.Errorf("log line without time: %q", line)
		}
		out.WriteString(rest)
	}
	return out.String()
}

// output runs a command to its end in a container of its own, and returns its
// standard output and error as the log has them.
func (n *node) output(command []string, change func(*runtimeapi.ContainerConfig)) (string, *runtimeapi.ContainerStatus) {
	n.t.Helper()
	podID, pod := n.pod("once", nil)
	id := n.run(podID, pod, "c", command, change)
	st := n.ended(id)
	text := n.logs(id)
	if _, err := n.RemovePodSandbox(n.t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: podID}); err != nil {
		n.t.Error(err)
	}
	if err := os.RemoveAll(pod.LogDirectory); err != nil {
		n.t.Error(err)
	}
	return text, st
}

// shell is output of a shell command, its lines without stream and tag.
func (n *node) shell(script string, change func(*runtimeapi.ContainerConfig)) string {
	n.t.Helper()
	// What is written to two streams comes in no order.
	text, st := n.output([]string{"sh", "-c", "exec 2>&1; " + script}, change)
	var out strings.Builder
	for line := range strings.Lines(text) {
		parts := strings.SplitN(line, " ", 3)
		out.WriteString(parts[2])
	}
	if st.ExitCode != 0 {
		n.t.Errorf("%q ended with %d: %s", script, st.ExitCode, out.String())
	}
	return strings.TrimRight(out.String(), "\n")
}

// execSync runs a command in a container.
func (n *node) execSync(id string, command ...string) (string, string, int32) {
	n.t.Helper()
	resp, err := n.ExecSync(n.t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 60})
	if err != nil {
		n.t.Fatalf("exec %q: %v", command, err)
	}
	return string(resp.Stdout), string(resp.Stderr), resp.ExitCode
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
