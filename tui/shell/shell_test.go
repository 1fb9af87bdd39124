package shell

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

func start(t *testing.T, script string, args ...string) *Shell {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.Command("bash", append([]string{"--norc", "-c", script}, args...)...)
	s, err := Start(ctx, cmd, 40, 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		<-s.Done()
	})
	return s
}

func (s *Shell) text() string {
	lines := s.View(0)
	return ansi.Strip(strings.Join(lines, "\n"))
}

// until waits for the screen to become so.
func (s *Shell) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatalf("not within a minute: %s\n%s", what, s.text())
		}
	}
}

func (s *Shell) sees(t *testing.T, text string) {
	t.Helper()
	s.until(t, text, func() bool { return strings.Contains(s.text(), text) })
}

func key(code rune, mod tea.KeyMod) tea.KeyPressMsg {
	k := tea.KeyPressMsg{Code: code, Mod: mod}
	if mod == 0 && code >= ' ' && code < 0x7f {
		k.Text = string(code)
	}
	return k
}

func TestKeysReachTheProgram(t *testing.T) {
	s := start(t, `stty raw -echo; echo ready; head -c 8 | od -An -c`)
	s.sees(t, "ready")
	for _, k := range []tea.KeyPressMsg{
		key('a', 0), {Code: '1', ShiftedCode: '!', Mod: tea.ModShift, Text: "!"}, {Code: 'é', Text: "é"},
		key('c', tea.ModCtrl), key('z', tea.ModCtrl), key('p', tea.ModCtrl), key(tea.KeyEscape, 0),
	} {
		s.Key(k)
	}
	s.sees(t, `a   ! 303 251 003 032 020 033`)
}

// TestKeysKeepTheirOrder: a letter does not overtake the key before it that the
// emulator spells.
func TestKeysKeepTheirOrder(t *testing.T) {
	s := start(t, `stty raw -echo; echo ready; head -c 4000 | tr '\020' b | fold -w 2 | sort | uniq -c`)
	s.sees(t, "ready")
	for range 2000 {
		s.Key(key('a', 0))
		s.Key(key('p', tea.ModCtrl))
	}
	s.sees(t, "2000 ab")
}

func TestResizeIsTold(t *testing.T) {
	s := start(t, `trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done`)
	s.sees(t, "ready")
	s.Resize(50, 12)
	s.sees(t, "12 50")
	if lines := s.View(0); len(lines) != 12 {
		t.Errorf("%d lines, want 12", len(lines))
	}
}

func TestScrollback(t *testing.T) {
	s := start(t, `for i in $(seq 100); do echo "line $i."; done; sleep 60`)
	s.sees(t, "line 100.")
	lines, back := s.View(50), s.Back(50)
	if got := strings.TrimSpace(ansi.Strip(lines[0])); back != 50 || got != "line 42." || len(lines) != 10 {
		t.Errorf("50 back of %d: %d lines, the first is %q", back, len(lines), got)
	}
	if back = s.Back(1000); back != 91 {
		t.Errorf("scrolled %d back, want 91", back)
	}
}

// TestALongPaste: a program that does not read blocks nobody who types.
func TestALongPaste(t *testing.T) {
	s := start(t, `stty -icanon -echo; echo ready; sleep 0.3; head -c 60000 | md5sum`)
	s.sees(t, "ready")
	s.Paste(strings.Repeat("0123456789abcdefghi\n", 3000))
	want, err := exec.Command("bash", "-c", `for i in $(seq 3000); do echo 0123456789abcdefghi; done | md5sum`).Output()
	if err != nil {
		t.Fatal(err)
	}
	s.sees(t, strings.Fields(string(want))[0])
}

