//go:build linux

package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// startTimeout bounds the time from fork to exec.
const startTimeout = 60 * time.Second

// command is a helper to fork.
type command struct {
	role  string
	spec  any // a sandbox.Container or sandbox.Exec; nil for pause
	join  []namespace
	clone uintptr       // further namespaces to make
	stdio [3]*os.File   // nil: /dev/null
	pidfd *os.File      // role exec: of the container
	group *cgroup.Group // nil: the node's
}

// process is a forked helper, by and by the command that it became.
type process struct {
	proc     *os.Process
	pidfd    *os.File
	terminal *os.File // the master, when one was asked for
	watched  *os.File // becomes readable when the process ends
	ended    syscall.RawConn

	exited chan struct{} // closed when code and signal are set
	code   int           // as a shell counts: 128+n for signal n
	// signalling keeps kill and the end of the process apart: a number may be
	// used for another process once it has been waited for.
	signalling sync.Mutex
	reaped     bool
	killed     bool // by this node, guarded by signalling
}

// startFailure is a command that the helper could not start.
type startFailure struct{ sandbox.Failure }

func (e *startFailure) Error() string { return e.Message }

// launch forks the helper and waits until the command runs. The caller owns
// the process; its end is waited for in a goroutine of the service's.
func (s *service) launch(ctx context.Context, c command) (*process, error) {
	spec, err := specFile(c.spec)
	if err != nil {
		return nil, err
	}
	defer spec.Close()
	status, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer status.Close()
	p, err := s.fork(c, spec, theirs)
	theirs.Close()
	if err != nil {
		return nil, err
	}
	if err := p.awaitStart(ctx, status); err != nil {
		p.kill()
		<-p.exited
		p.close()
		return nil, err
	}
	return p, nil
}

func specFile(spec any) (*os.File, error) {
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode the container: %w", err)
	}
	fd, err := unix.MemfdCreate("netdojo-spec", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hand over the container: %w", err)
	}
	f := os.NewFile(uintptr(fd), "spec")
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("hand over the container: %w", err)
	}
	return f, nil
}

func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the helper's channel: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "status"), os.NewFile(uintptr(fds[1]), "status")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make the helper's channel: %w", err)
	}
	return conn.(*net.UnixConn), theirs, nil
}

// fork starts the helper in its namespaces: the thread that forks enters them.
func (s *service) fork(c command, spec, status *os.File) (*process, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files := []*os.File{null, null, null, spec, status}
	for i, f := range c.stdio {
		if f != nil {
			files[i] = f
		}
	}
	if c.pidfd != nil {
		files = append(files, c.pidfd)
	}
	pidfd := -1
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: c.clone, PidFD: &pidfd}
	if c.group != nil {
		dir, err := c.group.FD()
		if err != nil {
			return nil, err
		}
		if dir != nil {
			defer dir.Close()
			attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
		}
	}
	var proc *os.Process
	err = onThread(c.join, func() error {
		var err error
		if c.group != nil {
			if err := c.group.Enter(); err != nil {
				return err
			}
		}
		proc, err = os.StartProcess(s.cfg.Helper, []string{"netdojo-helper", c.role}, &os.ProcAttr{
			Files: files,
			Env:   []string{"GOMAXPROCS=1", "GOGC=off"}, // the helper's own, gone with exec
			Sys:   attr,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start the container's helper: %w", err)
	}
	p := &process{proc: proc, exited: make(chan struct{})}
	if pidfd < 0 {
		err = errors.New("the kernel gives no pidfd (Linux 5.4 or later is needed)")
	} else {
		p.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
		err = p.watch()
	}
	if err != nil {
		_ = proc.Kill() // it has no other user yet
		_, _ = proc.Wait()
		return nil, fmt.Errorf("watch the container's helper: %w", err)
	}
	s.wg.Go(p.wait)
	return p, nil
}

// watch opens a descriptor that becomes readable when the process ends, so
// that waiting costs no thread. It is one of its own: handing pidfd to others
// may make that one blocking.
func (p *process) watch() error {
	fd, err := unix.PidfdOpen(p.proc.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if p.ended, err = f.SyscallConn(); err != nil {
		return errors.Join(err, f.Close())
	}
	p.watched = f
	return nil
}

// wait is the only one to wait for the process.
func (p *process) wait() {
	defer p.watched.Close()
	// The process stays a zombie until Wait below: its number stays its own.
	err := p.ended.Read(func(uintptr) bool { return hasEnded(p.proc.Pid) })
	if err != nil {
		p.kill() // cannot be watched: it must not run on unseen
	}
	p.signalling.Lock()
	state, err := p.proc.Wait()
	p.reaped = true
	p.signalling.Unlock()
	p.code = 255
	if err == nil {
		ws := state.Sys().(syscall.WaitStatus)
		if ws.Signaled() {
			p.code = 128 + int(ws.Signal())
		} else {
			p.code = ws.ExitStatus()
		}
	}
	close(p.exited)
}

// hasEnded tells whether pid can be waited for, and leaves it to be.
func hasEnded(pid int) bool {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		return err != nil || info.Signo != 0
	}
}

// signal sends sig to the process. One that has ended is no error.
func (p *process) signal(sig unix.Signal) error {
	p.signalling.Lock()
	defer p.signalling.Unlock()
	if p.reaped {
		return nil
	}
	p.killed = p.killed || sig == unix.SIGKILL
	err := unix.Kill(p.proc.Pid, sig)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// kill ends the process and those of its session's first group.
func (p *process) kill() {
	p.signalling.Lock()
	defer p.signalling.Unlock()
	if p.reaped {
		return
	}
	p.killed = true
	// Neither can fail otherwise than for a process that is gone.
	_ = unix.Kill(-p.proc.Pid, unix.SIGKILL)
	_ = unix.Kill(p.proc.Pid, unix.SIGKILL)
}

// wasKilled tells whether this node sent the process a SIGKILL.
func (p *process) wasKilled() bool {
	p.signalling.Lock()
	defer p.signalling.Unlock()
	return p.killed
}

func (p *process) close() {
	for _, f := range []*os.File{p.pidfd, p.terminal} {
		if f != nil {
			f.Close()
		}
	}
}

// awaitStart reads the helper's answers until the command runs or has failed.
func (p *process) awaitStart(ctx context.Context, status *net.UnixConn) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = status.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf, oob := make([]byte, 64<<10), make([]byte, 64)
	for {
		n, oobn, _, _, err := status.ReadMsgUnix(buf, oob)
		if ctx.Err() != nil {
			return fmt.Errorf("start the command: %w", ctx.Err())
		}
		if err != nil || n == 0 {
			return nil // the end: exec has closed the helper's side
		}
		switch buf[0] {
		case sandbox.MessageTTY:
			if p.terminal, err = receiveTerminal(oob[:oobn]); err != nil {
				return err
			}
		case sandbox.MessageFail:
			var f startFailure
			if err := json.Unmarshal(buf[1:n], &f.Failure); err != nil {
				return fmt.Errorf("read the helper's answer: %w", err)
			}
			return &f
		}
	}
}

func receiveTerminal(oob []byte) (*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return nil, fmt.Errorf("receive the terminal: %w", errors.Join(err, errors.New("no descriptor came")))
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("receive the terminal: %w", errors.Join(err, errors.New("no descriptor came")))
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, fmt.Errorf("receive the terminal: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "terminal"), nil
}
