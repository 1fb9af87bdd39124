//go:build linux

package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster"
)

// opens tells of every file and folder that any process opens on the file system of a
// folder, while the process is held until it was looked at.
type opens struct {
	fd   int
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen map[string]string // path → a process that is not in the node
	all  int
	err  error
}

// watchOpens watches until stop. Processes in pid namespaces other than this one's are
// the node's own business.
func watchOpens(t *testing.T, dir string) *opens {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	if err != nil {
		t.Skipf("the kernel tells nobody what is opened: %v", err)
	}
	o := &opens{fd: fd, seen: map[string]string{}}
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_OPEN_PERM|unix.FAN_ONDIR, unix.AT_FDCWD, dir); err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	quit := make(chan struct{})
	o.wg.Go(func() { o.err = o.run(quit, dir, own) })
	t.Cleanup(sync.OnceFunc(func() {
		close(quit)
		o.wg.Wait()
		unix.Close(fd)
	}))
	return o
}

func (o *opens) run(quit <-chan struct{}, dir, own string) error {
	buf := make([]byte, 64<<10)
	for {
		select {
		case <-quit:
			return nil
		default:
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(o.fd), Events: unix.POLLIN}}, 20); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		n, err := unix.Read(o.fd, buf)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for b := buf[:n]; len(b) >= int(unsafe.Sizeof(unix.FanotifyEventMetadata{})); {
			var e unix.FanotifyEventMetadata
			if _, err := binary.Decode(b, binary.NativeEndian, &e); err != nil {
				return err
			}
			b = b[e.Event_len:]
			o.look(e, dir, own)
		}
	}
}

// look notes who opens what, and lets it happen.
func (o *opens) look(e unix.FanotifyEventMetadata, dir, own string) {
	path, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", e.Fd))
	ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", e.Pid))
	who, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", e.Pid))
	var answer bytes.Buffer
	_ = binary.Write(&answer, binary.NativeEndian, unix.FanotifyResponse{Fd: e.Fd, Response: unix.FAN_ALLOW})
	_, _ = unix.Write(o.fd, answer.Bytes())
	unix.Close(int(e.Fd))
	if !strings.HasPrefix(path, dir) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all++
	if int(e.Pid) != os.Getpid() && ns == own {
		o.seen[path] = strings.TrimSpace(strings.ReplaceAll(string(who), "\x00", " "))
	}
}

// Nothing that a process outside of the node opens lies where the node can write:
// while a cluster comes up, runs a lab, is looked at, and goes down.
func TestNothingIsOnBothSides(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := newHome(t, filepath.Join(top, "state"))
	o := watchOpens(t, top)
	for _, args := range [][]string{
		{"up"}, {"run", "04"}, {"status"}, {"kubectl", "get", "pods", "-A"}, {"image", "list"}, {"doctor"},
		{"explain", "default/app=backend", "https://cilium.io"}, {"check", "04"}, {"down"}, {"status"}, {"up"}, {"down"},
	} {
		h.run(args...) // not all of them have to succeed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		t.Fatal(o.err)
	}
	disk := filepath.Join(h.state, "clusters", cluster.DefaultName, "node")
	record := filepath.Join(h.state, "clusters", cluster.DefaultName, "cluster.json")
	if _, ok := o.seen[record]; !ok || o.all < 100 {
		t.Errorf("%d opens, of which %d by the host, and none of the record: the test looks at the wrong place", o.all, len(o.seen))
	}
	var paths []string
	for path, who := range o.seen {
		// The launcher opens the top of the disk, which the node has mounted and cannot
		// replace, to give it away.
		if path == disk && strings.HasSuffix(who, "launch") {
			continue
		}
		if path == disk || strings.HasPrefix(path, disk+"/") {
			t.Errorf("%s opens %s, where the node can write", who, path)
		}
		paths = append(paths, strings.TrimPrefix(path, top))
	}
	slices.Sort(paths)
	t.Logf("opened outside of the node: %s", strings.Join(paths, " "))
}
