//go:build linux

package cri

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// replacedDir is below the server's folder.
const replacedDir = "replaced"

// attachable is a path at which a file of the node can be bound into a
// container. What the node shows of the host is bound when it starts. A file
// that the host has replaced since, as a build does with a program and ldconfig
// with its cache, is still there for the node, but has no name left, and the
// kernel attaches such a file nowhere (ENOENT). Then the path is a copy's.
func (s *service) attachable(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	if st.Nlink > 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return path, nil
	}
	s.replacing.Lock()
	defer s.replacing.Unlock()
	to := filepath.Join(s.cfg.StateDir, replacedDir, fmt.Sprintf("%d-%d", st.Dev, st.Ino))
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	whole := to + ".part"
	if err := copyFile(path, whole); err != nil {
		return "", err
	}
	if err := os.Chmod(whole, os.FileMode(st.Mode&0o777)); err != nil {
		return "", fmt.Errorf("copy %s: %w", path, err)
	}
	if err := os.Rename(whole, to); err != nil {
		return "", fmt.Errorf("copy %s: %w", path, err)
	}
	return to, nil
}
