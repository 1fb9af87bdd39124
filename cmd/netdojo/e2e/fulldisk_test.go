//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/embedded/userns"
)

// smallDisk gives a home's folder a disk of its own, which only this thread and what it
// starts can see: it goes with them.
func smallDisk(t *testing.T, dir string, w who) {
	t.Helper()
	runtime.LockOSThread() // and is not given back
	if err := errors.Join(
		unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("small", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=200m,mode=700,uid=%d,gid=%d", w.uid, w.gid)),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A folder that has a disk cannot be removed.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill writes to a new file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 1<<20); len(b) > 0; b = b[:len(b)/2] {
		for err = nil; err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// A disk that is full ends the cluster. Status says that it was the disk, though the
// record of the end lies on it, and up brings the cluster back when there is room.
func TestFullDisk(t *testing.T) {
	bin := copyPrograms(t)
	for _, w := range users(t) {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			h := homeOf(t, w, bin)
			top := filepath.Dir(h.state)
			smallDisk(t, top, w)
			h.must("up")
			t.Cleanup(func() { h.must("down", "--purge") })
			filler := filepath.Join(top, "filler")
			tr, _ := clusterTree(t, h.state, cluster.DefaultName)
			fill(t, filler)
			big := filepath.Join(os.TempDir(), "netdojo-big-"+filepath.Base(top))
			if err := os.WriteFile(big, make([]byte, 700<<10), 0o644); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(big)
			eventually(t, "the cluster has ended", 120*time.Second, func() bool {
				h.run("kubectl", "create", "configmap", fmt.Sprint("big-", time.Now().UnixNano()), "--from-file="+big)
				return !userns.Running(filepath.Join(h.state, "clusters", cluster.DefaultName))
			})
			gone(t, tr)
			h.statusSays("ended at ", ": the disk is full; make room, and `netdojo up` brings its objects back")
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			h.must("up")
		})
	}
}
