package env

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cure"
)

func TestStateDir(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ own, xdg, want string }{
		"told":         {"/own", "/xdg", "/own"},
		"relative":     {"own", "", filepath.Join(wd, "own")},
		"XDG":          {"", "/xdg", "/xdg/netdojo"},
		"relative XDG": {"", "xdg", "/home/x/.local/state/netdojo"},
		"home":         {"", "", "/home/x/.local/state/netdojo"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(StateDirVar, tc.own)
			t.Setenv("XDG_STATE_HOME", tc.xdg)
			t.Setenv("HOME", "/home/x")
			got, err := StateDir()
			if err != nil || got != tc.want {
				t.Errorf("StateDir = %s, %v, want %s", got, err, tc.want)
			}
		})
	}
	t.Setenv(StateDirVar, "")
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := StateDir(); err == nil || len(cure.All(err)) != 1 {
		t.Errorf("without a home: %v, want an error with a cure", err)
	}
}

func TestCheckName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "netdojo": true, "a-1": true, strings.Repeat("a", 40): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a/b": false, "..": false, strings.Repeat("a", 41): false,
	} {
		if got := CheckName(name) == nil; got != want {
			t.Errorf("CheckName(%q) allows: %v, want %v", name, got, want)
		}
	}
}

func TestSignals(t *testing.T) {
	ctx, s := Watch(context.Background())
	defer s.Close()
	codes := make(chan int, 1)
	s.quit = func(code int) { codes <- code }

	raise := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	release := s.Hold()
	s.take()
	release()
	if ctx.Err() != nil {
		t.Fatal("a held signal ended the context")
	}

	raise(syscall.SIGTERM)
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("SIGTERM does not end the context")
	}
	if !errors.Is(context.Cause(ctx), exit.ErrInterrupted) {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	since := func(past time.Duration) {
		s.mu.Lock()
		s.first = time.Now().Add(-past)
		s.mu.Unlock()
	}
	since(-time.Hour) // however long this test is kept waiting, no time has passed
	s.take()          // timeout(1) sends its signal a second time
	since(twice)
	select {
	case code := <-codes:
		t.Fatalf("a signal that came with the first ends the process with %d", code)
	default:
	}
	raise(syscall.SIGINT)
	select {
	case code := <-codes:
		if code != exit.Interrupted {
			t.Errorf("the second signal exits with %d", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("the second signal does not end the process")
	}
}

func TestHoldIsReleasedOnce(t *testing.T) {
	_, s := Watch(context.Background())
	defer s.Close()
	first, second := s.Hold(), s.Hold()
	first()
	first()
	if s.held != 1 {
		t.Errorf("held by %d, want 1", s.held)
	}
	second()
}
