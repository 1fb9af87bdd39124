//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

// machine is what a cluster could leave behind in the host's namespaces.
type machine struct{ links, mounts, tables, cgroups []string }

func look(t *testing.T) machine {
	t.Helper()
	var m machine
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		m.links = append(m.links, l.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	m.mounts = strings.Split(string(mounts), "\n")
	if out, err := exec.Command("nft", "list", "tables").Output(); err == nil {
		m.tables = strings.Split(string(out), "\n")
	}
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "netdojo") {
			m.cgroups = append(m.cgroups, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m machine) compare(t *testing.T, before machine) {
	t.Helper()
	for _, c := range []struct {
		what          string
		before, after []string
	}{
		{"network links", before.links, m.links}, {"mounts", before.mounts, m.mounts},
		{"nft tables", before.tables, m.tables}, {"cgroups", before.cgroups, m.cgroups},
	} {
		for _, x := range c.after {
			if !slices.Contains(c.before, x) {
				t.Errorf("left behind, %s: %s", c.what, x)
			}
		}
	}
}

// tree is the launcher and everything below it, with their namespaces.
type tree struct {
	processes  map[int]string  // pid → start time, which tells a reused pid
	namespaces map[string]bool // those that the test itself is not in
}

func clusterTree(t *testing.T, state, name string) (tr tree, launcher int) {
	t.Helper()
	l, err := userns.FindLauncher(filepath.Join(state, "clusters", name))
	if err != nil {
		t.Fatal(err)
	}
	launcher = l.PID
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, pid := range pids(t) {
		if f := stat(pid); f != nil {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], pid)
		}
	}
	tr = tree{map[int]string{}, map[string]bool{}}
	own := namespaces(os.Getpid())
	for queue := []int{launcher}; len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		if f := stat(pid); f != nil {
			tr.processes[pid] = f[19]
		}
		for _, ns := range namespaces(pid) {
			if !slices.Contains(own, ns) {
				tr.namespaces[ns] = true
			}
		}
		queue = append(queue, children[pid]...)
	}
	return tr, launcher
}

// left names what of the tree is still there.
func (tr tree) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for pid, started := range tr.processes {
		if f := stat(pid); f != nil && f[19] == started && f[0] != "Z" {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	for _, pid := range pids(t) {
		for _, ns := range namespaces(pid) {
			if tr.namespaces[ns] {
				left = append(left, fmt.Sprintf("%s of process %d", ns, pid))
			}
		}
	}
	return left
}

func pids(t *testing.T) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// stat is /proc/PID/stat from the state on (proc_pid_stat(5)): state, parent, …,
// start time at 19. Nil when there is no such process.
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

func namespaces(pid int) []string {
	var all []string
	for _, kind := range []string{"net", "mnt", "user", "pid", "ipc", "uts"} {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err == nil {
			all = append(all, ns)
		}
	}
	return all
}

func TestDownLeavesNothing(t *testing.T) {
	before := look(t)
	h := newHome(t, t.TempDir())
	h.must("up")
	h.must("run", "04")
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	if len(tr.processes) < 5 {
		t.Fatalf("only %d processes found below the launcher: the test looks at the wrong place", len(tr.processes))
	}
	h.must("down", "--purge")
	eventually(t, "everything of the cluster is gone", 5*time.Second, func() bool { return len(tr.left(t)) == 0 })
	look(t).compare(t, before)
	if _, err := os.Stat(filepath.Join(h.state, "clusters", cluster.DefaultName)); !os.IsNotExist(err) {
		t.Errorf("the cluster's folder is still there: %v", err)
	}
}

func TestKilledDaemonLeavesNothingAndComesBack(t *testing.T) {
	before := look(t)
	h := newHome(t, t.TempDir())
	h.must("up")
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	h.must("kubectl", "create", "configmap", "kept", "--from-literal=a=b")
	tr, launcher := clusterTree(t, h.state, cluster.DefaultName)
	if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything of the cluster is gone", 5*time.Second, func() bool { return len(tr.left(t)) == 0 })
	look(t).compare(t, before)
	if r := h.run("status"); !strings.Contains(r.stdout, "its launcher was killed") {
		t.Errorf("status does not say why it ended: %s%s", r.stdout, r.stderr)
	}
	h.must("up")
	if out := h.must("kubectl", "get", "configmap", "kept", "-o", "jsonpath={.data.a}"); out != "b" {
		t.Errorf("the object did not come back: %q", out)
	}
}

// TestInterruptedUp ends `up` at moments spread over its way.
func TestInterruptedUp(t *testing.T) {
	before := look(t)
	for _, after := range []time.Duration{50, 200, 500, 1000} {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			h := newHome(t, t.TempDir())
			c := h.start("up")
			time.Sleep(after) // the moment is what is tested
			// Not SIGINT, which what runs in a shell's background ignores from birth.
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			// At the first moment netdojo may not listen for signals yet, and has said nothing.
			early := 128 + int(syscall.SIGTERM)
			if r := c.wait(); r.code != 130 && (r.code != early || r.stdout+r.stderr != "") {
				t.Errorf("exit code %d, want 130\n%s%s", r.code, r.stdout, r.stderr)
			}
			if userns.Running(filepath.Join(h.state, "clusters", cluster.DefaultName)) {
				t.Error("the launcher runs on")
			}
			h.must("down", "--purge")
		})
	}
	look(t).compare(t, before)
}

func TestTwoClustersSideBySide(t *testing.T) {
	h := newHome(t, t.TempDir())
	for _, name := range []string{"one", "two"} {
		h.must("up", "--name", name)
		t.Cleanup(func() { h.t = t; h.must("down", "--purge", "--name", name) })
		h.in(name).must("kubectl", "create", "configmap", "only-"+name)
	}
	out := h.in("two").must("kubectl", "get", "configmaps", "-o", "name")
	if !strings.Contains(out, "only-two") || strings.Contains(out, "only-one") {
		t.Errorf("cluster two holds:\n%s", out)
	}
}
