//go:build linux

package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Root unpacks img unless that was done before.
func (s *Store) Root(ctx context.Context, img *Image) (*Root, error) {
	if img.standIn != nil {
		return s.standInRoot(img.standIn)
	}
	dir := s.rootDir(img)
	defer s.lockRoot(dir)()
	note := filepath.Join(dir, "unpacked.json")
	out := &Root{Dir: filepath.Join(dir, "root")}
	var state unpackState
	data, err := os.ReadFile(note)
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &state); err != nil {
			return nil, fmt.Errorf("read %s: %w", note, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		if state, err = s.unpackTo(ctx, img, dir); err != nil {
			return nil, fmt.Errorf("unpack image %s: %w", img.Ref, err)
		}
	default:
		return nil, fmt.Errorf("read %s: %w", note, err)
	}
	out.Squashed = len(state.Squashed) > 0
	return out, nil
}

// unpackState is kept beside an unpacked root.
type unpackState struct {
	Squashed []int `json:"squashed,omitempty"` // ids that are root's now, ascending
	Skipped  int   `json:"skipped,omitempty"`  // device files that could not be made
}

// lockRoot has one caller at a time unpack into dir.
func (s *Store) lockRoot(dir string) (unlock func()) {
	s.mu.Lock()
	m := s.roots[dir]
	if m == nil {
		m = &sync.Mutex{}
		s.roots[dir] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func (s *Store) unpackTo(ctx context.Context, img *Image, dir string) (state unpackState, err error) {
	if err := os.RemoveAll(dir); err != nil { // what an earlier try left
		return state, err
	}
	defer func() { err = errors.Join(err, cleanup(dir, err)) }()
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return state, err
	}
	loaded, err := img.entry.load()
	if err != nil {
		return state, err
	}
	layers, err := loaded.Layers()
	if err != nil {
		return state, err
	}
	u, err := newUnpacker(root, s.o.MaxSize)
	if err != nil {
		return state, err
	}
	defer u.close()
	for i, layer := range layers {
		if err := ctx.Err(); err != nil {
			return state, err
		}
		r, err := layer.Uncompressed()
		if err != nil {
			return state, fmt.Errorf("read layer %d: %w", i, err)
		}
		err = errors.Join(u.apply(ctx, r), r.Close())
		if err != nil {
			return state, fmt.Errorf("unpack layer %d: %w", i, err)
		}
	}
	state = u.state()
	data, err := json.Marshal(state)
	if err != nil {
		return state, err
	}
	return state, os.WriteFile(filepath.Join(dir, "unpacked.json"), data, 0o644)
}

// cleanup removes what an unpacking that failed has left, which may be as large as
// the bound.
func cleanup(dir string, failed error) error {
	if failed == nil {
		return nil
	}
	return os.RemoveAll(dir)
}
