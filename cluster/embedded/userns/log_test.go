//go:build linux

package userns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// newLog is a log in a folder of its own, which a file of this process's stands for
// in the place of standard error.
func newLog(t *testing.T) (w *logWriter, dir string) {
	t.Helper()
	dir = t.TempDir()
	f, err := hostfile.Create(filepath.Join(dir, LogFile), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &logWriter{dir: dir, fds: []int{int(f.Fd())}}, dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The log is begun anew before it is larger than maxLog, one before it is kept, and no
// line of the last two files is lost.
func TestLogTurns(t *testing.T) {
	w, dir := newLog(t)
	path := filepath.Join(dir, LogFile)
	line := strings.Repeat("x", 64<<10-10)
	n := 0
	say := func(lines int) {
		for range lines {
			n++
			w.line(fmt.Appendf(nil, "%08d %s\n", n, line))
		}
	}
	say(3 * maxLog / (64 << 10))
	both := read(t, path+".1") + read(t, path)
	if len(both) <= maxLog || len(both) > 2*maxLog {
		t.Errorf("%d bytes are kept", len(both))
	}
	lines := strings.Split(strings.TrimSuffix(both, "\n"), "\n")
	for i, l := range lines {
		if want := n - len(lines) + 1 + i; !strings.HasPrefix(l, fmt.Sprintf("%08d ", want)) || len(l) != 9+len(line) {
			t.Fatalf("line %d of %d begins with %.20q, not with %d", i, len(lines), l, want)
		}
	}
	// A turn that made room and could not make the new file is made up for by the next.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	say(maxLog/(64<<10) + 1)
	if b := read(t, path); len(b) == 0 || len(b) > maxLog {
		t.Errorf("the log has %d bytes after a turn that failed", len(b))
	}
}

// What a full disk has no room for is left out, and counted; then the log goes on.
func TestLogOfAFullDisk(t *testing.T) {
	w, dir := newLog(t)
	file, err := unix.Dup(w.fds[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	to := func(fd int) {
		t.Helper()
		if err := unix.Dup3(fd, w.fds[0], 0); err != nil {
			t.Fatal(err)
		}
	}
	end, done, err := w.pipe("")
	if err != nil {
		t.Fatal(err)
	}
	w.line([]byte("before\n"))
	to(int(full.Fd()))
	w.line([]byte("lost\n"))
	w.line([]byte("lost\n"))
	to(file)
	if _, err := end.WriteString("after\n"); err != nil {
		t.Fatal(err)
	}
	end.Close()
	<-done
	want := "before\nnetdojo's log lacks 2 lines here: no space left on device\nafter\n"
	if got := read(t, filepath.Join(dir, LogFile)); got != want {
		t.Errorf("the log is\n%s, not\n%s", got, want)
	}
}

// No way to write brings a line of the node's to look like one of netdojo's own.
func TestNodeIsMarked(t *testing.T) {
	w, dir := newLog(t)
	own, ownDone, err := w.pipe("")
	if err != nil {
		t.Fatal(err)
	}
	node, nodeDone, err := w.pipe(NodeMark)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", maxLine)
	for _, s := range []string{
		"netdojo: forged\ncure: forged\n", "  \u00a0\tnetdojo: forged\n\r\ncure: forged\r\n", "\n\n\ncure: forged\n",
		"\x00netdojo: forged\n", "\rnetdojo: forged\n", "\u2028netdojo: forged\n", "node: node: cure: forged\n",
		long + "netdojo: forged\n", long[:maxLine-1] + "\nnetdojo: forged\n", "netdojo: for", "ged\ncure: ", "forged",
	} {
		if _, err := node.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	node.Close()
	<-nodeDone
	what, cure := OwnWords(tail(dir))
	if what != "" || cure != "" {
		t.Errorf("the node's words are taken for netdojo's: %q, %q", what, cure)
	}
	for line := range strings.Lines(read(t, filepath.Join(dir, LogFile))) {
		if !strings.HasPrefix(line, NodeMark) {
			t.Errorf("a line without its mark: %.60q", line)
		}
	}
	if _, err := own.WriteString("netdojo: no such thing\ncure: make one\n"); err != nil {
		t.Fatal(err)
	}
	own.Close()
	<-ownDone
	if what, cure = OwnWords(tail(dir)); what != "no such thing" || cure != "make one" {
		t.Errorf("netdojo's words are %q, %q", what, cure)
	}
}

// The reason of an end is written on a disk that has room for nothing else.
func TestRoomForTheEnd(t *testing.T) {
	dir := t.TempDir()
	if err := keepRoom(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, roomFile)); err != nil || info.Size() != room {
		t.Errorf("room: %v, %v", info, err)
	}
	if err := recordEnd(dir, errors.New("it ended"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, roomFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the room is still taken: %v", err)
	}
	if err := giveRoom(dir); err != nil {
		t.Errorf("given back twice: %v", err)
	}
}

// The launcher's sockets are for the cluster's user and root, whoever can reach them.
func TestIsOwner(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := unix.Open(l.Addr().String(), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.Chmod(l.Addr().String(), 0o777); err != nil {
		t.Fatal(err)
	}
	comes := func(uid int) bool {
		t.Helper()
		connected := make(chan error, 1)
		go func() { connected <- connectAs(uid, fmt.Sprintf("/proc/self/fd/%d", fd)) }()
		conn, err := l.AcceptUnix()
		if err = errors.Join(err, <-connected); err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return isOwner(conn)
	}
	if !comes(os.Getuid()) {
		t.Error("the owner is kept out")
	}
	if os.Getuid() == 0 && comes(54321) {
		t.Error("another user is let in")
	}
}

// connectAs connects as another user, as which one thread acts for a moment: root's
// alone may be another's.
func connectAs(uid int, path string) error {
	runtime.LockOSThread() // and is not given back
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	keep := ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return errno
	}
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}
