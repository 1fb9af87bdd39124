//go:build linux

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hostPrograms are the host's folders of programs; usr is always one.
var hostPrograms = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// hostEtc is what programs need of the host's /etc: certificates, alternatives,
// the loader's cache.
var hostEtc = []string{"ssl", "pki", "ca-certificates", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "terminfo", "localtime"}

// skeletonDirs are made in every stand-in's root, with their mode. Those below
// usr cover the host's: they belong to root here, so that a container can write
// into its own copy even where the host's root is not mapped.
var skeletonDirs = map[string]os.FileMode{
	"dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555, "root": 0o700,
	"run": 0o755, "srv": 0o755, "sys": 0o555, "tmp": 0o777 | os.ModeSticky,
	"var/cache": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/tmp": 0o777 | os.ModeSticky,
	"usr/bin": 0o755, "usr/sbin": 0o755, "usr/lib": 0o755, "usr/share": 0o755,
	"usr/local/bin": 0o755, "usr/local/sbin": 0o755, "usr/local/lib": 0o755, "usr/local/share": 0o755, "usr/src": 0o755,
}

var skeletonFiles = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\ndaemon:x:2:2:daemon:/sbin:/sbin/nologin\n" +
		"www-data:x:33:33:www-data:/var/www:/sbin/nologin\ncurl_user:x:100:101:curl:/home/curl_user:/sbin/nologin\n" +
		"nginx:x:101:101:nginx:/nonexistent:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
	"etc/group": "root:x:0:\nbin:x:1:\ndaemon:x:2:\ntty:x:5:\nwww-data:x:33:\ncurl_group:x:101:\nnginx:x:101:\nnogroup:x:65534:\n",
	"etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
	"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n" +
		"protocols: files\nservices: files\nethers: files\n",
	"etc/os-release":  "NAME=\"netdojo stand-in\"\nID=netdojo-stand-in\nPRETTY_NAME=\"netdojo stand-in image\"\n",
	"etc/hostname":    "localhost\n",
	"etc/resolv.conf": "",
	"etc/shells":      "/bin/sh\n",
	"etc/profile":     "export PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}\n",
	"etc/services":    "domain\t53/tcp\ndomain\t53/udp\nhttp\t80/tcp\nhttps\t443/tcp\nssh\t22/tcp\nntp\t123/udp\n",
	"etc/protocols":   "ip\t0\tIP\nicmp\t1\tICMP\ntcp\t6\tTCP\nudp\t17\tUDP\nipv6-icmp\t58\tIPv6-ICMP\nsctp\t132\tSCTP\n",
}

// standInRoot makes the root of a stand-in, once a store.
func (s *Store) standInRoot(in *StandIn) (*Root, error) {
	dir := filepath.Join(s.o.Roots, "stand-in-"+in.Name)
	defer s.lockRoot(dir)()
	s.mu.Lock()
	made := s.skeletons[in.Name]
	s.mu.Unlock()
	if made != nil {
		return made, nil
	}
	// Made anew in each run: the host's folders may have changed since.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("make the stand-in %s: %w", in.Name, err)
	}
	root := &Root{Dir: dir}
	if err := s.writeSkeleton(in, root); err != nil {
		return nil, fmt.Errorf("make the stand-in %s: %w", in.Name, err)
	}
	s.mu.Lock()
	s.skeletons[in.Name] = root
	s.mu.Unlock()
	return root, nil
}

func (s *Store) writeSkeleton(in *StandIn, root *Root) error {
	for name, mode := range skeletonDirs {
		path := filepath.Join(root.Dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil { // past the umask
			return err
		}
	}
	files := []map[string]string{skeletonFiles, in.Files}
	for _, set := range files {
		for name, text := range set {
			if err := writeInto(root.Dir, name, text); err != nil {
				return err
			}
		}
	}
	if err := s.showHost(root); err != nil {
		return err
	}
	for name, target := range in.Links {
		if err := os.Symlink(target, filepath.Join(root.Dir, name)); err != nil {
			return err
		}
	}
	return s.bindProgram(in.Program, root)
}

func writeInto(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	return os.WriteFile(path, []byte(text), mode)
}

// showHost has the root show the host's programs as the host has them: links
// stay links, folders are shown with the stand-in's own files over them.
func (s *Store) showHost(root *Root) error {
	root.shadow("usr", s.o.HostRoot)
	shell := "usr/bin" // where ash belongs beside sh
	for _, name := range hostPrograms {
		host := filepath.Join(s.o.HostRoot, name)
		info, err := os.Lstat(host)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(host)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, filepath.Join(root.Dir, name)); err != nil {
				return err
			}
			continue
		}
		if err := os.Mkdir(filepath.Join(root.Dir, name), 0o755); err != nil {
			return err
		}
		root.shadow(name, s.o.HostRoot)
		if name == "bin" {
			shell = "bin"
		}
	}
	if _, err := os.Lstat(filepath.Join(s.o.HostRoot, shell, "ash")); err != nil {
		if err := os.Symlink("sh", filepath.Join(root.Dir, shell, "ash")); err != nil {
			return err
		}
	}
	for _, name := range hostEtc {
		host := filepath.Join(s.o.HostRoot, "etc", name)
		if _, err := os.Stat(host); err != nil {
			continue
		}
		root.Binds = append(root.Binds, Bind{Source: host, Destination: "/etc/" + name})
	}
	return nil
}

func (r *Root) shadow(name, hostRoot string) {
	r.Shadows = append(r.Shadows, Shadow{Target: name, Lower: []string{filepath.Join(r.Dir, name), filepath.Join(hostRoot, name)}})
}

func (s *Store) bindProgram(p Program, root *Root) error {
	var source, name string
	switch p {
	case HelperProgram:
		source, name = s.o.Helper, helperPath
	case CoreDNSProgram:
		source, name = s.o.CoreDNS, coreDNSPath
	default:
		return nil
	}
	root.Binds = append(root.Binds, Bind{Source: source, Destination: "/" + name})
	return writeInto(root.Dir, name, "")
}
