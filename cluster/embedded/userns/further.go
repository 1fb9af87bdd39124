//go:build linux

package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// FurtherNode is what the helper's role "further" is told.
type FurtherNode struct {
	Name   string   `json:"name"`
	Root   string   `json:"root"`   // an empty folder of the first node: where this one's root is built
	Disk   string   `json:"disk"`   // a folder on the first node's disk: /var of this one
	Shared []string `json:"shared"` // folders that are the same on both, all of them below /var
}

// FurtherProcess is a further node that the first one started: PID 1 of it.
type FurtherProcess struct {
	NetNS *os.File // its network namespace
	cmd   *exec.Cmd
	said  *os.File // where its program hears what it is to be
}

// StartFurther starts a further node below the first, whose program calls it before it
// runs pods: in namespaces of its own, the user namespace below the first one's, and so
// inside the same boundary. The mounts of its root, which are made above that, are locked
// for it as the first one's are. Outside is the node's end of an outside.Pair. Its program
// waits for Tell. The kernel ends it with the first node.
func StartFurther(n FurtherNode, outside *os.File) (*FurtherProcess, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer r.Close()
	log, err := unix.FcntlInt(NodeLog, unix.F_DUPFD_CLOEXEC, NodeLog+1)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open its log: %w", err), w.Close())
	}
	nodeLog := os.NewFile(uintptr(log), "log")
	defer nodeLog.Close()
	cmd := exec.Command(NodeBinDir+"/netdojo-helper", "further")
	cmd.Env = shortEnv()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, nodeLog, nodeLog
	cmd.ExtraFiles = []*os.File{NodeOutside - 3: outside}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	err = sameIDs(cmd.SysProcAttr)
	if err == nil {
		err = onThread(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("make a mount namespace: %w", err)
			}
			if err := buildFurtherRoot(n); err != nil {
				return err
			}
			return cmd.Start()
		})
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	p := &FurtherProcess{cmd: cmd, said: w}
	if p.NetNS, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)); err == nil {
		err = p.say(n)
	}
	if err != nil {
		p.Kill()
		return nil, errors.Join(err, ignoreExit(p.Wait()))
	}
	return p, nil
}

// onThread runs f on a thread that ends with it: f may give it namespaces of its own.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		if unix.Gettid() != unix.Getpid() {
			done <- f()
			return
		}
		// The main thread cannot end, and /proc/self shows its namespaces: hold it here
		// while another one is used.
		err := onThread(f)
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// say writes a line, which fits into the pipe: nobody has to read it yet.
func (p *FurtherProcess) say(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = p.said.Write(append(b, '\n'))
	}
	return err
}

// Tell says something to the node's program, which reads it from its standard input.
func (p *FurtherProcess) Tell(v any) error {
	if err := p.say(v); err != nil {
		return fmt.Errorf("tell a node what it is to be: %w", err)
	}
	return nil
}

// Stop asks the node to end.
func (p *FurtherProcess) Stop() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Kill ends the node and all that runs in it.
func (p *FurtherProcess) Kill() { _ = p.cmd.Process.Kill() }

// Wait returns when the node has ended and nothing runs in it any more: nil after an end
// that was asked for.
func (p *FurtherProcess) Wait() error {
	err := p.cmd.Wait()
	return errors.Join(err, p.NetNS.Close(), p.said.Close())
}

// Further is the helper's role "further": PID 1 of a further node. It enters the root that
// StartFurther built, starts the node's program, passes SIGTERM on and reaps, as Init does.
func Further() int {
	runtime.LockOSThread()
	unix.Umask(0o022)
	code, err := furtherNode()
	if err != nil {
		return report(err)
	}
	return code
}

func furtherNode() (int, error) {
	var n FurtherNode
	if err := hear(&n); err != nil {
		return 0, err
	}
	if err := unix.Sethostname([]byte(n.Name)); err != nil {
		return 0, fmt.Errorf("set the node's name: %w", err)
	}
	if err := enterRoot(n.Root); err != nil {
		return 0, err
	}
	outside := os.NewFile(NodeOutside, "outside")
	// What it hears holds keys: they pass this process unread.
	node, err := os.StartProcess(NodeBinDir+"/netdojo-cluster", []string{"netdojo-cluster", "further"}, &os.ProcAttr{
		Dir: "/", Env: shortEnv(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, NodeOutside: outside},
	})
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	if err := errors.Join(os.Stdin.Close(), outside.Close()); err != nil {
		return 0, fmt.Errorf("let go of what is the node's: %w", err)
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for range stop {
			_ = node.Signal(syscall.SIGTERM)
		}
	}()
	return reap(node.Pid)
}

// buildFurtherRoot makes a root of what the first node's has, but for its disk and what
// the kernel shows: those are the node's own.
func buildFurtherRoot(n FurtherNode) error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return fmt.Errorf("read the first node's root: %w", err)
	}
	if err := unix.Mount("netdojo", n.Root, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount the node's root: %w", err)
	}
	for _, e := range entries {
		from, to := "/"+e.Name(), filepath.Join(n.Root, e.Name())
		switch {
		case slices.Contains([]string{"proc", "sys", "tmp", "run", "root", "var"}, e.Name()):
			continue
		case e.Type()&os.ModeSymlink != 0:
			var target string
			if target, err = os.Readlink(from); err == nil {
				err = os.Symlink(target, to)
			}
		case e.IsDir():
			err = bindInto(from, to, 0)
		}
		if err != nil {
			return fmt.Errorf("show %s: %w", from, err)
		}
	}
	if err := bindInto(n.Disk, filepath.Join(n.Root, "var"), 0); err != nil {
		return err
	}
	for _, dir := range n.Shared {
		if err := share(n.Root, dir); err != nil {
			return fmt.Errorf("share %s: %w", dir, err)
		}
	}
	return makeKernelDirs(inside{Root: n.Root})
}

// share binds a folder of the first node's onto the same place below root. What lies there
// may be the node's work of an earlier run: no link of it is followed.
func share(root, dir string) error {
	at, err := openFolder(root)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(at) }()
	for name := range strings.SplitSeq(strings.TrimPrefix(dir, "/"), "/") {
		if err := unix.Mkdirat(at, name, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_ = unix.Close(at)
		at = next
	}
	return unix.Mount(dir, fmt.Sprintf("/proc/self/fd/%d", at), "", unix.MS_BIND|unix.MS_REC, "")
}
