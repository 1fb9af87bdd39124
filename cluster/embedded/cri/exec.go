//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// execDrain is how long output is read after a command has ended, while others
// that it left behind hold its pipes.
const execDrain = 500 * time.Millisecond

// Exec prepares a URL under which a command runs.
func (s *service) Exec(_ context.Context, req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	c, err := s.containerByID(req.ContainerId)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.running(c); err != nil {
		return nil, err
	}
	return s.streams.GetExec(req)
}

// execution is a command in a running container and its streams.
type execution struct {
	command        []string
	stdin          io.Reader // nil: none
	stdout, stderr io.Writer // nil: dropped
	tty            bool
	resize         <-chan remotecommand.TerminalSize
}

// exec runs a command in a container to its end and returns its exit code. When ctx
// ends, the command is killed and ctx's error returned. A command that cannot
// be started is a *startFailure.
func (s *service) exec(ctx context.Context, c *container, e execution) (int, error) {
	main, _, err := s.running(c)
	if err != nil {
		return 0, err
	}
	spec := sandbox.Exec{Process: c.spec.Process, TTY: e.tty}
	spec.Args = e.command
	if e.tty {
		spec.Env = withTerm(spec.Env)
	}
	pipes, err := newExecPipes(e)
	if err != nil {
		return 0, err
	}
	defer pipes.close()
	p, err := s.launch(ctx, command{
		role: "exec", spec: spec, stdio: pipes.child, pidfd: main.pidfd, group: s.groupOf(c),
		join: append(c.sandbox.ns.join(), s.execPID(c, main)...),
	})
	if err != nil {
		return 0, err
	}
	defer p.close()
	defer s.executes(c, p)()
	copies := pipes.start(p, e)
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
		<-p.exited
		copies.end()
		return 0, ctx.Err()
	}
	copies.end()
	return p.code, nil
}

// execPID is the PID namespace of a further process: its container's.
func (s *service) execPID(c *container, main *process) []namespace {
	if c.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid() == runtimeapi.NamespaceMode_NODE {
		return nil
	}
	return []namespace{{main.pidfd, unix.CLONE_NEWPID}}
}

func withTerm(list []string) []string {
	for _, e := range list {
		if len(e) > 5 && e[:5] == "TERM=" {
			return list
		}
	}
	return append(append([]string{}, list...), "TERM=xterm")
}

// execPipes are the pipes of an execution without a terminal: the child's ends
// and ours.
type execPipes struct{ child, ours [3]*os.File }

func newExecPipes(e execution) (*execPipes, error) {
	p := &execPipes{}
	if e.tty {
		return p, nil
	}
	for fd, wanted := range [3]bool{e.stdin != nil, e.stdout != nil, e.stderr != nil} {
		if !wanted {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, fmt.Errorf("make the command's pipes: %w", err)
		}
		if fd == 0 {
			p.child[fd], p.ours[fd] = r, w
		} else {
			p.child[fd], p.ours[fd] = w, r
		}
	}
	return p, nil
}

func (p *execPipes) close() {
	for _, set := range [][3]*os.File{p.child, p.ours} {
		for _, f := range set {
			if f != nil {
				f.Close() // closing twice is harmless
			}
		}
	}
}

// execCopies are the goroutines that carry an execution's streams.
type execCopies struct {
	outputs sync.WaitGroup
	readers []*os.File
	input   *os.File
	stop    chan struct{}
	resizes sync.WaitGroup
}

func (p *execPipes) start(proc *process, e execution) *execCopies {
	c := &execCopies{stop: make(chan struct{})}
	for _, f := range p.child {
		if f != nil {
			f.Close()
		}
	}
	out, input := p.ours[1], p.ours[0]
	if e.tty {
		out, input = proc.terminal, proc.terminal
		if e.resize != nil {
			c.resizes.Go(func() { followSize(proc.terminal, e.resize, c.stop) })
		}
	}
	c.copyOut(out, e.stdout)
	c.copyOut(p.ours[2], e.stderr)
	if e.stdin != nil {
		c.input = input
		// Its reader ends with the client's connection, which the streaming server
		// closes after the command: nothing can wait for it before.
		go func() {
			_, _ = io.Copy(input, e.stdin)
			if !e.tty {
				input.Close()
			}
		}()
	}
	return c
}

func (c *execCopies) copyOut(r *os.File, w io.Writer) {
	if r == nil {
		return
	}
	if w == nil {
		w = io.Discard
	}
	c.readers = append(c.readers, r)
	c.outputs.Go(func() {
		_, err := io.Copy(w, r)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.EIO) {
			_, _ = io.Copy(io.Discard, r) // the client is gone; the command must not block
		}
	})
}

// end reads what is left after the command has ended.
func (c *execCopies) end() {
	close(c.stop)
	for _, r := range c.readers {
		_ = r.SetReadDeadline(time.Now().Add(execDrain)) // pipes and terminals have deadlines
	}
	c.outputs.Wait()
	c.resizes.Wait()
	if c.input != nil {
		c.input.Close()
	}
}

// followSize sets a terminal's size until the channel or stop is closed.
func followSize(terminal *os.File, sizes <-chan remotecommand.TerminalSize, stop <-chan struct{}) {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return
	}
	for {
		select {
		case <-stop:
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			// A terminal whose process has ended has no size to set.
			_ = raw.Control(func(fd uintptr) {
				_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
			})
		}
	}
}

// streamRuntime is what the streaming server calls.
type streamRuntime struct{ s *service }

// Exec implements streaming.Runtime.
func (r streamRuntime) Exec(ctx context.Context, id string, cmd []string, in io.Reader, out, errw io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	c, err := r.s.containerByID(id)
	if err != nil {
		return err
	}
	e := execution{command: cmd, tty: tty, resize: resize, stdin: in}
	if out != nil {
		e.stdout = out
	}
	if errw != nil {
		e.stderr = errw
	}
	code, err := r.s.exec(ctx, c, e)
	if err != nil {
		return fmt.Errorf("exec in container %s: %w", c.config.Metadata.Name, err)
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: code}
	}
	return nil
}
