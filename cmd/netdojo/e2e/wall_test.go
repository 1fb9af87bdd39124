//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/image"
)

// hostilePod has everything that a pod can be given.
const hostilePod = `apiVersion: v1
kind: Pod
metadata: {name: hostile}
spec:
  hostPID: true
  hostNetwork: true
  restartPolicy: Never
  containers:
  - name: hostile
    image: alpine
    command: [sleep, infinity]
    securityContext: {privileged: true}
    volumeMounts: [{name: node, mountPath: /host}]
  volumes: [{name: node, hostPath: {path: /}}]
`

// runAs is a home of a user's.
func (h *home) runAs(w who) *home {
	out := *h
	out.as = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.gid)}
	if w.uid == os.Getuid() {
		out.as = nil
	}
	return &out
}

// TestWall has a hostile pod look for ways out of its node, in clusters of each kind
// of user, brought up with a umask that hides nothing.
func TestWall(t *testing.T) {
	bin := copyPrograms(t)
	all := users(t)
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) { testWall(t, bin, w, "") })
	}
	t.Run("from a further node", func(t *testing.T) { testWall(t, bin, all[len(all)-1], "netdojo-2") })
}

// testWall has the pod on a node of several, or on the only one.
func testWall(t *testing.T, bin string, w who, node string) {
	top, err := os.MkdirTemp("", "netdojo-wall-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	precious := filepath.Join(top, "precious")
	for _, err := range []error{
		os.Chmod(top, 0o755), os.Mkdir(precious, 0o700), os.WriteFile(filepath.Join(precious, "letter"), []byte("dear"), 0o600),
		os.Chown(top, w.uid, w.gid), os.Chown(precious, w.uid, w.gid), os.Chown(filepath.Join(precious, "letter"), w.uid, w.gid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	old := unix.Umask(0)
	defer unix.Umask(old)
	const secret = "hunter2-of-the-caller"
	h := newHome(t, filepath.Join(top, "state")).runAs(w)
	h.bin = bin
	h.env = append(h.env, "HOME="+top, "KUBECONFIG="+filepath.Join(top, "kubeconfig"), "CALLERS_TOKEN="+secret)
	addKey(t)
	up := []string{"up"}
	if node != "" {
		up = append(up, "--nodes", "2")
	}
	h.must(up...)
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })

	victim, reached := listenAsVictim(t)
	free, taken := watchFree(t)
	what, err := json.Marshal(spoils{Secret: secret, Cookie: networkCookie(t), Victim: victim, Free: free})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range h.loot(string(what), precious, node) {
		t.Error(line)
	}
	dir := filepath.Join(h.state, "clusters", cluster.DefaultName)
	othersAreKeptOut(t, dir)
	logIsTold(t, dir)

	// The host's commands end in time, though the node may have died of the attacks.
	for _, args := range [][]string{{"status"}, {"image", "list"}, {"down"}} {
		began := time.Now()
		if r := h.run(args...); r.code != 0 || time.Since(began) > 20*time.Second {
			t.Errorf("netdojo %s: exit code %d after %v\n%s%s", strings.Join(args, " "), r.code, time.Since(began), r.stdout, r.stderr)
		}
	}
	// The launcher has ended: nothing comes any more of what it was asked.
	if reached.Load() != 0 {
		t.Errorf("the host's %s was reached", victim)
	}
	if taken.Load() {
		t.Errorf("somebody listened on the host's %s", free)
	}
	// What the pod left on the disk leads nowhere.
	if r := h.run("up"); r.code != 0 {
		t.Logf("the node does not start on what the pod left, as may be: %s", r.stderr)
	}
	entries, err := os.ReadDir(precious)
	if err != nil || len(entries) != 1 {
		t.Errorf("the owner's folder holds %v, %v", entries, err)
	}
	if b, err := os.ReadFile(filepath.Join(precious, "letter")); string(b) != "dear" {
		t.Errorf("the owner's file is %q, %v", b, err)
	}
	store := image.StoreIn(h.state)
	if _, err := os.Lstat(filepath.Join(store, "planted")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the image store has a file of the pod's: %v", err)
	}
}

// loot runs the attacks in a hostile pod, on that node where one is named, and returns
// what they got.
func (h *home) loot(what, precious, node string) []string {
	h.t.Helper()
	pod := hostilePod
	if node != "" {
		pod = strings.Replace(pod, "spec:\n", "spec:\n  nodeName: "+node+"\n", 1)
	}
	h.pipe(strings.NewReader(pod), "kubectl", "apply", "-f", "-")
	h.must("kubectl", "wait", "--for=condition=Ready", "pod/hostile", "--timeout=120s")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		h.t.Fatal(err)
	}
	defer self.Close()
	h.pipe(self, "kubectl", "exec", "-i", "hostile", "--", "sh", "-c", "cat >/tmp/attack && chmod 755 /tmp/attack")
	out := h.must("kubectl", "exec", "hostile", "--", "env", attackEnv+"="+what, "NETDOJO_TEST_PRECIOUS="+precious, "/tmp/attack")
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

// pipe runs netdojo with an input; it must succeed.
func (h *home) pipe(in interface{ Read([]byte) (int, error) }, args ...string) {
	h.t.Helper()
	c := h.command(args...)
	c.Stdin = in
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	if r := c.wait(); r.code != 0 {
		h.t.Fatalf("netdojo %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
}

// listenAsVictim listens on the host's loopback and counts who comes.
func listenAsVictim(t *testing.T) (addr string, came *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			conn.Close()
		}
	}()
	return l.Addr().String(), came
}

// watchFree is an address of the host's loopback that the attacker tries to listen on, and
// whether anybody ever did. Who listens for a node does so until its launcher ends.
func watchFree(t *testing.T) (addr string, taken *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, taken = l.Addr().String(), new(atomic.Bool)
	l.Close()
	tick := time.NewTicker(time.Millisecond)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			conn, err := net.Dial("tcp4", addr)
			if err != nil {
				continue
			}
			// One that has by chance the port that it asks for has met itself.
			if conn.LocalAddr().String() != addr {
				taken.Store(true)
			}
			conn.Close()
		}
	})
	t.Cleanup(func() { watch.Wait(); tick.Stop() })
	return addr, taken
}

