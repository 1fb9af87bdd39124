//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

// processOf finds a process of the cluster by its arguments.
func (h *home) processOf(t *testing.T, args string) int {
	t.Helper()
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	found, since := 0, 0
	for pid, started := range tr.processes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasSuffix(strings.TrimRight(strings.ReplaceAll(string(b), "\x00", " "), " "), args) {
			continue
		}
		// One that it has just started has its arguments until it executes another program.
		if at, err := strconv.Atoi(started); err == nil && (found == 0 || at < since) {
			found, since = pid, at
		}
	}
	if found == 0 {
		t.Fatalf("no process %q", args)
	}
	return found
}

// inTime runs netdojo, which must end within a limit that is far above what it takes.
func (h *home) inTime(limit time.Duration, args ...string) result {
	h.t.Helper()
	c := h.start(args...)
	timer := time.AfterFunc(max(limit, 2*busy), func() {
		h.t.Errorf("netdojo %s hangs", strings.Join(args, " "))
		_ = c.Process.Kill()
	})
	defer timer.Stop()
	return c.wait()
}

// TestEnds ends, stops and breaks a cluster in every way that it is known for, one after
// the other, in a cluster of each kind of user. None hangs a command, and of each status
// tells what happened.
func TestEnds(t *testing.T) {
	bin := copyPrograms(t)
	for _, w := range users(t) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			h := homeOf(t, w, bin)
			t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
			for _, step := range []struct {
				name string
				test func(*testing.T, *home)
			}{
				{"two up at once", upTwiceAtOnce},
				{"a silent daemon", silentDaemon},
				{"the node's death in a churn, and its last words", nodesDeath},
				{"the launcher's death in a churn", launchersDeath},
				{"an interrupted up", interruptedUp},
				{"garbage in etcd", garbageInEtcd},
				{"a stopped launcher without a socket", stoppedLauncher},
			} {
				ok := t.Run(step.name, func(t *testing.T) {
					h.t = t
					step.test(t, h)
				})
				if !ok {
					break // what follows goes on with the same cluster
				}
			}
		})
	}
}

