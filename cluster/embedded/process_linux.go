package embedded

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
	"github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/internal/hostfile"
)

// programs fills in where the programs of a cluster are.
func (c Config) programs() (Config, error) {
	if c.Daemon == "" {
		self, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("find this program: %w", err)
		}
		c.Daemon = filepath.Join(filepath.Dir(self), "netdojo-cluster")
	}
	if c.CoreDNS == "" {
		c.CoreDNS = filepath.Join(filepath.Dir(c.Daemon), "netdojo-coredns")
	}
	if c.Cilium == "" {
		c.Cilium = filepath.Join(filepath.Dir(c.Daemon), "netdojo-cilium")
	}
	for _, program := range []string{c.Daemon, c.CoreDNS, c.Cilium} {
		if _, err := os.Stat(program); err != nil {
			return c, &Problem{What: "find " + program, Err: err, Fix: "build it with `make build`, and keep the programs of bin/ together"}
		}
	}
	return c, nil
}

// daemonProcess is a daemon that this process started.
type daemonProcess struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it ended
	err  error         // its end; read after done
}

// start starts the daemon in a session of its own, so that it outlives the
// terminal, with its output in the log.
func (d *daemonProcess) start(_ context.Context, cfg Config) error {
	cfg, err := cfg.programs()
	if err != nil {
		return err
	}
	log, err := hostfile.Create(filepath.Join(d.dir, LogFile), 0o600)
	if err != nil {
		return fmt.Errorf("open the daemon's log: %w", err)
	}
	defer log.Close()
	d.cmd = exec.Command(cfg.Daemon, "daemon", "--dir", d.dir, "--images", image.StoreIn(cfg.StateDir),
		"--coredns", cfg.CoreDNS, "--cilium", cfg.Cilium)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Dir = "/"
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cfg.Daemon, err)
	}
	d.done = make(chan struct{})
	go func() {
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	return nil
}

// waitReady polls the daemon's status until it is ready or has failed.
func (d *daemonProcess) waitReady(ctx context.Context, detail func(string)) error {
	client := control.NewClient(d.dir)
	defer client.CloseIdle()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			if last != "" {
				return fmt.Errorf("%w while %s", context.Cause(ctx), last)
			}
			return context.Cause(ctx)
		case <-d.done:
			return d.failure()
		case <-tick.C:
		}
		s, err := client.Status(ctx)
		switch {
		case err != nil: // it does not listen yet
		case s.Failed != "":
			return &Problem{What: fmt.Sprintf("the node failed; it says: %q", s.Failed), Fix: "see " + filepath.Join(d.dir, LogFile)}
		case s.Ready:
			return nil
		default:
			if now := waitingFor(s.Waiting); now != last {
				last = now
				detail(now)
			}
		}
	}
}

// maxLog is more than the log becomes.
const maxLog = 64 << 20

// failure tells why the daemon ended: what netdojo said about it in the log, else what
// the node did, as a quotation. A node that ran pods may have been made to say anything.
func (d *daemonProcess) failure() error {
	p := &Problem{What: "the cluster's daemon ended", Err: d.err, Fix: "see " + filepath.Join(d.dir, LogFile)}
	b, err := hostfile.Read(filepath.Join(d.dir, LogFile), maxLog)
	if err != nil {
		return p
	}
	if what, fix := userns.OwnWords(b); what != "" {
		p.What, p.Err, p.Fix = what, nil, cmp.Or(fix, p.Fix)
		return p
	}
	if end := userns.RecordedEnd(d.dir); end != nil {
		p.What, p.Err = "the cluster's daemon ended: "+end.Reason, nil
		if end.Said != "" {
			p.What += fmt.Sprintf("; it said last: %q", end.Said)
		}
	}
	return p
}

// stop ends a daemon that did not come up. It is not asked: nothing inside is
// worth a farewell yet, and the kernel ends it all with the launcher.
func (d *daemonProcess) stop(ctx context.Context) error {
	if d.cmd == nil || d.done == nil {
		return nil
	}
	clearUp := clearRun
	select {
	case <-d.done:
		clearUp = clearEnded
	default:
	}
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the daemon: %w", err)
	}
	<-d.done
	if err := waitStopped(ctx, d.dir); err != nil {
		return err
	}
	return clearUp(d.dir)
}

// How long a daemon may take to end on its own, and how long the kernel may take
// to end it, in which the processes inside go one by one.
const (
	graceful   = 10 * time.Second
	endTimeout = 5 * time.Second
)

// stopDaemon ends a daemon: by asking, unless its objects are to be forgotten,
// for then nothing inside is worth a farewell. One that does not heed is killed.
func stopDaemon(ctx context.Context, dir string, forget bool, detail func(string)) error {
	if !running(dir) {
		return clearRun(dir)
	}
	if !forget {
		if err := askToStop(ctx, dir); err == nil {
			return clearRun(dir)
		}
		detail("it does not answer; killing it")
	}
	l, err := userns.FindLauncher(dir)
	if errors.Is(err, syscall.ESRCH) { // it ended meanwhile
		return errors.Join(waitStoppedFor(ctx, dir, endTimeout), clearRun(dir))
	}
	if err != nil {
		return err
	}
	defer l.Close()
	for _, s := range []struct {
		signal syscall.Signal
		within time.Duration
	}{{userns.EndSignal, endTimeout}, {syscall.SIGKILL, graceful}} {
		if !running(dir) {
			break
		}
		// One that was stopped must go on to hear it.
		if err = errors.Join(l.Signal(s.signal), l.Signal(syscall.SIGCONT)); err != nil {
			return err
		}
		if err = waitStoppedFor(ctx, dir, s.within); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	return clearRun(dir)
}

// askToStop asks a daemon to end and waits until it has.
func askToStop(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, graceful)
	defer cancel()
	client := control.NewClient(dir)
	defer client.CloseIdle()
	if err := client.Shutdown(ctx); err != nil {
		return err
	}
	return waitStopped(ctx, dir)
}

func waitStoppedFor(ctx context.Context, dir string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return waitStopped(ctx, dir)
}

func waitStopped(ctx context.Context, dir string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for running(dir) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the daemon to end: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// remove deletes a cluster's folder. Files in it may belong to ids that only
// its user namespace may touch, so a helper does it there.
func (p *Provider) remove(ctx context.Context, dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := hostfile.RemoveAll(dir); err == nil {
		return nil
	}
	cfg, err := p.cfg.programs()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, cfg.Daemon, "remove", dir).CombinedOutput()
	if err == nil {
		err = hostfile.RemoveAll(dir) // the folder itself lies outside the namespace's reach
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w: %s", dir, err, bytes.TrimSpace(out))
	}
	return nil
}

func running(dir string) bool { return userns.Running(dir) }