func TestRunPressesEnterAtAPromptOnly(t *testing.T) {
	// Marks as the start file of netdojo's shell makes them.
	rc := filepath.Join(t.TempDir(), "rc")
	write(t, rc, `PS1='prompt\[\e]133;B\a\]' PS0='\e]133;C\a'`)
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Start(ctx, exec.Command("bash", "--rcfile", rc, "-i"), 60, 12)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); <-s.Done() }()
	s.sees(t, "prompt")
	if got := s.Run("echo $((40+2)); read -r\n"); got != Ran {
		t.Errorf("at an empty prompt: %v, want %v", got, Ran)
	}
	s.sees(t, "42")
	if got := s.Run("echo no"); got != Busy {
		t.Errorf("while a command runs: %v, want %v", got, Busy)
	}
	s.Key(key(tea.KeyEnter, 0))
	s.until(t, "the prompt", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.prompt })
	s.Key(key('#', 0))
	if got := s.Run("echo $((50+5))"); got != Typed {
		t.Errorf("behind typed text: %v, want %v", got, Typed)
	}
	s.sees(t, "#echo $((50+5))")
	if strings.Contains(s.text(), "55\n") {
		t.Errorf("Enter was pressed:\n%s", s.text())
	}
}

// TestRunBeforeTheFirstPrompt: commands that come while the shell reads its start file run
// at its first prompt, one of them; what was typed meanwhile is not run with them.
func TestRunBeforeTheFirstPrompt(t *testing.T) {
	dir := t.TempDir()
	rc, gate := filepath.Join(dir, "rc"), filepath.Join(dir, "gate")
	write(t, rc, `echo reads; read -r <"`+gate+`"; PS1='prompt\[\e]133;B\a\]' PS0='\e]133;C\a'`)
	for _, c := range []struct {
		typed, sees, not string
	}{
		{"", "42", "43"},
		{"#", "#echo $((40+2))", "42\n"},
	} {
		if err := syscall.Mkfifo(gate, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		s, err := Start(ctx, exec.Command("bash", "--rcfile", rc, "-i"), 60, 12)
		if err != nil {
			t.Fatal(err)
		}
		s.sees(t, "reads")
		if got := s.Run("echo $((40+2))\n"); got != Kept {
			t.Errorf("before the first prompt: %v, want %v", got, Kept)
		}
		if got := s.Run("echo $((40+3))\n"); got != Busy {
			t.Errorf("behind one that waits: %v, want %v", got, Busy)
		}
		for _, r := range c.typed {
			s.Key(key(r, 0))
		}
		write(t, gate, "go\n")
		s.sees(t, c.sees)
		if strings.Contains(s.text(), c.not) {
			t.Errorf("%q is there:\n%s", c.not, s.text())
		}
		cancel()
		<-s.Done()
		if err := os.Remove(gate); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBinaryAndWideOutput(t *testing.T) {
	s := start(t, `head -c 200000 /dev/urandom; head -c 1000 /dev/zero; printf '\033[2J\033[H\033c日本語 e\xcc\x81 done'; sleep 60`)
	s.sees(t, "done")
	lines := s.View(0)
	if len(lines) != 10 {
		t.Errorf("%d lines, want 10", len(lines))
	}
}

func TestEndIsSeen(t *testing.T) {
	s := start(t, `exit 3`)
	<-s.Done()
	ended, err := s.Ended()
	if !ended || fmt.Sprint(err) != "exit status 3" {
		t.Errorf("ended %v, %v", ended, err)
	}
	s.Key(key('a', 0))
	s.Paste("a")
	s.Resize(20, 20)
	if got := s.Run("ls"); got != Busy {
		t.Errorf("after the end: %v", got)
	}
}

// TestHangUp: what does not listen is ended.
func TestHangUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Start(ctx, exec.Command("bash", "-c", `trap '' HUP TERM; echo ready; while :; do sleep 0.1; done`), 40, 10)
	if err != nil {
		t.Fatal(err)
	}
	s.sees(t, "ready")
	cancel()
	select {
	case <-s.Done():
	case <-time.After(time.Minute):
		t.Fatal("it did not end")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
