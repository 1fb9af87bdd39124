//go:build unix

package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/cluster/control"
)

// endless gives bytes without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(path, text string) string {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := func(path string) string {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put(filepath.Join(dir, "ok", "b.json"), "b")
	put(filepath.Join(dir, "ok", "a.yaml"), "a")
	put(filepath.Join(dir, "ok", "notes.txt"), "n")
	if err := os.Symlink("a.yaml", filepath.Join(dir, "ok", "link.yml")); err != nil {
		t.Fatal(err)
	}
	fifo(filepath.Join(dir, "bad", "fifo.yaml"))
	written := fifo(filepath.Join(dir, "written"))
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(written, []byte("by a FIFO"), 0) }()
	for name, tc := range map[string]struct {
		path string
		room int64
		want string // the files' content in turn
		err  string
	}{
		"a folder, by links too": {filepath.Join(dir, "ok"), 64, "a b a", ""},
		"a FIFO":                 {written, 64, "by a FIFO", ""},
		"standard input":         {"-", 64, "stdin", ""},
		"too much":               {filepath.Join(dir, "ok"), 2, "", "at most 64 MiB"},
		"a device without end":   {"/dev/zero", 1 << 20, "", "/dev/zero: it is longer than 1 MiB"},
		"a FIFO in a folder":     {filepath.Join(dir, "bad"), 64, "", "it is a FIFO"},
		"nothing":                {filepath.Join(dir, "none"), 64, "", "there is no file"},
	} {
		t.Run(name, func(t *testing.T) {
			room := tc.room
			files, err := readFiles(t.Context(), tc.path, strings.NewReader("stdin"), &room)
			if tc.err != "" {
				var fault *control.CallError
				if !errors.As(err, &fault) || !fault.Question() || !strings.Contains(err.Error()+fault.Cure(), tc.err) || fault.Cure() == "" {
					t.Fatalf("error %v, want the question's fault: %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			size := int64(0)
			for _, f := range files {
				got, size = append(got, string(f.Data)), size+int64(len(f.Data))
			}
			if strings.Join(got, " ") != tc.want || room != tc.room-size {
				t.Errorf("read %q, and %d bytes are left of %d", got, room, tc.room)
			}
		})
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	room := int64(1 << 20)
	if _, err := readFiles(t.Context(), "-", endless{}, &room); err == nil || !strings.Contains(err.Error(), "standard input: it is longer than 1 MiB") {
		t.Errorf("standard input without end: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readFiles(ended, fifo(filepath.Join(dir, "silent")), nil, &room); !errors.Is(err, context.Canceled) {
		t.Errorf("a FIFO that nobody writes to: %v", err)
	}
}
