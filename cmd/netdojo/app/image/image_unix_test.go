//go:build unix

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
	images "github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
)

// shelf is a provider whose store keeps what it is given.
type shelf struct {
	cluster.Provider
	got []byte
}

func (s *shelf) Images(context.Context) ([]images.Info, error) { return nil, nil }

func (s *shelf) LoadImages(_ context.Context, r io.Reader) ([]images.Info, error) {
	var err error
	s.got, err = io.ReadAll(r)
	return []images.Info{{Tags: []string{"a\x1b]0;owned\x07:1"}}}, err
}

func archive(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "manifest.json", Size: 2, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("[]")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// load loads a file into a shelf.
func load(ctx context.Context, file, stdin string) (got []byte, said string, err error) {
	s, out, _ := streams.Test(stdin)
	store := &shelf{}
	e := &env.Env{Streams: s, Kinds: []env.Kind{{Name: "shelf", New: func(*env.Env) (cluster.Provider, error) { return store, nil }}}}
	err = Load(ctx, &LoadOptions{Env: e, File: file})
	return store.got, out.String(), err
}

func TestLoad(t *testing.T) {
	want := archive(t)
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(fifo, want, 0) }()
	for name, file := range map[string]string{"a file": path, "a FIFO": fifo, "standard input": "-"} {
		got, said, err := load(t.Context(), file, string(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
		}
		if said != "loaded a\\x1b]0;owned\\x07:1\n" {
			t.Errorf("%s: said %q", name, said)
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

func TestLoadOfWhatIsNoArchive(t *testing.T) {
	for _, file := range []string{"/dev/zero", "/dev/null", "-"} {
		got, _, err := load(t.Context(), file, "no archive")
		if !errors.Is(err, images.ErrNotAnArchive) || exit.Code(err) != exit.Usage || got != nil {
			t.Errorf("%s: %v, %d bytes given to the store, want ErrNotAnArchive", file, err, len(got))
		}
	}
	if _, _, err := load(t.Context(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("a folder: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := load(ctx, fifo, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a FIFO that nobody writes to: %v", err)
	}
}
