//go:build linux

package userns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// asHost makes the test binary a host in namespaces of its own, below whose /usr
// something is mounted after a node's root was built in the folder that it names.
const asHost = "NETDOJO_TEST_HOST"

func TestMain(m *testing.M) {
	dir := os.Getenv(asHost)
	if dir == "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the host's mounts are this thread's
	if err := mountLate(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func mountLate(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the host's mounts: %w", err)
	}
	in := inside{Root: filepath.Join(dir, "root"), Disk: filepath.Join(dir, "disk")}
	program := filepath.Join(dir, "program")
	in.Images, in.Daemon, in.Helper = in.Disk, program, program
	if err := errors.Join(os.Mkdir(in.Root, 0o755), os.Mkdir(in.Disk, 0o755), os.WriteFile(program, nil, 0o755)); err != nil {
		return err
	}
	built, mounted, done := make(chan error), make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // as enter's
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = buildRoot(in)
		}
		built <- err
		<-mounted
		mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
		if late := " " + in.Root + "/usr/bin "; err == nil && bytes.Contains(mounts, []byte(late)) {
			err = errors.New("what was mounted late is in the node")
		} else if err == nil && !bytes.Contains(mounts, []byte(" "+in.Root+"/usr ")) {
			err = errors.New("no /usr is in the node")
		}
		done <- err
	}()
	if err := <-built; err != nil {
		return err
	}
	if err := unix.Mount("late", "/usr/bin", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount late: %w", err)
	}
	close(mounted)
	return <-done
}

// What the host mounts later does not come up in a node that runs: it would be
// writable there.
func TestLateMount(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asHost+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// A key of the caller's session is not found after leaveKeys.
func TestLeaveKeys(t *testing.T) {
	runtime.LockOSThread() // keyrings are a thread's; this one is not given back
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		if err := leaveKeys(); err != nil {
			t.Errorf("where nobody has keys: %v", err)
		}
		return
	}
	if err == nil {
		_, err = unix.AddKey("user", "netdojo-test", []byte("hunter2"), unix.KEY_SPEC_SESSION_KEYRING)
	}
	if err != nil {
		t.Fatal(err)
	}
	find := func() error {
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", "netdojo-test", 0)
		return err
	}
	if err := find(); err != nil {
		t.Fatalf("the caller's own key: %v", err)
	}
	if err := leaveKeys(); err != nil {
		t.Fatal(err)
	}
	if err := find(); !errors.Is(err, unix.ENOKEY) {
		t.Errorf("the caller's key is found: %v", err)
	}
}
