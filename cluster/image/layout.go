package image

import (
	"path/filepath"
	"strings"
)

// Root is what a container's root is built of. All of it is only read.
type Root struct {
	Dir     string   // the folder below "/"
	Shadows []Shadow // the host's folders, with the stand-in's own files over them
	Binds   []Bind   // files and folders of the host, read-only
	// Squashed says that files belonged to users that have no place in this user
	// namespace and belong to root now.
	Squashed bool
}

// Shadow is a folder of the root that shows several, the first on top. Where
// folders cannot be laid over another, the last one alone has to do.
type Shadow struct {
	Target string // relative to the root: usr
	Lower  []string
}

// Bind shows Source at Destination.
type Bind struct{ Source, Destination string }

func (s *Store) rootDir(img *Image) string {
	return filepath.Join(s.o.Roots, strings.TrimPrefix(img.ID, "sha256:"))
}
