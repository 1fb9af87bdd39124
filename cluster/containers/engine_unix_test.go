//go:build unix

package containers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
)

// An engine whose daemon is stopped takes the question and never answers.
func TestAnswersEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\nsleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Engine{"docker"}.Answers(ctx) }()
	select {
	case err := <-done:
		var problem *cluster.Problem
		if !errors.As(err, &problem) || !strings.Contains(err.Error(), "docker does not answer") || problem.Cure() == "" {
			t.Errorf("error %v, want one that names the engine, with a cure", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for an engine that does not answer")
	}
}