// Two who bring one cluster up at once have both what they asked for.
func upTwiceAtOnce(t *testing.T, h *home) {
	one, two := h.start("up"), h.start("up")
	for _, r := range []result{one.wait(), two.wait()} {
		if r.code != 0 {
			t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
	}
	h.must("kubectl", "get", "namespaces")
}

func (h *home) signal(args string, s syscall.Signal) {
	h.t.Helper()
	if err := syscall.Kill(h.processOf(h.t.(*testing.T), args), s); err != nil {
		h.t.Fatal(err)
	}
}

const nodeProcess, launcherProcess = "netdojo-cluster node", "netdojo-helper launch"

// statusSays runs status, which must end in time and tell something.
func (h *home) statusSays(parts ...string) string {
	h.t.Helper()
	r := h.inTime(30*time.Second, "status")
	for _, part := range parts {
		if !strings.Contains(r.stdout, part) {
			h.t.Errorf("status does not say %q: %s%s", part, r.stdout, r.stderr)
		}
	}
	return r.stdout
}

// A daemon that does not answer, in whichever way, is told of and can be ended.
func silentDaemon(t *testing.T, h *home) {
	socket := filepath.Join(h.state, "clusters", cluster.DefaultName, control.SocketName)
	if err := os.Rename(socket, socket+".gone"); err != nil {
		t.Fatal(err)
	}
	h.statusSays("control.sock")
	if err := os.Rename(socket+".gone", socket); err != nil {
		t.Fatal(err)
	}
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	h.signal(nodeProcess, syscall.SIGSTOP)
	h.statusSays("does not answer")
	if r := h.inTime(60*time.Second, "down"); r.code != 0 {
		t.Errorf("down: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	gone(t, tr)
	h.statusSays("stopped; ")
}

func gone(t *testing.T, tr tree) {
	t.Helper()
	eventually(t, "everything of the cluster is gone", 10*time.Second, func() bool { return len(tr.left(t)) == 0 })
}

// churn has the node start and end pods from here on.
func (h *home) churn() {
	h.t.Helper()
	h.must("kubectl", "delete", "deployment", "churn", "--ignore-not-found", "--wait=false")
	h.must("kubectl", "create", "deployment", "churn", "--image=busybox", "--replicas=5", "--", "sleep", "600")
}

// lastWords is what a pod that took its node writes to everything that leads to the
// host's log, before it ends the node.
const lastWords = `for f in /proc/[0-9]*/fd/*; do case $(readlink $f) in pipe:*)
	printf 'netdojo: forged\ncure: forged\n\033]0;forged\007\n' | timeout 1 dd of=$f oflag=nonblock 2>/dev/null;; esac; done
for p in /proc/[0-9]*; do case $(tr '\0' ' ' <$p/cmdline) in "netdojo-cluster node ") kill -9 ${p#/proc/};; esac; done`

// The reason of an end is the launcher's word; the node's are quoted, and a terminal
// does not obey them.
func nodesDeath(t *testing.T, h *home) {
	h.must("up")
	h.pipe(strings.NewReader(hostilePod), "kubectl", "apply", "-f", "-")
	h.must("kubectl", "wait", "--for=condition=Ready", "pod/hostile", "--timeout=120s")
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	h.churn()
	h.run("kubectl", "exec", "hostile", "--", "bash", "-c", lastWords) // it ends with the cluster
	gone(t, tr)
	said := h.statusSays("the node was ended by SIGKILL")
	if strings.Contains(said, "\x1b") || strings.Contains(said, "cure: forged") {
		t.Errorf("status says what the node made it say: %q", said)
	}
	marked := false
	b, err := os.ReadFile(filepath.Join(h.state, "clusters", cluster.DefaultName, userns.LogFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		marked = marked || line == userns.NodeMark+"netdojo: forged\n"
		if strings.HasPrefix(line, "netdojo: ") || strings.HasPrefix(line, "cure: ") {
			t.Errorf("the log takes for netdojo's own: %s", line)
		}
	}
	if !marked && h.as != nil { // the pipe's path is not for the mapped root of root's cluster
		t.Error("the pod's words did not come to the log: the test looks at the wrong place")
	}
}

func launchersDeath(t *testing.T, h *home) {
	h.must("up")
	h.churn()
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	h.signal(launcherProcess, syscall.SIGKILL)
	gone(t, tr)
	h.statusSays("its launcher was killed")
}

// interruptedUp is `timeout -s INT .3 netdojo up`.
func interruptedUp(t *testing.T, h *home) {
	c := h.command("up")
	timeout, err := exec.LookPath("timeout")
	if err != nil {
		t.Fatal(err)
	}
	// What a shell runs in the background is born to ignore SIGINT.
	args := append([]string{"--default-signal=INT", timeout, "-s", "INT", ".3"}, c.Args...)
	c.Cmd.Path, c.Args = "/usr/bin/env", append([]string{"env"}, args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if r := c.wait(); r.code == 0 {
		t.Error("it was not interrupted: 300 ms are too long")
	}
	var left []string
	defer func() {
		if len(left) > 0 {
			t.Logf("left: %q, status %s", left, h.run("status").stdout)
		}
	}()
	eventually(t, "no process of it is left", 10*time.Second, func() bool {
		left = h.processes(t)
		return len(left) == 0
	})
	h.statusSays("`netdojo up` brings its objects back")
}

// processes are those whose program or environment is of the state folder.
func (h *home) processes(t *testing.T) (all []string) {
	t.Helper()
	for _, pid := range pids(t) {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if pid != os.Getpid() && (strings.HasPrefix(exe, h.state) || strings.Contains(string(env), h.state)) {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			all = append(all, fmt.Sprintf("%d %s %q %.120q", pid, exe, line, status))
		}
	}
	return all
}

// What etcd cannot read is named, with the cure, and the cure helps.
func garbageInEtcd(t *testing.T, h *home) {
	db := filepath.Join(h.state, "clusters", cluster.DefaultName, userns.NodeDir, "lib/netdojo/controlplane/etcd/member/snap/db")
	f, err := os.OpenFile(db, os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		_, err = f.WriteString(strings.Repeat("garbage ", 10000))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	const file, cure = "/var/lib/netdojo/controlplane/etcd/member/snap/db", "begin empty with `netdojo up --fresh`"
	wantTold(t, h.inTime(60*time.Second, "up"), 3, file, "invalid database", "cure: ", cure)
	h.statusSays(file, cure)
	h.must("up", "--fresh")
}

// A launcher that does not hear is ended by down --purge, though nothing answers for it.
func stoppedLauncher(t *testing.T, h *home) {
	tr, _ := clusterTree(t, h.state, cluster.DefaultName)
	h.signal(launcherProcess, syscall.SIGSTOP)
	h.statusSays("does not answer")
	if err := os.Remove(filepath.Join(h.state, "clusters", cluster.DefaultName, control.SocketName)); err != nil {
		t.Fatal(err)
	}
	if r := h.inTime(60*time.Second, "down", "--purge"); r.code != 0 {
		t.Errorf("down --purge: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	gone(t, tr)
}
