//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// overlaySupport says whether and how overlayfs mounts here.
type overlaySupport struct{ works, userXattr bool }

// probeOverlay mounts an overlay below dir and takes it away again.
func probeOverlay(dir string, inUserNS bool) overlaySupport {
	defer os.RemoveAll(dir)
	for _, sub := range []string{"lower/x", "upper", "work", "merged"} {
		if os.MkdirAll(filepath.Join(dir, sub), 0o755) != nil {
			return overlaySupport{}
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	opts := "lowerdir=" + at("lower") + ",upperdir=" + at("upper") + ",workdir=" + at("work")
	if inUserNS {
		opts += ",userxattr"
	}
	if unix.Mount("overlay", at("merged"), "overlay", 0, opts) != nil {
		return overlaySupport{}
	}
	// Removing what a lower folder has needs whiteouts, which not every file
	// system below can hold.
	err := os.Remove(at("merged/x"))
	if unix.Unmount(at("merged"), unix.MNT_DETACH) != nil || err != nil {
		return overlaySupport{}
	}
	return overlaySupport{works: true, userXattr: inUserNS}
}

// copyTree copies a root where overlays do not mount: owners, modes, links,
// hard links included; device files are left out.
func copyTree(ctx context.Context, from, to string) error {
	links := map[[2]uint64]string{}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return copyOne(path, filepath.Join(to, rel), info, links)
	})
}

func copyOne(from, to string, info fs.FileInfo, links map[[2]uint64]string) error {
	st := info.Sys().(*syscall.Stat_t)
	id := [2]uint64{st.Dev, st.Ino}
	if first, ok := links[id]; ok && !info.IsDir() {
		return os.Link(first, to)
	}
	var err error
	switch {
	case info.IsDir():
		if err = os.Mkdir(to, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case info.Mode()&fs.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	case info.Mode().IsRegular():
		err = copyFile(from, to)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if st.Nlink > 1 && !info.IsDir() {
		links[id] = to
	}
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	return os.Chmod(to, info.Mode())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		err = fmt.Errorf("copy %s: %w", from, err)
	}
	return errors.Join(err, out.Close())
}
