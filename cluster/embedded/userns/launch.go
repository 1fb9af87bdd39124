//go:build linux

package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/world/outside"
)

// EndSignal has the launcher end the cluster at once, and then itself. Unlike a
// SIGKILL to the launcher it leaves the lock held until the last process inside
// is gone: the kernel reaps PID 1 of the node after all others, and the launcher
// waits for that.
const EndSignal = syscall.SIGUSR1

// Exec replaces this process by the helper's launch role.
func Exec(c Config) error {
	env := append(os.Environ(), c.environ())
	return fmt.Errorf("start %s: %w", c.Helper, syscall.Exec(c.Helper, []string{"netdojo-helper", "launch"}, env))
}

// Launch is the helper's role "launch". It returns the exit code of the node.
func Launch() int {
	runtime.LockOSThread() // namespaces and the parent-death signal belong to this thread
	c, err := configFromEnv()
	if err == nil {
		err = launch(c)
	}
	return report(err)
}

// report prints an error with its cure and gives the exit code for it.
func report(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	}
	fmt.Fprintln(os.Stderr, "netdojo:", err)
	var p *Problem
	if errors.As(err, &p) && p.Fix != "" {
		fmt.Fprintln(os.Stderr, "cure:", p.Fix)
	}
	return 3
}

func launch(c Config) error {
	// What the caller left open is none of the cluster's business.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited files: %w", err)
	}
	lock, err := takeLock(c.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	files, err := listen(c)
	if err != nil {
		return err
	}
	conn, dialer, err := outside.Pair()
	if err != nil {
		return err
	}
	defer conn.Close()
	files = append(files, dialer)
	go func() {
		if err := outside.Serve(conn); err != nil {
			fmt.Fprintln(os.Stderr, "relay to the internet:", err)
		}
	}()
	env := os.Environ()
	if mapsRootBase() {
		stage, err := stageForRoot(c)
		if err != nil {
			return err
		}
		env = append(env, envStage+"="+stage)
	}
	ids := currentIDMap()
	cmd := exec.Command("/proc/self/exe", "enter")
	cmd.Env = slices.Concat(env, []string{EnvListeners + "=" + strconv.Itoa(len(files))})
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	cmd.SysProcAttr = ids.attr()
	var mapped *os.File
	if ids.external {
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("make a pipe: %w", err)
		}
		mapped = w
		cmd.ExtraFiles = append(cmd.ExtraFiles, r)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", envMapWait, 2+len(cmd.ExtraFiles)))
		defer r.Close()
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, EndSignal)
	if err := cmd.Start(); err != nil {
		return namespaceProblem(err)
	}
	go func() {
		for s := range stop {
			_ = cmd.Process.Signal(s)
		}
	}()
	if mapped != nil {
		err := ids.write(cmd.Process.Pid)
		if err == nil {
			_, err = mapped.Write([]byte{1})
		}
		mapped.Close()
		if err != nil {
			return errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
		}
	}
	return cmd.Wait()
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func namespaceProblem(err error) error {
	p := &Problem{What: "make a user namespace", Err: err}
	switch {
	case readInt("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
		p.Fix = "AppArmor forbids user namespaces: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case readInt("/proc/sys/user/max_user_namespaces") == 0:
		p.Fix = "user namespaces are switched off: sudo sysctl user.max_user_namespaces=15000"
	case readInt("/proc/sys/kernel/unprivileged_userns_clone") == 0:
		p.Fix = "user namespaces are for root only: sudo sysctl kernel.unprivileged_userns_clone=1"
	default:
		p.Fix = "run `netdojo doctor`; inside a container, start it with permission to make user namespaces"
	}
	return p
}

// readInt reads a number from a file of /proc; -1 where there is none.
func readInt(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return -1
	}
	return n
}

// Running tells whether a launcher holds the lock of a cluster's folder. It only
// looks: taking the lock for a moment would make a starting launcher fail.
func Running(dir string) bool {
	f, err := os.Open(filepath.Join(dir, LockFile))
	if err != nil {
		return false
	}
	defer f.Close()
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// takeLock marks the cluster as running for as long as the file stays open.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		f.Close()
		return nil, &Problem{What: "cluster in " + dir + " is already running", Fix: "stop it with `netdojo down`"}
	}
	if err := errors.Join(f.Truncate(0), second(f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0))); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the lock: %w", err)
	}
	return f, nil
}

