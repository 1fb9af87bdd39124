package controlplane_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	fakeremote "k8s.io/cri-client/pkg/fake"

	"github.com/netdojo/netdojo/cluster/embedded/controlplane"
	"github.com/netdojo/netdojo/cluster/embedded/kubelet"
	"github.com/netdojo/netdojo/cluster/embedded/metricsapi"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// roleEnv makes the test binary be a node instead of a test run: the components
// are one to a process, and a restart has to be one of the process.
const roleEnv = "NETDOJO_TEST_NODE"

// hasteEnv makes that node wait for no component when it is told to end, as one that
// has too little of a processor does.
const hasteEnv = "NETDOJO_TEST_HASTE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(roleEnv); dir != "" {
		if err := runNode(dir); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const nodeName = "node-1"

var nodeAddr = netip.MustParseAddr("192.168.77.2")

// event is a line that the node writes to its standard output.
type event struct {
	Component, Phase string
	At               time.Duration
}

// idle uses the same at any time.
type idle struct{}

func (idle) Containers(context.Context) (map[metricsapi.Container]metricsapi.Use, error) {
	return map[metricsapi.Container]metricsapi.Use{}, nil
}

func (idle) Node(context.Context) (metricsapi.Use, error) {
	return metricsapi.Use{Memory: 1 << 30}, nil
}

// runNode is the child: a control plane and a kubelet with a made-up container
// runtime, in the namespaces that it was started in.
func runNode(dir string) error {
	start := time.Now()
	controlplane.HurryUp()
	if os.Getenv(hasteEnv) != "" {
		controlplane.EndAtOnce()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := prepareNode(); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	logger := slog.New(slog.NewTextHandler(logFile, nil))
	enc := json.NewEncoder(os.Stdout)
	events := make(chan event, 64)
	go func() {
		for e := range events {
			_ = enc.Encode(e) // a parent that is gone reads nothing more
		}
	}()
	trace := func(component, phase string) { events <- event{component, phase, time.Since(start)} }

	outer, err := net.FileListener(os.NewFile(3, "api"))
	if err != nil {
		return err
	}
	cp, err := controlplane.Start(ctx, controlplane.Config{
		Usage: idle{},
		Dir:   filepath.Join(dir, "controlplane"), NodeName: nodeName, NodeAddr: nodeAddr,
		Listeners:   []net.Listener{outer},
		ServiceCIDR: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.96.0.0/16")}, PodCIDR: ipfamily.Pair[netip.Prefix]{V4: netip.MustParsePrefix("10.244.0.0/24")},
		ClusterDNS: netip.MustParseAddr("10.96.0.10"), DNSUpstream: netip.MustParseAddrPort("192.168.77.1:53"),
		Logger: logger, Trace: trace,
	})
	if err != nil {
		return err
	}
	kubeconfig, err := cp.AdminKubeconfig("test", "https://"+outer.Addr().String())
	if err != nil {
		return err
	}
	if err := clientcmd.WriteToFile(*kubeconfig, filepath.Join(dir, "kubeconfig")); err != nil {
		return err
	}
	socket := filepath.Join(dir, "cri.sock")
	_ = os.Remove(socket)
	runtime := fakeremote.NewFakeRemoteRuntime()
	runtime.ImageService.SetFakeImageSize(1 << 20)
	if err := runtime.Start("unix://" + socket); err != nil {
		return err
	}
	cert, key, ca := cp.KubeletServing()
	kl, err := kubelet.Start(ctx, kubelet.Config{
		NodeName: nodeName, NodeAddr: ipfamily.Pair[netip.Addr]{V4: nodeAddr}, RootDir: filepath.Join(dir, "kubelet"), CRISocket: socket,
		REST: cp.KubeletREST(), ClusterDNS: netip.MustParseAddr("10.96.0.10"),
		ServingCert: cert, ServingKey: key, ClientCA: ca, Logger: logger, Trace: trace,
	})
	if err != nil {
		return err
	}
	go func() {
		<-kl.Ready()
		trace("node", "all")
		if err := controlplane.Settle(); err != nil {
			logger.Error("settle", "error", err)
		}
	}()
	select {
	case <-cp.Done():
		return cp.Err()
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return cp.Close(closing)
}

// prepareNode gives the fresh namespaces an address and folders of their own
// for what the kubelet writes to fixed places.
func prepareNode() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(nodeAddr.String() + "/32")
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.AddrAdd(lo, addr)); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("tmpfs", "/var/log", "tmpfs", 0, "")
}

// node is a running child.
type node struct {
	dir    string
	cmd    *exec.Cmd
	events chan event
	exited chan error
}

func startNode(t *testing.T, dir string, env ...string) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), roleEnv+"="+dir), env...)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = os.Stderr
	// The kubelet removes the logs of a container that is gone by the pattern
	// LOG*, and this made-up runtime's containers have logs without a name.
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) {
			t.Skip("needs user namespaces")
		}
		t.Fatal(err)
	}
	n := &node{dir: dir, cmd: cmd, events: make(chan event, 64), exited: make(chan error, 1)}
	go func() {
		defer close(n.events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				n.events <- e
			}
		}
		_, _ = io.Copy(io.Discard, out)
		n.exited <- cmd.Wait()
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the node's log ends with:\n%s", n.logTail())
		}
		_ = cmd.Process.Kill()
	})
	return n
}

// await reads the node's events until component reports phase.
func (n *node) await(t *testing.T, component, phase string) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for {
		select {
		case e, ok := <-n.events:
			if !ok {
				t.Fatalf("the node ended before %s was %s: %v; see %s", component, phase, <-n.exited, n.logTail())
			}
			t.Logf("%6d ms %s %s", e.At.Milliseconds(), e.Component, e.Phase)
			if e.Component == component && e.Phase == phase {
				return
			}
		case <-deadline:
			t.Fatalf("%s was not %s in time; see %s", component, phase, n.logTail())
		}
	}
}

func (n *node) logTail() string {
	data, err := os.ReadFile(filepath.Join(n.dir, "log"))
	if err != nil {
		return err.Error()
	}
	var told strings.Builder
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "anic") { // at which a component may have ended the node
			told.WriteString(line)
		}
	}
	return told.String() + string(data[max(0, len(data)-20000):])
}

func (n *node) rest(t *testing.T) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(n.dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	return cfg
}

// stop ends the node in order and waits for it.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range n.events {
	}
	if err := <-n.exited; err != nil {
		t.Errorf("the node ended with %v", err)
	}
}

// kill ends the node as a crash would.
func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range n.events {
	}
	<-n.exited
}
