//go:build linux

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hostPrograms are the host's folders of programs; usr is always one.
var hostPrograms = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// hostEtc is what programs need of the host's /etc: certificates, alternatives,
// the loader's cache.
var hostEtc = []string{"ssl", "pki", "ca-certificates", "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "terminfo", "localtime"}

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
	for _, name := range in.Dirs {
		path := filepath.Join(root.Dir, name)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o777)); err != nil {
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
	return s.trust(root)
}

// bundles are where systems keep the certificates that their programs trust, below /etc:
// Debian's and Alpine's, and Fedora's.
var bundles = []string{"ssl/certs/ca-certificates.crt", "pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}

// trust shows bundles with the store's further certificates in place of the host's.
func (s *Store) trust(root *Root) error {
	if s.o.CA == nil {
		return nil
	}
	more := s.o.CA()
	if len(more) == 0 {
		return nil
	}
	for _, name := range bundles {
		host := filepath.Join(s.o.HostRoot, "etc", name)
		have, err := os.ReadFile(host)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// Beside the root: what lies in it, the container sees.
		file := root.Dir + ".trusted-" + filepath.Base(name)
		if err := os.WriteFile(file, slices.Concat(have, []byte("\n"), more), 0o644); err != nil {
			return err
		}
		root.Binds = append(root.Binds, Bind{Source: file, Destination: "/etc/" + name})
	}
	return nil
}

func (r *Root) shadow(name, hostRoot string) {
	r.Shadows = append(r.Shadows, Shadow{Target: name, Lower: []string{filepath.Join(r.Dir, name), filepath.Join(hostRoot, name)}})
}

func (s *Store) bindProgram(p Program, root *Root) error {
	programs := map[string]string{} // path in the root → program
	switch p {
	case HelperProgram:
		programs[helperPath] = s.o.Helper
	case CoreDNSProgram:
		programs[coreDNSPath] = s.o.CoreDNS
	case CiliumProgram:
		programs[helperPath], programs[ciliumPath] = s.o.Helper, s.o.Cilium
	}
	for _, name := range sortedKeys(programs) {
		root.Binds = append(root.Binds, Bind{Source: programs[name], Destination: "/" + name})
		if err := writeInto(root.Dir, name, ""); err != nil {
			return err
		}
	}
	return nil
}
