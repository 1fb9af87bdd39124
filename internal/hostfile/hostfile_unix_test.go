//go:build unix

package hostfile_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
)

// strange makes one of each kind of file that is not a regular one, by what
// messages call it. The device is the machine's, which is only read.
func strange(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	fifo, link, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(put(t, filepath.Join(dir, "target"), "target"), link); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return map[string]string{"a FIFO": fifo, "a symbolic link": link, "a socket": socket}
}

func TestOursAreRegularFilesOnly(t *testing.T) {
	files := strange(t)
	for name, act := range map[string]func(string) error{
		"Read":         func(p string) error { _, err := hostfile.Read(p, 64); return err },
		"ReadIn":       func(p string) error { _, err := hostfile.ReadIn(filepath.Dir(p), filepath.Base(p), 64); return err },
		"DirFS":        func(p string) error { return dirFS(p, "") },
		"Write":        func(p string) error { return hostfile.Write(p, []byte("x"), 0o600) },
		"WriteDurable": func(p string) error { return hostfile.WriteDurable(p, []byte("x"), 0o600) },
		"Create":       func(p string) error { _, err := hostfile.Create(p, 0o600); return err },
		"Append":       func(p string) error { _, err := hostfile.Append(p, 0o600); return err },
	} {
		for kind, path := range files {
			t.Run(name+" of "+kind, func(t *testing.T) {
				before, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				refused(t, act(path), path, kind)
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("it was replaced: %v", err)
				}
				if data, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "target")); string(data) != "target" {
					t.Errorf("the link's target holds %q", data)
				}
			})
		}
		if name == "Read" || name == "ReadIn" || name == "DirFS" {
			t.Run(name+" of a device", func(t *testing.T) { refused(t, act("/dev/zero"), "/dev/zero", "a device") })
		}
	}
}

// dirFS reads a file through a DirFS of its folder, and makes of the error one that
// refused takes.
func dirFS(path, below string) error {
	_, err := fs.ReadFile(hostfile.DirFS(filepath.Dir(path), 64), filepath.Base(path)+below)
	if err == nil {
		return nil
	}
	return cured{errors.Join(errors.New(path), err)}
}

type cured struct{ error }

func (cured) Cure() string { return "a caller's" }

func TestReadInStaysInside(t *testing.T) {
	outside := t.TempDir()
	put(t, filepath.Join(outside, "secret"), "secret")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "sub", "f"), "inside")
	for link, target := range map[string]string{
		"out": outside, "abs": filepath.Join(outside, "secret"), "self": filepath.Join(dir, "sub"), "magic": "/proc/self/root",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := hostfile.ReadIn(dir, "sub/f", 64); err != nil || string(data) != "inside" {
		t.Errorf("ReadIn: %q, %v", data, err)
	}
	through := filepath.Join(t.TempDir(), "through")
	if err := os.Symlink(dir, through); err != nil {
		t.Fatal(err)
	}
	if data, err := hostfile.ReadIn(through, "sub/f", 64); err != nil || string(data) != "inside" {
		t.Errorf("ReadIn of a folder that is a link: %q, %v", data, err)
	}
	for _, name := range []string{"out/secret", "abs", "self/f", "magic/etc/hostname", "sub/f/x"} {
		if data, err := hostfile.ReadIn(dir, name, 64); err == nil {
			t.Errorf("ReadIn(%s) gives %q", name, data)
		}
	}
	for _, name := range []string{"../x", "/etc/hostname", "sub/../sub/f", ""} {
		if _, err := hostfile.ReadIn(dir, name, 64); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("ReadIn(%q): %v, want fs.ErrInvalid", name, err)
		}
	}
	if _, err := fs.ReadDir(hostfile.DirFS(dir, 64), "out"); err == nil {
		t.Error("a folder outside is listed through a link")
	}
}

func TestUmask(t *testing.T) {
	for _, mask := range []int{0, 0o777} {
		former := syscall.Umask(mask)
		t.Cleanup(func() { syscall.Umask(former) })
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := func(name string) string { return filepath.Join(dir, name) }
		errs := []error{
			hostfile.Write(path("write"), nil, 0o644), hostfile.WriteNamed(path("named"), nil, 0o600),
			hostfile.MkdirAll(path("a/b")), hostfile.PrivateDir(path("p")),
			closed(hostfile.Create(path("create"), 0o640)), closed(hostfile.Append(path("append"), 0o600)),
		}
		syscall.Umask(former)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]fs.FileMode{
			"write": 0o644, "named": 0o600, "a": 0o700, "a/b": 0o700, "p": 0o700, "create": 0o640, "append": 0o600,
		} {
			if info, err := os.Stat(path(name)); err != nil || info.Mode().Perm() != want {
				t.Errorf("umask %o: %s: %v, %v, want mode %o", mask, name, info.Mode(), err, want)
			}
		}
	}
}

