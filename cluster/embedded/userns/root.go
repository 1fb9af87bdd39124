//go:build linux

package userns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// buildRoot makes the node's root file system. The node sees its own /proc, /sys,
// /dev, /etc and /var; the host's /usr is there, read-only, for the stand-in images,
// and so are netdojo's programs and the image store; nothing else of the host is.
func buildRoot(in inside) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("detach the host's mounts: %w", err)
	}
	if err := unix.Mount("netdojo", in.Root, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
		return fmt.Errorf("mount the node's root: %w", err)
	}
	for _, f := range []func(inside) error{mountHostPrograms, writeEtc, mountOwn, mountDevices, makeKernelDirs} {
		if err := f(in); err != nil {
			return err
		}
	}
	// Else what the host mounts below /usr later would come up in the node, writable.
	private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(unix.AT_FDCWD, in.Root, unix.AT_RECURSIVE, &private); err != nil {
		return fmt.Errorf("detach the node's mounts: %w", err)
	}
	return nil
}

// enterRoot moves into the root that buildRoot made, in a user namespace below that
// one's: what was mounted there is locked here. What belongs to namespaces of this
// process is mounted first.
func enterRoot(root string) error {
	// A locked mount cannot become the root, but a copy of the whole tree can.
	if err := unix.Mount(root, root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("copy the node's root: %w", err)
	}
	if err := mountKernel(root); err != nil {
		return err
	}
	return pivot(root)
}

// mountHostPrograms shows /usr and what goes with it, read-only.
func mountHostPrograms(in inside) error {
	root := in.Root
	if err := bindInto("/usr", filepath.Join(root, "usr"), unix.MOUNT_ATTR_RDONLY); err != nil {
		return err
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		host := "/" + name
		info, err := os.Lstat(host)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", host, err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			err = bindInto(host, filepath.Join(root, name), unix.MOUNT_ATTR_RDONLY)
		} else {
			var target string
			if target, err = os.Readlink(host); err == nil {
				err = os.Symlink(target, filepath.Join(root, name))
			}
		}
		if err != nil {
			return fmt.Errorf("show %s: %w", host, err)
		}
	}
	for _, name := range []string{"ssl", "pki", "ca-certificates", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "terminfo", "localtime"} {
		if err := showEtc(name, root); err != nil {
			return err
		}
	}
	return nil
}

// showEtc shows a folder of the host's /etc, or a copy of a file: ldconfig and
// its like replace files, and one that was bound before could then be shown to
// no new container.
func showEtc(name, root string) error {
	host, target := filepath.Join("/etc", name), filepath.Join(root, "etc", name)
	info, err := os.Stat(host)
	if err != nil {
		return nil // not every system has all of them
	}
	if info.IsDir() {
		return bindInto(host, target, unix.MOUNT_ATTR_RDONLY)
	}
	data, err := os.ReadFile(host)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(target), 0o755)
	}
	if err == nil {
		err = os.WriteFile(target, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("show /etc/%s: %w", name, err)
	}
	return nil
}

func writeEtc(in inside) error {
	files := map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"etc/group":         "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
		"etc/hosts":         "127.0.0.1 localhost\n",
		"etc/nsswitch.conf": "hosts: files dns\n",
		"etc/resolv.conf":   "nameserver 127.0.0.1\n",
		"etc/os-release":    "ID=netdojo\nNAME=netdojo\nPRETTY_NAME=\"netdojo embedded node\"\n",
		"etc/machine-id":    "6e6574646f6a6f000000000000000001\n",
	}
	for name, text := range files {
		path := filepath.Join(in.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make /%s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write /%s: %w", name, err)
		}
	}
	return nil
}

// mountOwn shows the node's disk as /var, the image store and the programs. On the
// disk no file is a device or makes its caller another user: it lies on the host.
func mountOwn(in inside) error {
	if err := bindInto(in.Disk, filepath.Join(in.Root, "var"), unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV); err != nil {
		return err
	}
	for _, b := range []struct{ from, to string }{
		{in.Images, NodeImagesDir},
		{in.Daemon, NodeBinDir + "/netdojo-cluster"},
		{in.Helper, NodeBinDir + "/netdojo-helper"},
		{in.CoreDNS, NodeBinDir + "/netdojo-coredns"},
		{in.Cilium, NodeBinDir + "/netdojo-cilium"},
	} {
		if b.from == "" {
			continue
		}
		if err := bindInto(b.from, filepath.Join(in.Root, b.to), unix.MOUNT_ATTR_RDONLY); err != nil {
			return err
		}
	}
	return nil
}

// kernelMounts is what the kernel shows of the namespaces of init, and memory.
var kernelMounts = []struct {
	dir, fstype, opts string
	flags             uintptr
}{
	{"proc", "proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"sys", "sysfs", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY},
	{"tmp", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"run", "tmpfs", "mode=755", unix.MS_NOSUID | unix.MS_NODEV},
	{"root", "tmpfs", "mode=700", unix.MS_NOSUID | unix.MS_NODEV},
	{"dev/shm", "tmpfs", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"dev/mqueue", "mqueue", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
}

func makeKernelDirs(in inside) error {
	for _, m := range kernelMounts {
		if err := os.MkdirAll(filepath.Join(in.Root, m.dir), 0o755); err != nil {
			return fmt.Errorf("make /%s: %w", m.dir, err)
		}
	}
	return nil
}

func mountKernel(root string) error {
	for _, m := range kernelMounts {
		if err := unix.Mount(m.fstype, filepath.Join(root, m.dir), m.fstype, m.flags, m.opts); err != nil {
			return &Problem{What: "mount /" + m.dir + " of the node", Err: err,
				Fix: "the surroundings hide parts of /" + m.dir + " (a container does): run netdojo on the host, or in a container with --privileged"}
		}
	}
	pts := filepath.Join(root, "dev/pts")
	err := unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
	if err != nil { // gid 5 is not mapped for a user without subordinate ids
		err = unix.Mount("devpts", pts, "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	}
	if err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	return nil
}

// mountDevices makes a /dev with the devices that any container may have.
func mountDevices(in inside) error {
	dev := filepath.Join(in.Root, "dev")
	if err := os.MkdirAll(dev, 0o755); err != nil {
		return fmt.Errorf("make /dev: %w", err)
	}
	if err := unix.Mount("netdojo", dev, "tmpfs", unix.MS_NOSUID, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bindInto("/dev/"+name, filepath.Join(dev, name), 0); err != nil {
			return err
		}
	}
	links := map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dev, "pts"), 0o755); err != nil {
		return fmt.Errorf("make /dev/pts: %w", err)
	}
	return nil
}

// pivot makes root the root and lets the old one go.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter the node's root: %w", err)
	}
	// pivot_root(2): with the same folder twice the old root is stacked over the
	// new one, and unmounting "." takes it away.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let the host's root go: %w", err)
	}
	return os.Chdir("/")
}

// bindInto binds a file or folder, with all mounted below it, onto a path that
// it makes, and adds mount attributes to all of it.
func bindInto(from, to string, attrs uint64) error {
	if err := mountPoint(from, to); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", from, err)
	}
	if attrs == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: attrs}
	if err := unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", strings.TrimPrefix(to, "/"), err)
	}
	return nil
}

// mountPoint makes to a file or folder, whichever from is.
func mountPoint(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("look at %s: %w", from, err)
	}
	if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
		err = touch(to)
	}
	if err != nil {
		return fmt.Errorf("make a mount point for %s: %w", from, err)
	}
	return nil
}

func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
