//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
)

// prober asks for a name that lab 04's policy denies, and for one that it allows, as
// long as it lives.
const prober = `apiVersion: v1
kind: Pod
metadata: {name: prober, labels: {app: backend}}
spec:
  containers:
  - name: prober
    image: curlimages/curl
    command: [sh, -c, "while :; do curl -ks -m 1 -o /dev/null https://cilium.io && echo open; curl -ks -m 2 -o /dev/null https://kubernetes.io && echo alive; done"]
`

// Whatever ends, stops or attacks a cluster, what a policy denies stays closed; and
// after all of it nothing is left, and the machine's devices are as they were.
func TestNeverOpen(t *testing.T) {
	before, devices := look(t), deviceNodes(t)
	h := newHome(t, t.TempDir())
	h.must("up")
	down := false
	t.Cleanup(func() {
		if h.t = t; !down {
			h.must("down", "--purge")
		}
	})
	policy, err := filepath.Abs(solution)
	if err != nil {
		t.Fatal(err)
	}
	h.must("kubectl", "apply", "-f", policy)
	h.pipe(strings.NewReader(prober), "kubectl", "apply", "-f", "-")
	alive := func(after string) {
		t.Helper()
		eventually(t, "the allowed name answers after "+after, 90*time.Second, func() bool {
			return strings.Contains(h.run("kubectl", "logs", "prober", "--since=3s").stdout, "alive")
		})
		if logs := h.must("kubectl", "logs", "prober"); strings.Contains(logs, "open") {
			t.Errorf("the denied name was open, seen after %s:\n%s", after, logs)
		}
	}
	alive("the start")
	node, launcher, signal := nodeProcess, launcherProcess, h.signal
	for _, fault := range []struct {
		name string
		make func()
	}{
		{"a stop of the node's process", func() {
			signal(node, syscall.SIGSTOP)
			h.inTime(30*time.Second, "status")
			signal(node, syscall.SIGCONT)
		}},
		{"a stop of the launcher", func() {
			signal(launcher, syscall.SIGSTOP)
			h.inTime(30*time.Second, "status")
			signal(launcher, syscall.SIGCONT)
		}},
		{"the node's death", func() {
			signal(node, syscall.SIGKILL)
			eventually(t, "the cluster has ended", 10*time.Second, func() bool { return strings.Contains(h.run("status").stdout, "SIGKILL") })
			h.must("up")
		}},
		{"the launcher's death", func() {
			signal(launcher, syscall.SIGKILL)
			eventually(t, "the cluster has ended", 10*time.Second, func() bool { return strings.Contains(h.run("status").stdout, "launcher was killed") })
			h.must("up")
		}},
		{"down and up", func() { h.must("down"); h.must("up") }},
	} {
		fault.make()
		alive(fault.name)
	}
	// What the pod leaves of its node may not live on; what it says last counts.
	free, taken := watchFree(t)
	what := fmt.Sprintf(`{"secret":"what-nobody-says","cookie":%d,"victim":"127.0.0.1:9","free":%q}`, networkCookie(t), free)
	for _, line := range h.loot(what, t.TempDir(), "") {
		t.Error(line)
	}
	if logs := h.run("kubectl", "logs", "prober").stdout; strings.Contains(logs, "open") {
		t.Errorf("the denied name was open, seen after the attacks of a hostile pod:\n%s", logs)
	}
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	h.must("down", "--purge")
	down = true
	if taken.Load() {
		t.Errorf("somebody listened on the host's %s", free)
	}
	eventually(t, "everything of the cluster is gone", 5*time.Second, func() bool { return len(tr.left(t)) == 0 })
	look(t).compare(t, before)
	if after := deviceNodes(t); !slices.Equal(devices, after) {
		t.Errorf("/dev was\n%s\nand is\n%s", strings.Join(devices, "\n"), strings.Join(after, "\n"))
	}
}

// deviceNodes are the devices in /dev that any program relies on.
func deviceNodes(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		var s syscall.Stat_t
		if err := syscall.Lstat("/dev/"+name, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s inode %d mode %o device %d", name, s.Ino, s.Mode, s.Rdev))
	}
	return all
}
