package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// changeIndex rewrites a layout's index at once or not at all: a process that
// is killed meanwhile must not cost all images. The caller holds the lock.
func changeIndex(dir string, change func(*v1.IndexManifest)) error {
	path := filepath.Join(dir, "index.json")
	m, err := parseIndex(path)
	if err != nil {
		return err
	}
	change(m)
	if m.Manifests == nil {
		m.Manifests = []v1.Descriptor{}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".index-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// collectBlobs removes the blobs that no image of the layout has. The caller
// holds the lock.
func collectBlobs(dir string) error {
	p, err := layout.FromPath(dir)
	if err != nil {
		return err
	}
	index, err := p.ImageIndex()
	if err != nil {
		return err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, d := range m.Manifests {
		img, err := p.Image(d.Digest)
		if err != nil {
			return err
		}
		manifest, err := img.Manifest()
		if err != nil {
			return err
		}
		keep[d.Digest.Hex], keep[manifest.Config.Digest.Hex] = true, true
		for _, l := range manifest.Layers {
			keep[l.Digest.Hex] = true
		}
	}
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if keep[b.Name()] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, "blobs", "sha256", b.Name())); err != nil {
			return err
		}
	}
	return nil
}

// staleAfter is when a temporary file belongs to a process that was killed: no
// load takes so long.
const staleAfter = 6 * time.Hour

// sweep removes what a killed process left. It does its best: a store that this
// process may only read stays as it is.
func (s *Store) sweep() {
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".load-") && !strings.HasPrefix(e.Name(), ".index-") {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleAfter {
			_ = os.RemoveAll(filepath.Join(s.o.Dir, e.Name()))
		}
	}
}

// readIndex reads a layout's index, which is replaced as a whole. Of a layout that
// this process may change nothing of it changes meanwhile.
func (s *Store) readIndex(dir string) (*v1.IndexManifest, error) {
	if dir == s.o.Dir {
		unlock, err := lockFile(lockOf(dir), false)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		if err == nil {
			defer unlock()
		}
	}
	return parseIndex(filepath.Join(dir, "index.json"))
}

// parseIndex reads a layout's index: a *CorruptError when it is none.
func parseIndex(path string) (*v1.IndexManifest, error) {
	data, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	var m *v1.IndexManifest
	if err == nil {
		m, err = v1.ParseIndexManifest(bytes.NewReader(data))
	}
	if err != nil {
		return nil, &CorruptError{Path: path, Err: err}
	}
	return m, nil
}

// letRead makes a layout readable for all who reach it, whatever the umask.
func letRead(dir string) error {
	for _, pattern := range []string{".", "index.json", "oci-layout", "blobs", "blobs/sha256", "blobs/sha256/*"} {
		names, err := fs.Glob(os.DirFS(dir), pattern) // the folder's own name may hold brackets
		if err != nil {
			return err
		}
		for _, name := range names {
			path := filepath.Join(dir, name)
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			mode := fs.FileMode(0o644)
			if info.IsDir() {
				mode = 0o755
			}
			if info.Mode().Type() == fs.ModeSymlink || info.Mode().Perm() == mode {
				continue
			}
			if err := os.Chmod(path, mode); err != nil {
				return err
			}
		}
	}
	return nil
}
