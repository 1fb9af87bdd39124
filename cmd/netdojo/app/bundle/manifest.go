package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Schema names the form of a bundle: a tar, gzipped, of the folder netdojo-bundle, whose
// first file is its manifest, followed by the files that this names, in its order.
const Schema = "netdojo.dev/bundle/v1"

const (
	schemaPrefix = "netdojo.dev/bundle/"
	rootName     = "netdojo-bundle/"
	manifestName = "bundle.json"
)

// Bounds of a bundle that is read.
const (
	maxManifest = 8 << 20
	maxFiles    = 20_000
	maxTotal    = 32 << 30 // bytes of all files together
	maxPath     = 240
)

// Manifest is what a bundle holds.
type Manifest struct {
	Schema   string   `json:"schema"`
	Netdojo  string   `json:"netdojo"`  // the version of its programs
	Platform string   `json:"platform"` // that its programs run on: OS/ARCHITECTURE
	Course   string   `json:"course"`   // its title
	Labs     []string `json:"labs"`     // ids, in the order of the course
	// Folder is where the course lies in the bundle; "" for the catalogue, which is in
	// the programs.
	Folder string   `json:"folder,omitempty"`
	Images []string `json:"images"` // full names
	Files  []File   `json:"files"`  // sorted by path
}

// File is a file of a bundle.
type File struct {
	Path       string `json:"path"` // below the bundle's folder, with slashes
	Size       int64  `json:"size"`
	SHA256     string `json:"sha256"` // in hexadecimal
	Executable bool   `json:"executable,omitempty"`
}

// BrokenError is a bundle that is not opened.
type BrokenError struct{ Name, Message, Advice string }

func (e *BrokenError) Error() string { return e.Name + ": " + e.Message }

// Cure says what to do about it.
func (e *BrokenError) Cure() string { return e.Advice }

// broken is a bundle that is not as it was written. What reads it adds its name.
func broken(format string, args ...any) error {
	return &BrokenError{
		Message: fmt.Sprintf(format, args...),
		Advice:  "copy it again from where it was made, or make it anew with netdojo bundle",
	}
}

// readManifest reads a manifest and holds it to what a bundle may have.
func readManifest(data []byte) (*Manifest, error) {
	var head struct {
		Schema  string `json:"schema"`
		Netdojo string `json:"netdojo"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, broken("its %s cannot be read: %v", manifestName, err)
	}
	switch {
	case !strings.HasPrefix(head.Schema, schemaPrefix):
		return nil, broken("it is no bundle of netdojo's: its %s is of the form %q", manifestName, head.Schema)
	case head.Schema != Schema:
		return nil, &BrokenError{
			Message: fmt.Sprintf("it is of another netdojo, %s, and of the form %s", head.Netdojo, head.Schema),
			Advice:  "unpack it with tar and run its own install.sh, or make it with this netdojo",
		}
	}
	m := &Manifest{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, broken("its %s cannot be read: %v", manifestName, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, broken("something follows its %s", manifestName)
	}
	return m, m.check()
}

func (m *Manifest) check() error {
	if len(m.Files) == 0 || len(m.Files) > maxFiles {
		return broken("it names %d files, of at most %d", len(m.Files), maxFiles)
	}
	if m.Folder != "" && m.Folder != courseDir {
		return broken("its course lies in %q", m.Folder)
	}
	seen := map[string]bool{} // files and folders, by what systems without capitals call them
	files := map[string]bool{}
	var total int64
	before := ""
	for _, f := range m.Files {
		if why := unsafePath(f.Path); why != "" {
			return broken("the path %q in it %s", f.Path, why)
		}
		if f.Path <= before {
			return broken("the path %q in it comes twice or out of order", f.Path)
		}
		before = f.Path
		key := strings.ToLower(f.Path)
		if seen[key] {
			return broken("the path %q in it meets another", f.Path)
		}
		seen[key], files[key] = true, true
		for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return broken("the path %q in it is below a file", f.Path)
			}
			seen[dir] = true
		}
		if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != 32 {
			return broken("%s has no digest", f.Path)
		}
		if f.Size < 0 || f.Size > maxTotal-total {
			return broken("its files have more than %d GiB", maxTotal>>30)
		}
		total += f.Size
	}
	return nil
}

// tops are the files and folders that a bundle has.
var tops = []string{readmeName, installName, sumsName, programsDir, courseDir, imagesDir}

// unsafePath says what is wrong with a file's path; "" for nothing.
func unsafePath(p string) string {
	top, _, _ := strings.Cut(p, "/")
	switch {
	case !fs.ValidPath(p) || p == ".":
		return "leads out of the bundle, or is none"
	case len(p) > maxPath:
		return fmt.Sprintf("has more than %d bytes", maxPath)
	case strings.ContainsAny(p, `\:*?"<>|`) || strings.ContainsFunc(p, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }):
		return "has a character that no name of a bundle's has"
	case !slices.Contains(tops, top):
		return "is of none of a bundle's folders"
	}
	return ""
}
