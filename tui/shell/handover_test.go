//go:build unix

package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// screen is what a real terminal would get.
type screen struct {
	*testing.T
	keyboard *os.File // types into the terminal

	mu  sync.Mutex // guards got
	got bytes.Buffer
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

func (s *screen) sees(texts ...string) {
	s.Helper()
	for _, text := range texts {
		for deadline := time.Now().Add(time.Minute); !strings.Contains(s.text(), text); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				s.Fatalf("not within a minute: %q in %q", text, s.text())
			}
		}
	}
}

func (s *screen) types(text string) {
	s.Helper()
	if _, err := s.keyboard.WriteString(text); err != nil {
		s.Fatal(err)
	}
}

// handOver gives a terminal of 80×25 to a shell. The channel gets how it ended.
func handOver(t *testing.T, ctx context.Context, sh *Shell) (*screen, <-chan error) {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 80, Rows: 25}); err != nil {
		t.Fatal(err)
	}
	s := &screen{T: t, keyboard: ptmx}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := ptmx.Read(buf)
			s.mu.Lock()
			s.got.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		tty.Close()
		ptmx.Close()
		reading.Wait()
	})
	h := sh.HandOver(ctx, "ctrl+g", "ctrl-g z comes back")
	h.SetStdin(tty)
	h.SetStdout(tty)
	ended := make(chan error, 1)
	go func() { ended <- h.Run() }()
	s.sees("ctrl-g z comes back")
	return s, ended
}

func wantEnd(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the terminal did not come back within a minute")
	}
}

// TestHandOver: what is typed and printed goes through as it is, in the size of
// the real terminal, and the pane knows of it afterwards.
func TestHandOver(t *testing.T) {
	sh := start(t, `echo before; printf '\e[?2004h'; read -r a; printf '\e[?1002h\e[35mcolour\e[m size '; stty size; read -rsd X b; printf '%s' "$b" | od -An -tx1; sleep 100`)
	sh.sees(t, "before")
	s, ended := handOver(t, t.Context(), sh)
	s.sees("before", "\x1b[?2004h")
	s.types("x\r")
	s.sees("\x1b[35mcolour\x1b[m size 25 80")
	s.types("\x07\x07\x1b[200~\x07pasted\x1b[201~\x1b[AX")
	s.sees("07 1b 5b 32 30 30 7e 07")
	s.types("\x07z")
	wantEnd(t, ended)
	s.sees("\x1b[?1002l", "\x1b[?2004l", "\x1b[?25h")
	sh.sees(t, "colour size 25 80")
}

// TestHandOverEnds: the terminal comes back when the shell ends or netdojo does.
func TestHandOverEnds(t *testing.T) {
	sh := start(t, `printf '\e[?1049hfull'; read -r x; printf 'bye'`)
	sh.sees(t, "full")
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	var out bytes.Buffer
	h := sh.HandOver(t.Context(), "ctrl+g", "a line")
	h.SetStdin(tty)
	h.SetStdout(&out)
	ended := make(chan error, 1)
	go func() { ended <- h.Run() }()
	if _, err := ptmx.WriteString("on\r"); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, ended)
	if got := out.String(); !strings.HasPrefix(got, "\x1b[?1049h") || !strings.Contains(got, "\x1b[?1049l") {
		t.Errorf("the alternate screen was not taken and given back: %q", got)
	}

	sh = start(t, "echo there; sleep 100")
	sh.sees(t, "there")
	ctx, cancel := context.WithCancel(t.Context())
	_, again := handOver(t, ctx, sh)
	cancel()
	wantEnd(t, again)
}

func TestHandOverNeedsATerminal(t *testing.T) {
	sh := start(t, "sleep 100")
	h := sh.HandOver(t.Context(), "ctrl+g", "")
	h.SetStdin(strings.NewReader("x"))
	h.SetStdout(&bytes.Buffer{})
	if err := h.Run(); err == nil {
		t.Error("a terminal was given that there is not")
	}
}

// TestScanner: the prefix is found however the terminal spells it.
func TestScanner(t *testing.T) {
	for _, tc := range []struct {
		prefix string
		typed  []string
		pass   string
		leave  bool
	}{
		{"ctrl+g", []string{"ls\r"}, "ls\r", false},
		{"ctrl+g", []string{"a\x07z", "b"}, "a", true},
		{"ctrl+g", []string{"\x07", "z"}, "", true},
		{"ctrl+g", []string{"\x07\x07x"}, "\x07x", false},
		{"ctrl+g", []string{"\x1b[103;5u", "\x1b[122u"}, "", true},
		{"ctrl+g", []string{"\x1b[27;5;103~q"}, "", true},
		{"ctrl+g", []string{"\x1b[200~one\x07two\x1b[201~", "\x1b[A"}, "\x1b[200~one\x07two\x1b[201~\x1b[A", false},
		{"ctrl+g", []string{"i\x1b\x07z"}, "i\x1b", true},
		{"ctrl+g", []string{"\x1b\x1b[A"}, "\x1b\x1b[A", false},
		{"ctrl+b", []string{"\x07\x02n"}, "\x07", true},
		{"alt+x", []string{"x\x1bx", "q"}, "x", true},
		{"f12", []string{"\x1b[24~", "q"}, "", true},
		{"ctrl+g", []string{"\x1b[", "A", "é"}, "\x1b[Aé", false},
	} {
		t.Run(fmt.Sprintf("%s %q", tc.prefix, tc.typed), func(t *testing.T) {
			s := scanner{prefix: tc.prefix}
			var pass []byte
			left := false
			for _, typed := range tc.typed {
				var p []byte
				p, left = s.take([]byte(typed))
				pass = append(pass, p...)
				if left {
					break
				}
			}
			if string(pass) != tc.pass || left != tc.leave {
				t.Errorf("passed %q, left %v; want %q, %v", pass, left, tc.pass, tc.leave)
			}
		})
	}
}
