//go:build linux

package userns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/world/outside"
)

// EndSignal has the launcher end the cluster at once, and then itself. Unlike a
// SIGKILL to the launcher it leaves the lock held until the last process inside
// is gone: the kernel reaps PID 1 of the node after all others, and the launcher
// waits for that.
const EndSignal = unix.SIGUSR1

// Exec replaces this process by the helper's launch role.
func Exec(c Config) error {
	env := append(os.Environ(), c.environ())
	return fmt.Errorf("start %s: %w", c.Helper, syscall.Exec(c.Helper, []string{"netdojo-helper", "launch"}, env))
}

// Launch is the helper's role "launch". It returns the exit code of the node.
func Launch() int {
	runtime.LockOSThread() // namespaces and the parent-death signal belong to this thread
	unix.Umask(0o077)
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
	claim, err := claimBalancers(c.Balancers)
	if err != nil {
		return err
	}
	defer claim.Close()
	c.Balancers = claim.got
	open, err := listeners(c)
	if err != nil {
		return err
	}
	conn, node, err := outside.Pair()
	if err != nil {
		return err
	}
	defer conn.Close()
	go serve(c, conn, open)
	log, err := openLog(c.Dir)
	if err != nil {
		return err
	}
	if err := keepRoom(c.Dir); err != nil {
		return err
	}
	// The stage may hide the folder from this thread.
	fd, err := openFolder(c.Dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	home := fmt.Sprintf("/proc/self/fd/%d", fd)
	in, err := prepareRoot(c)
	if err != nil {
		return err
	}
	kills := oomKills()
	asked, err := runEnter(in, node, log)
	log.close()
	if !asked {
		err = errors.Join(err, recordEnd(home, err, kills))
	}
	return errors.Join(err, giveRoom(home))
}

// logPipes lead to the log: own from where only netdojo speaks, node from the node.
type logPipes struct {
	own, node *os.File
	done      [2]<-chan struct{}
}

func openLog(dir string) (p logPipes, err error) {
	w := stderrLog(dir)
	if p.own, p.done[0], err = w.pipe(""); err == nil {
		p.node, p.done[1], err = w.pipe(NodeMark)
	}
	return p, err
}

// close waits until all that was said is in the log.
func (p logPipes) close() {
	p.own.Close()
	p.node.Close()
	for _, done := range p.done {
		<-done
	}
}

// serve does what the node asks for, as far as the cluster is to have it.
func serve(c Config, conn *net.UnixConn, open map[string]net.Listener) {
	s := outside.NewServer(conn, outside.Rules{
		Dial: c.Internet, Listen: c.Balancers, Listeners: open, Peer: isOwner,
		Pull: func(ctx context.Context, img outside.Image) error { return pull(ctx, c, img) },
	})
	if err := s.Serve(); err != nil {
		fmt.Fprintln(os.Stderr, "serve the node:", err)
	}
}

// pull runs the program that gets images into the store. It has the host's network
// and settings of proxies, but none of the user's credentials: a pod could else run
// what only the user may have.
func pull(ctx context.Context, c Config, img outside.Image) error {
	question, err := json.Marshal(img)
	if err != nil {
		return fmt.Errorf("pull %s: %w", img.Ref, err)
	}
	cmd := exec.CommandContext(ctx, c.Daemon, "pull", "--images", c.Images, "--max-gib", strconv.Itoa(c.MaxImageGiB))
	cmd.Stdin = bytes.NewReader(question)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		why, _, _ := strings.Cut(strings.TrimPrefix(said.String(), "netdojo: "), "\n")
		if why == "" {
			why = err.Error()
		}
		return errors.New(why)
	}
	return nil
}

// toInit is what init is told: a pod can read its memory.
type toInit struct {
	Root string `json:"root"`
	Node Node   `json:"node"`
}

// inside is what enter is told.
type inside struct {
	Config
	Root string `json:"root"` // where the node's root is built
	Disk string `json:"disk"` // the node's disk, as enter may reach it
}

// prepareRoot makes the node's disk and says where enter finds things.
func prepareRoot(c Config) (inside, error) {
	disk := filepath.Join(c.Dir, NodeDir)
	for _, dir := range []string{disk, filepath.Join(c.Dir, rootDir)} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return inside{}, fmt.Errorf("make the node's disk: %w", err)
		}
	}
	// The node's own umask makes what is inside; its top must let its users in.
	if err := chmodFolder(disk, 0o755); err != nil {
		return inside{}, fmt.Errorf("make the node's disk: %w", err)
	}
	in := inside{Config: c, Root: filepath.Join(c.Dir, rootDir), Disk: disk}
	if !mapsRootBase() {
		return in, nil
	}
	return stageForRoot(in)
}

// chmodFolder sets the mode of what is a folder, and no link to one.
func chmodFolder(path string, mode uint32) error {
	fd, err := openFolder(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchmod(fd, mode)
}

func openFolder(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// runEnter starts the role enter and waits for the end of it and all below it. It
// says whether the end was asked for by a signal.
func runEnter(in inside, node *os.File, log logPipes) (asked bool, err error) {
	ids := currentIDMap()
	told, err := tell(in)
	if err != nil {
		return false, err
	}
	defer told.close()
	cmd := exec.Command("/proc/self/exe", "enter")
	cmd.Env = shortEnv()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = told.r, log.own, log.own
	cmd.ExtraFiles = []*os.File{NodeOutside - 3: node, NodeLog - 3: log.node}
	cmd.SysProcAttr = ids.attr()
	var mapped *os.File
	if ids.external {
		r, w, err := os.Pipe()
		if err != nil {
			return false, fmt.Errorf("make a pipe: %w", err)
		}
		mapped = w
		cmd.ExtraFiles = append(cmd.ExtraFiles, r)
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", envMapWait, 2+len(cmd.ExtraFiles)))
		defer r.Close()
	}
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, EndSignal)
	if err := leaveKeys(); err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, namespaceProblem(err)
	}
	node.Close()
	var wasAsked atomic.Bool
	go func() {
		for s := range stop {
			wasAsked.Store(true)
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
			return false, errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
		}
	}
	err = cmd.Wait()
	return wasAsked.Load(), err
}

// leaveKeys gives this thread, and what it starts, a session keyring of its own: the
// caller's may hold tickets and passwords, which whoever inherits it may read, in any
// namespace (session-keyring(7)).
func leaveKeys() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // then nothing inside may use keys either
		return nil
	}
	if err != nil {
		return fmt.Errorf("make a session keyring (keyrings(7)): %w", err)
	}
	return nil
}

// shortEnv is all that what runs inside knows of this process's environment: a pod
// may read it.
func shortEnv() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp"}
	for _, name := range []string{"NETDOJO_DEBUG", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
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
