//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// screen is a program in a pseudo-terminal.
type screen struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	mu   sync.Mutex // guards text
	text bytes.Buffer
	done chan struct{}
}

// onTerminal starts this test's program as netdojo in a terminal.
func onTerminal(t *testing.T, env []string, args ...string) *screen {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, done: make(chan struct{}), cmd: exec.Command(exe)}
	s.cmd.Args = append([]string{"netdojo"}, args...)
	s.cmd.Env = env
	if s.tty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		buf := make([]byte, 4096)
		for {
			n, err := s.tty.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil { // EIO when the last writer is gone
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.tty.Close()
		<-s.done
	})
	return s
}

func (s *screen) shows() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.text.String(), "\r\n", "\n")
}

// until waits for texts on the screen, each after the one before.
func (s *screen) until(texts ...string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		rest, found := s.shows(), true
		for _, text := range texts {
			if found {
				_, rest, found = strings.Cut(rest, text)
			}
		}
		if found {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q do not appear:\n%q", texts, s.shows())
		}
	}
}

func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the program's end and returns its exit code.
func (s *screen) ends() int {
	s.t.Helper()
	timer := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	err := s.cmd.Wait()
	<-s.done
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// home is an environment with a home and a state folder of its own.
func home(t *testing.T, more ...string) []string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	return append([]string{
		"HOME=" + dir, "NETDOJO_STATE_DIR=" + filepath.Join(dir, "state"),
		"PATH=" + os.Getenv("PATH"), "TERM=xterm", "TMPDIR=" + filepath.Join(dir, "tmp"),
	}, more...)
}

func TestUpOnATerminal(t *testing.T) {
	env := home(t)
	s := onTerminal(t, env, "up")
	if code := s.ends(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, s.shows())
	}
	for _, want := range []string{"\x1b[32mdone\x1b[0m   Write state", "cluster netdojo is ready after", "next:\n"} {
		if !strings.Contains(s.shows(), want) {
			t.Errorf("no %q on the screen:\n%q", want, s.shows())
		}
	}
	s = onTerminal(t, append(env, "NO_COLOR=1"), "up", "--name", "two")
	s.ends()
	if strings.Contains(s.shows(), "\x1b[3") || !strings.Contains(s.shows(), "done   Write state") {
		t.Errorf("colours with NO_COLOR:\n%q", s.shows())
	}
}

func TestUpInterruptedByTheKeyboard(t *testing.T) {
	s := onTerminal(t, home(t, "FAKE_UP=hang"), "up")
	s.until("Wait: nothing in particular")
	s.types("\x03")
	if code := s.ends(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if !strings.Contains(s.shows(), "interrupted") {
		t.Errorf("the screen does not say so:\n%q", s.shows())
	}
	if _, err := os.Stat("state/fake"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state is left: %v", err)
	}
}

func TestShellOnATerminal(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	env := home(t, "NO_COLOR=1")
	if code := onTerminal(t, env, "up").ends(); code != 0 {
		t.Fatalf("up exits with %d", code)
	}
	s := onTerminal(t, env, "shell")
	s.until("shell on cluster netdojo; leave it with exit")
	s.until("(c|default) ")
	// Ctrl-C is for what runs in the shell, and the shell goes on.
	s.types("sh -c \"echo be''gin; exec sleep 60\"\n")
	s.until("begin\n")
	s.types("\x03")
	s.until("begin\n", "(c|default) ") // input before the prompt may be lost
	s.types("echo after''wards $NETDOJO_CLUSTER\n")
	s.until("afterwards netdojo\n")
	s.types("exit 5\n")
	if code := s.ends(); code != 5 {
		t.Errorf("exit code %d, want the shell's 5:\n%s", code, s.shows())
	}
	if left, err := os.ReadDir("tmp"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// An exam that has other names for each person asks whose, before the time runs.
func TestExamAsksForTheSeed(t *testing.T) {
	s := onTerminal(t, home(t), "exam", "start", "e1")
	s.until("Your seed, as you were told it")
	s.types("Jane\n")
	s.until("its names are those of the seed jane", "left")
	if code := s.ends(); code != 0 {
		t.Errorf("it ends with %d:\n%s", code, s.shows())
	}
	s = onTerminal(t, home(t), "exam", "start", "e1")
	s.until("Your seed")
	s.types("a b\n")
	s.until(`"a b" is no seed`, "cure: ")
	if code := s.ends(); code != 2 {
		t.Errorf("it ends with %d:\n%s", code, s.shows())
	}
	s = onTerminal(t, home(t), "exam", "start", "e1", "--seed", "john")
	s.until("its names are those of the seed john")
	if code := s.ends(); code != 0 || strings.Contains(s.shows(), "Your seed") {
		t.Errorf("it ends with %d:\n%s", code, s.shows())
	}
}
