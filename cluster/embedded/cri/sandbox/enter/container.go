//go:build linux

// Package enter holds the helper's roles "container" and "exec": it builds a
// container's file system, gives up privileges and becomes the command.
// Forked by the CRI server inside the other namespaces already, it knows
// nothing of pods, images or networks.
package enter

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// Container is the role "container". It returns only when the command could
// not be started; the reason has been sent then.
func Container([]string) int {
	return become(func(status *channel) (*sandbox.Process, error) {
		var c sandbox.Container
		if err := readSpec(&c); err != nil {
			return nil, err
		}
		sandbox.SetPIDMax(c.PIDMax)
		if err := buildRoot(&c); err != nil {
			return nil, err
		}
		if c.TTY {
			if err := openTerminal(status, true); err != nil {
				return nil, err
			}
		}
		if err := hide(&c); err != nil {
			return nil, err
		}
		if err := makeWorkDir(c.Dir); err != nil {
			return nil, err
		}
		if c.ReadOnly {
			if err := setAttr("/", unix.MOUNT_ATTR_RDONLY, 0); err != nil {
				return nil, fmt.Errorf("make the root read-only: %w", err)
			}
		}
		return &c.Process, nil
	})
}

// Exec is the role "exec". It returns as Container does.
func Exec([]string) int {
	return become(func(status *channel) (*sandbox.Process, error) {
		var e sandbox.Exec
		if err := readSpec(&e); err != nil {
			return nil, err
		}
		// A mount namespace can be entered only by a thread that shares its root and
		// working folder with no other.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return nil, fmt.Errorf("leave the shared root: %w", err)
		}
		if err := unix.Setns(sandbox.PidFD, unix.CLONE_NEWNS); err != nil {
			return nil, fmt.Errorf("enter the container's mounts: %w", err)
		}
		unix.CloseOnExec(sandbox.PidFD)
		if e.TTY {
			if err := openTerminal(status, false); err != nil {
				return nil, err
			}
		}
		return &e.Process, nil
	})
}

// become runs prepare and then the process that it names, on one thread: most
// of what the kernel keeps about privileges belongs to a thread, and the one
// that calls execve(2) is the one that lives on.
func become(prepare func(*channel) (*sandbox.Process, error)) int {
	runtime.LockOSThread()
	unix.CloseOnExec(sandbox.SpecFD)
	unix.CloseOnExec(sandbox.StatusFD)
	unix.Umask(0o022)
	status := &channel{fd: sandbox.StatusFD}
	p, err := prepare(status)
	if err == nil {
		err = run(p)
	}
	return status.fail(err)
}

func readSpec(into any) error {
	f := os.NewFile(sandbox.SpecFD, "spec")
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode what to run: %w", err)
	}
	return nil
}

// makeWorkDir makes the working folder where the image has none, as container
// runtimes do.
func makeWorkDir(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil
		}
		return fmt.Errorf("make the working folder: %w", err)
	}
	return nil
}
