//go:build linux

package userns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter is the helper's role "enter": in the outer user namespace, it builds the
// node's root, starts init in all other namespaces and passes signals on.
func Enter() int {
	runtime.LockOSThread()
	if fd := os.Getenv(envMapWait); fd != "" {
		return report(waitForMapsAs(fd, []string{"enter"}))
	}
	return report(enter())
}

func enter() error {
	dieWithSpeaker()
	var in inside
	if err := hear(&in); err != nil {
		return err
	}
	unix.Umask(0o022)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := buildRoot(in); err != nil {
		return err
	}
	told, err := tell(toInit{Root: in.Root, Node: Node{Spec: in.Spec, Balancers: in.Balancers}})
	if err != nil {
		return err
	}
	defer told.close()
	cmd := exec.Command("/proc/self/exe", "init")
	cmd.Env = shortEnv()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = told.r, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{NodeOutside - 3: os.NewFile(NodeOutside, "outside"), NodeLog - 3: os.NewFile(NodeLog, "log")}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP,
		Pdeathsig: syscall.SIGKILL,
	}
	if err := sameIDs(cmd.SysProcAttr); err != nil {
		return err
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, EndSignal)
	if err := cmd.Start(); err != nil {
		return namespaceProblem(err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	go func() {
		for s := range stop {
			if s == EndSignal {
				s = syscall.SIGKILL
			}
			_ = cmd.Process.Signal(s)
		}
	}()
	return cmd.Wait()
}

// waitForMapsAs blocks until the id maps are written, then starts the helper
// anew with these arguments: only an exec as a mapped root gives back the
// capabilities that the exec as an unmapped user took.
func waitForMapsAs(fd string, args []string) error {
	n, err := strconv.Atoi(fd)
	if err != nil {
		return fmt.Errorf("read %s: %w", envMapWait, err)
	}
	pipe := os.NewFile(uintptr(n), "maps")
	if _, err := io.ReadFull(pipe, make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the id maps: %w", err)
	}
	if err := errors.Join(os.Unsetenv(envMapWait), pipe.Close()); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", append([]string{"netdojo-helper"}, args...), os.Environ())
}