func second(_ int, err error) error { return err }

// listen opens the host's sockets and records the addresses that they got.
func listen(c Config) ([]*os.File, error) {
	var files []*os.File
	var addrs []string
	for _, addr := range c.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, &Problem{What: "listen on " + addr, Err: err,
				Fix: "choose another port, or end the program that holds this one (ss -ltnp)"}
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		addrs = append(addrs, l.Addr().String())
		files = append(files, f)
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
	b, err := json.Marshal(addrs)
	if err != nil {
		return nil, fmt.Errorf("record the addresses: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, PortsFile), b, 0o644); err != nil {
		return nil, fmt.Errorf("record the addresses: %w", err)
	}
	return files, nil
}

// stageForRoot makes the cluster's files reachable for the mapped root, which
// is nobody on the host and could not walk through a folder such as /root: in a
// mount namespace of this process they are bound below a folder that all may
// pass. The files themselves are given to the mapped root.
func stageForRoot(c Config) (string, error) {
	for _, dir := range []string{c.Dir, c.Images} {
		if err := chownTree(dir, rootBase); err != nil {
			return "", err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return "", fmt.Errorf("make a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("make mounts private: %w", err)
	}
	open := map[string]int{}
	for _, b := range c.stageBinds() {
		fd, err := unix.Open(b.from, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", fmt.Errorf("open %s: %w", b.from, err)
		}
		open[b.to] = fd
	}
	const stage = "/tmp" // exists everywhere; hidden only in this mount namespace
	if err := unix.Mount("netdojo", stage, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return "", fmt.Errorf("mount the stage: %w", err)
	}
	for _, b := range c.stageBinds() {
		if err := bindInto(fmt.Sprintf("/proc/self/fd/%d", open[b.to]), filepath.Join(stage, b.to), 0); err != nil {
			return "", err
		}
		unix.Close(open[b.to])
	}
	return stage, nil
}

type bind struct{ from, to string }

// stageBinds are the host's paths that the node's root holds, and their names
// on the stage.
func (c Config) stageBinds() []bind {
	binds := []bind{{c.Dir, "cluster"}, {c.Images, "images"}, {c.Daemon, "netdojo-cluster"}, {c.Helper, "netdojo-helper"}}
	if c.CoreDNS != "" {
		binds = append(binds, bind{c.CoreDNS, "netdojo-coredns"})
	}
	if c.Cilium != "" {
		binds = append(binds, bind{c.Cilium, "netdojo-cilium"})
	}
	return binds
}

// chownTree gives a tree to an id. When its top has it already an earlier run
// did so, files below may since be of users inside the cluster, and only what
// the client wrote directly below the top is left to give.
func chownTree(dir string, id int) error {
	top, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	again := top.Sys().(*syscall.Stat_t).Uid == uint32(id)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, id, id); err != nil {
			return err
		}
		if again && path != dir && d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give %s to the cluster's user: %w", dir, err)
	}
	return nil
}

// Enter is the helper's role "enter": in the user namespace, it starts init in
// the other namespaces and passes signals on.
func Enter() int {
	runtime.LockOSThread()
	if fd := os.Getenv(envMapWait); fd != "" {
		return report(waitForMapsAs(fd, []string{"enter"}))
	}
	dieWithParent()
	n, err := strconv.Atoi(os.Getenv(EnvListeners))
	if err != nil {
		return report(fmt.Errorf("read %s: %w", EnvListeners, err))
	}
	cmd := exec.Command("/proc/self/exe", "init")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	for i := range n {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(3+i), "listener"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP,
		Pdeathsig: syscall.SIGKILL,
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, EndSignal)
	if err := cmd.Start(); err != nil {
		return report(namespaceProblem(err))
	}
	go func() {
		for s := range stop {
			if s == EndSignal {
				s = syscall.SIGKILL
			}
			_ = cmd.Process.Signal(s)
		}
	}()
	return report(cmd.Wait())
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

// dieWithParent asks for SIGKILL when the parent thread ends. An exec that
// gains capabilities clears the wish, so each role makes it anew.
func dieWithParent() {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		os.Exit(3)
	}
}
