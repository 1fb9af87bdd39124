package image

import (
	"encoding/json"
	"errors"
	"fmt"
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
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var m v1.IndexManifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	change(&m)
	if m.Manifests == nil {
		m.Manifests = []v1.Descriptor{}
	}
	if data, err = json.MarshalIndent(m, "", "  "); err != nil {
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