func closed(f *os.File, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

func TestPrivateDir(t *testing.T) {
	dir := t.TempDir()
	wide := filepath.Join(dir, "wide")
	if err := errors.Join(os.Mkdir(wide, 0o700), os.Chmod(wide, 0o777)); err != nil {
		t.Fatal(err)
	}
	if err := hostfile.PrivateDir(wide); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(wide); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v of a folder that others could write", info.Mode())
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(wide, link); err != nil {
		t.Fatal(err)
	}
	refused(t, hostfile.PrivateDir(link), link, "a symbolic link")
}

func TestHardLinks(t *testing.T) {
	dir := t.TempDir()
	other, log := put(t, filepath.Join(dir, "other"), "mine"), filepath.Join(dir, "log")
	if err := os.Link(other, log); err != nil {
		t.Fatal(err)
	}
	_, err := hostfile.Append(log, 0o600)
	refused(t, err, log, "more than one name")
	f, err := hostfile.Create(log, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("log")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(other); string(data) != "mine" {
		t.Errorf("the file's other name holds %q", data)
	}
}

func TestWriteNamedFollowsALink(t *testing.T) {
	files := strange(t)
	link := files["a symbolic link"]
	if err := hostfile.WriteNamed(link, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "target")); string(data) != "x" {
		t.Errorf("the target holds %q", data)
	}
	if info, _ := os.Lstat(link); info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link became a file")
	}
	refused(t, hostfile.WriteNamed(files["a FIFO"], nil, 0o600), files["a FIFO"], "a FIFO")
}

func TestReadNamed(t *testing.T) {
	ctx, files := context.Background(), strange(t)
	if data, err := hostfile.ReadNamed(ctx, files["a symbolic link"], hostfile.Limits{Size: 64}); err != nil || string(data) != "target" {
		t.Errorf("by a link: %q, %v", data, err)
	}
	if data, err := hostfile.ReadNamed(ctx, os.DevNull, hostfile.Limits{Size: 64}); err != nil || len(data) != 0 {
		t.Errorf("%s: %q, %v", os.DevNull, data, err)
	}
	_, err := hostfile.ReadNamed(ctx, files["a symbolic link"], hostfile.Limits{Size: 5})
	refused(t, err, "link", "longer than 5 bytes")
	_, err = hostfile.ReadNamed(ctx, "/dev/zero", hostfile.Limits{Size: 1 << 20})
	refused(t, err, "/dev/zero", "longer than 1 MiB")
	_, err = hostfile.ReadNamed(ctx, files["a socket"], hostfile.Limits{})
	refused(t, err, "socket", "a socket")
	_, err = hostfile.ReadNamed(ctx, t.TempDir(), hostfile.Limits{})
	refused(t, err, "", "a folder")
	if _, err := hostfile.ReadNamed(ctx, filepath.Join(t.TempDir(), "none"), hostfile.Limits{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}

func TestReadNamedOfAFIFO(t *testing.T) {
	ctx, fifo := context.Background(), strange(t)["a FIFO"]
	_, err := hostfile.ReadNamed(ctx, fifo, hostfile.Limits{Idle: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), fifo) || !strings.Contains(err.Error(), "nobody writes") {
		t.Fatalf("error %v of a FIFO without a writer", err)
	}
	gone := errors.New("interrupted")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(gone)
	if _, err := hostfile.ReadNamed(ended, fifo, hostfile.Limits{}); !errors.Is(err, gone) {
		t.Errorf("error %v after the end of the context", err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(fifo, []byte("by a FIFO"), 0) }()
	data, err := hostfile.ReadNamed(ctx, fifo, hostfile.Limits{Size: 64})
	if err := errors.Join(err, <-wrote); err != nil || string(data) != "by a FIFO" {
		t.Errorf("read %q, %v", data, err)
	}
}

// A pipe by its descriptor is what a shell's <(...) names.
func TestReadNamedOfADescriptor(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, err = w.WriteString("by a pipe")
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := hostfile.ReadNamed(context.Background(), fmt.Sprintf("/dev/fd/%d", r.Fd()), hostfile.Limits{Size: 64, Idle: 5 * time.Second})
	if err != nil || string(data) != "by a pipe" {
		t.Errorf("read %q, %v", data, err)
	}
}

func TestAppendNamed(t *testing.T) {
	files := strange(t)
	f, err := hostfile.AppendNamed(files["a symbolic link"])
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("+")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(files["a symbolic link"]); string(data) != "target+" {
		t.Errorf("the target holds %q", data)
	}
	if _, err := hostfile.AppendNamed(files["a FIFO"]); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("error %v of a FIFO without a reader", err)
	}
}
