//go:build linux

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostileFiles makes what others may leave for a person to run netdojo on, in a folder
// of that person's.
func hostileFiles(t *testing.T, w who) string {
	t.Helper()
	top, err := os.MkdirTemp("", "netdojo-files-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	path := func(name string) string { return filepath.Join(top, name) }
	write := func(name, text string) error {
		return os.WriteFile(path(name), []byte(text), 0o600)
	}
	for _, err := range []error{
		unix.Mkfifo(path("fifo"), 0o600),
		os.Mkdir(path("fifo-lab"), 0o755), unix.Mkfifo(path("fifo-lab/lab.yaml"), 0o600),
		os.Mkdir(path("endless-lab"), 0o755), os.Symlink("/dev/zero", path("endless-lab/lab.yaml")),
		os.CopyFS(path("link-lab"), os.DirFS(catalogue)), os.RemoveAll(path("link-lab/solution")),
		os.Mkdir(path("secret"), 0o700), write("secret/backend-egress-allow-fqdn.yaml", "hunter2-of-the-owner: [\n"),
		os.Symlink("../secret", path("link-lab/solution")),
		bomb(path("bomb.tar")),
		os.MkdirAll(path("state/clusters/broken"), 0o700), write("state/clusters/broken/cluster.json", `{"name": garbage`),
		os.MkdirAll(path("state/clusters/well"), 0o700), write("state/clusters/well/cluster.json", `{"name": "well"}`),
		filepath.WalkDir(top, func(path string, _ os.DirEntry, _ error) error { return os.Lchown(path, w.uid, w.gid) }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return top
}

// bomb is an image's archive of some megabytes, whose layer is more than a GiB.
func bomb(path string) error {
	const size = 1100 << 20
	var layer bytes.Buffer
	z, err := gzip.NewWriterLevel(&layer, gzip.BestSpeed)
	if err != nil {
		return err
	}
	hash := sha256.New()
	in := tar.NewWriter(io.MultiWriter(z, hash))
	if err := errors.Join(
		in.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: size}),
		second(io.CopyN(in, zeros{}, size)), in.Close(), z.Close(),
	); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	out := tar.NewWriter(f)
	for name, b := range map[string][]byte{
		"manifest.json": []byte(`[{"Config": "config.json", "RepoTags": ["bomb:1"], "Layers": ["layer.tar.gz"]}]`),
		"config.json":   fmt.Appendf(nil, `{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:%x"]}}`, hash.Sum(nil)),
		"layer.tar.gz":  layer.Bytes(),
	} {
		if err := errors.Join(out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(b))}), second(out.Write(b))); err != nil {
			return err
		}
	}
	return out.Close()
}

// second is the error of what also returns a count.
func second[N int | int64](_ N, err error) error { return err }

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Files that others made neither hang a command, nor fill its memory or the disk, nor
// lead it to other files; and each is named.
func TestFilesOfOthers(t *testing.T) {
	bin := copyPrograms(t)
	for _, w := range users(t) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			top := hostileFiles(t, w)
			h := newHome(t, filepath.Join(top, "state")).runAs(w)
			h.bin = bin
			h.env = append(h.env, "HOME="+top, "KUBECONFIG="+filepath.Join(top, "kubeconfig"), "NETDOJO_MAX_IMAGE_GIB=1")
			in := func(name string) string { return filepath.Join(top, name) }
			byFIFO := *h
			byFIFO.env = append(slices.Clone(h.env), "KUBECONFIG="+in("fifo"))
			// All at once: those that wait for what does not come do so for ten seconds.
			for _, c := range []struct {
				h     *home
				args  []string
				code  int
				parts []string
			}{
				{h, []string{"image", "load", in("fifo")}, 2, []string{"fifo", "it is a FIFO, and nobody writes to it"}},
				{h, []string{"explain", "-f", in("fifo"), "default/a", "default/b"}, 3, []string{"fifo", "nobody writes to it"}},
				{&byFIFO, []string{"kubectl", "get", "namespaces"}, 3, []string{"cure: "}},
				{h, []string{"lab", "lint", in("fifo-lab")}, 1, []string{"fifo-lab/lab.yaml", "it is a FIFO, not a regular file", "cure: "}},
				{h, []string{"lab", "lint", in("endless-lab")}, 1, []string{"endless-lab/lab.yaml", "symbolic link", "cure: "}},
				{h, []string{"explain", "-f", "/dev/zero", "default/a", "default/b"}, 2, []string{"/dev/zero", "longer than 64 MiB", "cure: "}},
				{h, []string{"image", "load", "/dev/zero"}, 2, []string{"/dev/zero", "cure: "}},
				{h, []string{"image", "load", in("bomb.tar")}, 3, []string{"bomb.tar", "1 GiB", "cure: "}},
				{h, []string{"lab", "lint", in("link-lab")}, 1, []string{"link-lab/lab.yaml", "solution/backend-egress-allow-fqdn.yaml", "symbolic link, or below one"}},
				{h, []string{"status"}, 3, []string{"well", "broken/cluster.json: invalid character", "cure: remove the cluster with `netdojo down --purge`"}},
			} {
				t.Run(strings.Join(c.args, " "), func(t *testing.T) {
					t.Parallel()
					h := *c.h
					h.t = t
					r := h.inTime(40*time.Second, c.args...)
					wantTold(t, r, c.code, c.parts...)
					if strings.Contains(r.stdout+r.stderr, "hunter2") {
						t.Errorf("it tells of a file that is not the lab's:\n%s%s", r.stdout, r.stderr)
					}
				})
			}
			t.Cleanup(func() {
				h.t = t
				if _, err := os.Lstat(filepath.Join(h.state, "image-store")); err == nil {
					wantSmall(t, filepath.Join(h.state, "image-store"))
				}
				h.must("down", "--purge", "--name", "broken")
				wantTold(t, h.run("status"), 0, "well")
				full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer full.Close()
				c := h.command("status")
				c.Stdout = full
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				wantTold(t, c.wait(), 3, "no space left on device", "cure: ")
			})
		})
	}
}

// wantSmall looks whether what was refused lies about.
func wantSmall(t *testing.T, dir string) {
	t.Helper()
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil || size > 1<<20 {
		t.Errorf("the image store holds %d bytes, %v", size, err)
	}
}
