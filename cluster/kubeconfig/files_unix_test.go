//go:build unix

package kubeconfig_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
)

// stream is a FIFO, which stands for a device here: neither can keep a context, and
// no test may risk the machine's /dev/null.
func stream(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "null")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStreamsAreNeverWritten(t *testing.T) {
	open, err := os.Create(filepath.Join(t.TempDir(), "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	fifo := stream(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(fifo, link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a FIFO": fifo, "a link to one": link, "a descriptor of a file": fmt.Sprintf("/dev/fd/%d", open.Fd()),
		"the same by /proc": fmt.Sprintf("/proc/self/fd/%d", open.Fd()),
	} {
		t.Run(name, func(t *testing.T) {
			f := kubeconfig.Files{path}
			if err := f.Check(t.Context()); err != nil {
				t.Errorf("Check: %v", err)
			}
			if path, err := f.Merge(t.Context(), "a", own(t, 1), kubeconfig.Loopback); !errors.Is(err, kubeconfig.ErrNowhere) {
				t.Errorf("Merge: %q, %v, want ErrNowhere", path, err)
			}
			if _, err := f.Remove(t.Context(), "a"); err != nil {
				t.Errorf("Remove: %v", err)
			}
			if info, err := os.Lstat(fifo); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
				t.Errorf("the FIFO is %v, %v", info, err)
			}
			if _, err := os.Stat(path + ".lock"); err == nil {
				t.Error("a lock is left")
			}
			if info, err := open.Stat(); err != nil || info.Size() != 0 {
				t.Errorf("the open file has %v, %v", info, err)
			}
		})
	}
	second := put(t, filepath.Join(t.TempDir(), "config"), users)
	if got := (kubeconfig.Files{fifo, second}).Target(); got != second {
		t.Errorf("target %q, want the file behind the stream", got)
	}
}

// Whatever lies in the place of the file by the time it is written stays.
func TestMergeReplacesNothingButAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := os.Symlink(filepath.Join(dir, "folder"), path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := kubeconfig.Files{path}.Merge(t.Context(), "a", own(t, 1), kubeconfig.Loopback)
	if err == nil || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("error %v, want a folder named", err)
	}
}

func TestLoadOfAStream(t *testing.T) {
	fifo := stream(t)
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(fifo, []byte(users), 0) }()
	second := put(t, filepath.Join(t.TempDir(), "config"), strings.ReplaceAll(ours(private, 1), "name: c\n", "name: prod\n"))
	for range 2 { // it can be read once, and commands ask more than once
		cfg, err := kubeconfig.Files{fifo, filepath.Join(t.TempDir(), "missing"), second}.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if cfg.CurrentContext != "prod" || cfg.Clusters["prod"].Server != "https://prod.example:6443" || cfg.AuthInfos["u"] == nil {
			t.Errorf("loaded %+v, want the first file's where both have one", cfg)
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (kubeconfig.Files{stream(t)}).Load(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a FIFO that nobody writes to", err)
	}
	if _, err := (kubeconfig.Files{"/dev/zero"}).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 8 MiB") {
		t.Errorf("error %v of a stream without end", err)
	}
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "config")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	f := kubeconfig.Files{link}
	merge(t, f, "a", own(t, 1)) // the target is not there yet
	if current(t, target) != "netdojo-a" {
		t.Error("the link's target was not written")
	}
	remove(t, f, "a")
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that Merge made is still there: %v", err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the user's link is gone: %v", err)
	}
}
