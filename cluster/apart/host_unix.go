//go:build unix

package apart

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/creack/pty"
)

// StartOnHost starts a shell that is not apart: its commands can do what the caller
// can, on this machine. Only its home is a folder of its own, which Close removes.
func StartOnHost(c Config) (*Shell, error) {
	dir, err := os.MkdirTemp("", "netdojo-page-")
	if err != nil {
		return nil, fmt.Errorf("make the work folder: %w", err)
	}
	s, err := startOnHost(c, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func startOnHost(c Config, dir string) (*Shell, error) {
	tools := filepath.Join(dir, ".bin")
	if err := os.Mkdir(tools, 0o700); err != nil {
		return nil, fmt.Errorf("make the work folder: %w", err)
	}
	for name, path := range c.Programs {
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			return nil, fmt.Errorf("make the work folder: %w", err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the API's clients: %w", err)
	}
	// Others on this machine reach the listener, and do not know this.
	prefix := "/" + rand.Text()
	files := slices.Concat(c.Files, []File{{Name: ".kube/config", Mode: 0o600, Data: c.Kubeconfig("http://" + l.Addr().String() + prefix)}})
	for _, f := range files {
		at := filepath.Join(dir, filepath.FromSlash(f.Name))
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			err = fmt.Errorf("%q is not below the work folder", f.Name)
		} else if err = os.MkdirAll(filepath.Dir(at), 0o755); err == nil {
			err = os.WriteFile(at, f.Data, f.Mode.Perm())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("fill the work folder: %w", err), l.Close())
		}
	}
	p, err := newPipes()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	cmd := exec.Command("bash", "--noprofile", "--norc", "-c", driver, "bash")
	cmd.Dir = dir
	cmd.Env = environment(dir, tools+string(os.PathListSeparator)+os.Getenv("PATH"), "xterm")
	cmd.ExtraFiles = []*os.File{p.commandsR, p.endsW}
	terminal, err := pty.StartWithSize(cmd, &size)
	p.given()
	if err != nil {
		p.commandsW.Close()
		p.endsR.Close()
		return nil, errors.Join(fmt.Errorf("start bash: %w", err), l.Close())
	}
	told := make(chan string)
	group := &hostGroup{pid: cmd.Process.Pid}
	return &Shell{
		API: l, Prefix: prefix, Terminal: terminal, Ends: readEnds(p.endsR), Told: told, commands: p.commandsW, control: group,
		close: sync.OnceValue(func() error {
			_ = group.kill()
			_ = cmd.Wait()
			close(told)
			return errors.Join(ignoreClosed(l.Close()), ignoreClosed(terminal.Close()), ignoreClosed(p.commandsW.Close()), group.closeSeconds(), os.RemoveAll(dir))
		}),
	}, nil
}

// hostGroup is a shell's process group.
type hostGroup struct {
	pid  int
	ttys []*os.File // of the second terminals, kept open
}

// What runs beside the shell's commands ignores an interrupt: bash starts it so.
func (g *hostGroup) interrupt() error { return syscall.Kill(-g.pid, syscall.SIGINT) }

// kill ends the shell too: nothing here tells its children from those of others.
func (g *hostGroup) kill() error { return syscall.Kill(-g.pid, syscall.SIGKILL) }

func (g *hostGroup) count() int { return -1 }

func (g *hostGroup) second() (*os.File, string, error) {
	terminal, tty, err := pty.Open()
	if err != nil {
		return nil, "", err
	}
	if err := pty.Setsize(terminal, &size); err != nil {
		return nil, "", errors.Join(err, terminal.Close(), tty.Close())
	}
	g.ttys = append(g.ttys, tty)
	return terminal, tty.Name(), nil
}

func (g *hostGroup) closeSeconds() error {
	var err error
	for _, f := range g.ttys {
		err = errors.Join(err, f.Close())
	}
	return err
}
