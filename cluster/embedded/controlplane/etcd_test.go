package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

// Files of etcd that hold garbage are named, with a cure. Otherwise etcd would end the
// process, from any of its goroutines, and say so in its own words.
func TestGarbageInEtcd(t *testing.T) {
	whole := t.TempDir()
	e := startEtcd(t, whole)
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"snap/db", "wal/*.wal"} {
		for how, spoil := range map[string]func(path string) error{
			"garbage": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage ", 8<<10)), 0o600) },
			"empty":   func(path string) error { return os.Truncate(path, 0) },
		} {
			if how == "empty" && name == "snap/db" {
				continue // etcd fills an empty one from its log
			}
			t.Run(name+" "+how, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				paths, err := filepath.Glob(filepath.Join(dir, "etcd/member", name))
				if err != nil || len(paths) == 0 {
					t.Fatalf("no %s: %v", name, err)
				}
				for _, path := range paths {
					if err := spoil(path); err != nil {
						t.Fatal(err)
					}
				}
				e, err := newEtcd(dir)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				err = e.start(ctx, slog.New(slog.DiscardHandler))
				var cured interface{ Cure() string }
				if !errors.As(err, &cured) || !strings.Contains(cured.Cure(), "--fresh") || !strings.Contains(err.Error(), filepath.Join(dir, "etcd")) {
					t.Errorf("it starts with %v", err)
				}
				if err := e.close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A store that ends while it runs says so too.
func TestEtcdGivesUp(t *testing.T) {
	dir := t.TempDir()
	e := startEtcd(t, dir)
	logger := zapLogger(slog.New(slog.DiscardHandler), e.gaveUp)
	held := make(chan struct{})
	go func() {
		defer close(held)
		logger.Fatal("failed to save raft hard state", zap.Error(fmt.Errorf("write: %w", syscall.ENOSPC)))
		t.Error("the goroutine goes on")
	}()
	<-held
	err := e.wait(t.Context())
	var cured interface{ Cure() string }
	if !errors.As(err, &cured) || !strings.Contains(err.Error(), "hard state") || !strings.Contains(cured.Cure(), "make room") {
		t.Errorf("it ends with %v", err)
	}
	if err := e.close(); err != nil {
		t.Error(err)
	}
}

func startEtcd(t *testing.T, dir string) *etcd {
	t.Helper()
	e, err := newEtcd(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.start(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return e
}
