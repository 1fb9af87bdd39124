package hostfile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

func put(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// refused wants an error that names the file and what it is, and a cure.
func refused(t *testing.T, err error, path, kind string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), kind) {
		t.Fatalf("error %v, want one that names %s and says %q", err, path, kind)
	}
	var cured interface{ Cure() string }
	if !errors.As(err, &cured) || cured.Cure() == "" {
		t.Errorf("no cure: %v", err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "f"), "four")
	for _, limit := range []int64{4, 5} {
		if data, err := hostfile.Read(path, limit); err != nil || string(data) != "four" {
			t.Errorf("Read with %d bytes: %q, %v", limit, data, err)
		}
	}
	_, err := hostfile.Read(path, 3)
	refused(t, err, path, "longer than 3 bytes")
	var size *hostfile.SizeError
	if !errors.As(err, &size) || size.Limit != 3 {
		t.Errorf("error %#v, want a SizeError", err)
	}
	if _, err := hostfile.Read(filepath.Join(dir, "none"), 9); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	_, err = hostfile.Read(dir, 9)
	refused(t, err, dir, "a folder")
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{
		"Write": hostfile.Write, "WriteDurable": hostfile.WriteDurable, "WriteNamed": hostfile.WriteNamed,
	} {
		path := filepath.Join(dir, name)
		for _, content := range []string{"first", "second"} {
			if err := write(path, []byte(content), 0o640); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if data, _ := os.ReadFile(path); string(data) != content {
				t.Errorf("%s: holds %q, want %q", name, data, content)
			}
		}
		folder := filepath.Join(dir, name+".d")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		refused(t, write(folder, nil, 0o600), folder, "a folder")
		if err := write(filepath.Join(dir, "none", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s into a folder that is not there: %v", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 6 {
		t.Errorf("%v, %v: want three files, three folders and no temporary one", entries, err)
	}
}

func TestCreateAndAppend(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	for _, step := range []struct {
		name string
		open func() (*os.File, error)
		want string
	}{
		{"append to none", func() (*os.File, error) { return hostfile.Append(path, 0o600) }, "x"},
		{"append", func() (*os.File, error) { return hostfile.Append(path, 0o600) }, "xx"},
		{"append by a person's name", func() (*os.File, error) { return hostfile.AppendNamed(path) }, "xxx"},
		{"create", func() (*os.File, error) { return hostfile.Create(path, 0o600) }, "x"},
	} {
		f, err := step.open()
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		_, err = f.WriteString("x")
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(path); string(data) != step.want {
			t.Errorf("%s: the file holds %q, want %q", step.name, data, step.want)
		}
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := hostfile.MkdirAll(open); err != nil {
		t.Fatal(err)
	}
	if err := hostfile.MkdirAll(filepath.Join(open, "a", "b")); err != nil {
		t.Fatal(err)
	}
	refused(t, hostfile.MkdirAll(filepath.Join(put(t, filepath.Join(dir, "f"), ""), "x")), "f", "a file of that name")
}

func TestDirFS(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "lab.yaml"), "id: x")
	put(t, filepath.Join(dir, "tasks", "one.md"), "# One")
	fsys := hostfile.DirFS(dir, 64)
	if err := fstest.TestFS(fsys, "lab.yaml", "tasks/one.md"); err != nil {
		t.Error(err)
	}
	put(t, filepath.Join(dir, "long"), strings.Repeat("x", 65))
	var size *hostfile.SizeError
	if _, err := fs.ReadFile(fsys, "long"); !errors.As(err, &size) {
		t.Errorf("ReadFile: %v, want a SizeError", err)
	}
	if _, err := fsys.Open("long"); !errors.As(err, &size) {
		t.Errorf("Open: %v, want a SizeError", err)
	}
	if _, err := fs.ReadFile(fsys, "../"+filepath.Base(dir)+"/lab.yaml"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a name with ..: %v, want fs.ErrInvalid", err)
	}
}

// A file that grows while it is read has the bound too.
func TestDirFSBoundsAFileThatGrows(t *testing.T) {
	dir := t.TempDir()
	path := put(t, filepath.Join(dir, "f"), "x")
	f, err := hostfile.DirFS(dir, 64).Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put(t, path, strings.Repeat("x", 65))
	var size *hostfile.SizeError
	if _, err := io.ReadAll(f); !errors.As(err, &size) {
		t.Errorf("error %v, want a SizeError", err)
	}
}

// endless gives bytes without end, as /dev/zero does.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestStream(t *testing.T) {
	ctx := context.Background()
	data, err := io.ReadAll(hostfile.Stream(ctx, "standard input", strings.NewReader("four"), hostfile.Limits{Size: 4}))
	if err != nil || string(data) != "four" {
		t.Errorf("read %q, %v", data, err)
	}
	_, err = io.ReadAll(hostfile.Stream(ctx, "standard input", endless{}, hostfile.Limits{Size: 1 << 20}))
	refused(t, err, "standard input", "longer than 1 MiB")

	silent, writer := io.Pipe()
	defer writer.Close()
	_, err = io.ReadAll(hostfile.Stream(ctx, "standard input", silent, hostfile.Limits{Idle: time.Millisecond}))
	if err == nil || !strings.Contains(err.Error(), "nothing came since 1ms") {
		t.Errorf("error %v of a stream that says nothing", err)
	}
	gone := errors.New("interrupted")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(gone)
	_, err = io.ReadAll(hostfile.Stream(ended, "standard input", silent, hostfile.Limits{}))
	if !errors.Is(err, gone) {
		t.Errorf("error %v after the end of the context", err)
	}
}

func TestStreamPassesOnWhatItReads(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 10000)
	got, err := io.ReadAll(hostfile.Stream(context.Background(), "x", bytes.NewReader(want), hostfile.Limits{}))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(want))
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1000: "1000 bytes", 1 << 10: "1 KiB", 5 << 20: "5 MiB", 4 << 30: "4 GiB", 1<<20 + 1: "1048577 bytes"} {
		if got := hostfile.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}