// addKey puts a key into the session keyring that what this goroutine starts inherits.
func addKey(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // keyrings are a thread's; this one is not given back
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return // nobody here has keys
	}
	if err == nil {
		_, err = unix.AddKey("user", callersKey, []byte("hunter2"), unix.KEY_SPEC_SESSION_KEYRING)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func networkCookie(t *testing.T) uint64 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// othersAreKeptOut looks at the cluster's folder as another user of the machine.
func othersAreKeptOut(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Lstat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the cluster's folder is %v, %v", info.Mode(), err)
	}
	if os.Getuid() != 0 {
		return
	}
	other := exec.Command("sh", "-c", `cat "$1/kubeconfig" "$1/cluster.json"; "$1/node/$2"; ls "$1"`, "sh", dir, setuidName)
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	other.Env = []string{"PATH=" + os.Getenv("PATH"), attackEnv + "={}"}
	var out bytes.Buffer
	other.Stdout = &out
	_ = other.Run() // each of its commands must fail: what is read is the output
	if out.Len() > 0 {
		t.Errorf("another user of the machine got: %s", out.String())
	}
	// The folder aside, the socket itself is the owner's.
	socket, err := os.Lstat(filepath.Join(dir, control.SocketName))
	if err != nil || socket.Mode().Perm()&0o077 != 0 {
		t.Errorf("the control socket is %v, %v", socket, err)
	}
	othersAreNotAnswered(t, dir)
}

// othersAreNotAnswered opens the way to the control socket for all, and asks as another
// user: who may be answered is what the launcher sees of the peer.
func othersAreNotAnswered(t *testing.T, dir string) {
	t.Helper()
	socket := filepath.Join(dir, control.SocketName)
	fd, err := unix.Open(socket, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(socket, 0o600)
	for uid, answered := range map[int]bool{0: true, 54321: false} {
		answer, err := askAs(uid, fmt.Sprintf("/proc/self/fd/%d", fd))
		if strings.HasPrefix(answer, "HTTP/1") != answered || answered && err != nil {
			t.Errorf("user %d gets %q of the control socket, %v", uid, answer, err)
		}
	}
}

// askAs sends a request over a socket in the name of another user, as which one thread
// acts for a moment.
func askAs(uid int, socket string) (answer string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and is not given back
		fd, e := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if e != nil {
			err = e
			return
		}
		defer unix.Close(fd)
		keep := ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			err = errno
			return
		}
		patience := unix.Timeval{Sec: 20}
		if err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
			unix.Connect(fd, &unix.SockaddrUnix{Name: socket})); err != nil {
			return
		}
		if _, err = unix.Write(fd, []byte("GET /v1/status HTTP/1.1\r\nHost: netdojo\r\n\r\n")); err != nil {
			return
		}
		b := make([]byte, 64)
		var n int
		n, err = unix.Read(fd, b)
		answer = string(b[:max(n, 0)])
	}()
	<-done
	return answer, err
}

// logIsTold: what the hostile pod wrote is in the log, and nothing of it looks like
// netdojo's own words.
func logIsTold(t *testing.T, dir string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, userns.LogFile))
	if err != nil {
		t.Fatal(err)
	}
	marked := false
	forged, _, _ := strings.Cut(forgedWords, "\n")
	for line := range strings.Lines(string(b)) {
		ours, said := strings.CutPrefix(line, userns.NodeMark)
		marked = marked || said && strings.HasPrefix(ours, forged)
		if strings.HasPrefix(line, "netdojo: ") || strings.HasPrefix(line, "cure: ") {
			t.Errorf("the log takes for netdojo's own: %s", line)
		}
	}
	if !marked {
		t.Error("what a pod writes to the node's log does not come there: the test looks at the wrong place")
	}
}
