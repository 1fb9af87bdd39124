package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is an entry of a layer: a link when Link is set, a folder when Path ends
// in a slash, else a file with the contents of Source on this machine, or Data.
type File struct {
	Path   string // relative to the root
	Mode   int64  // permission bits; 0 means 0755 for folders and 0644 for files
	Data   []byte
	Source string
	Link   string
}

// Layer is a part of an image's root: a tar that can be read more than once.
type Layer func() (io.ReadCloser, error)

// Uncompressed opens the tar.
func (l Layer) Uncompressed() (io.ReadCloser, error) { return l() }

// TarFile is the layer that a tar on this machine holds.
func TarFile(path string) Layer {
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

// TarBytes is the layer that a tar in memory holds.
func TarBytes(data []byte) Layer {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// Files is a layer of files in the given order, the folders above them made
// where they are not given. Equal files make equal layers.
func Files(files ...File) Layer {
	return func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeFiles(w, files)) }()
		return r, nil
	}
}

func writeFiles(w io.Writer, files []File) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	var folders func(dir string) error
	folders = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		if err := folders(path.Dir(dir)); err != nil {
			return err
		}
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
	}
	for _, f := range files {
		if err := folders(path.Dir(strings.TrimSuffix(f.Path, "/"))); err != nil {
			return err
		}
		if err := writeEntry(t, f, made); err != nil {
			return fmt.Errorf("add %s to a layer: %w", f.Path, err)
		}
	}
	return t.Close()
}

func writeEntry(t *tar.Writer, f File, made map[string]bool) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, ModTime: time.Unix(0, 0)}
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		return t.WriteHeader(h)
	case strings.HasSuffix(f.Path, "/"):
		h.Typeflag = tar.TypeDir
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		made[strings.TrimSuffix(f.Path, "/")] = true
		return t.WriteHeader(h)
	}
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	var in io.Reader = bytes.NewReader(f.Data)
	h.Size = int64(len(f.Data))
	if f.Source != "" {
		file, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		in, h.Size = file, info.Size()
	}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(t, in)
	return err
}

// Build makes an image of layers, the lowest first, for this machine's
// architecture. Its layers are not zipped: it is meant to be loaded here.
func Build(config Config, layers ...Layer) (v1.Image, error) {
	p := &plain{layers: map[v1.Hash]plainLayer{}}
	file := v1.ConfigFile{
		Architecture: platform().Architecture, OS: platform().OS,
		Config: v1.Config{
			Entrypoint: config.Entrypoint, Cmd: config.Cmd, Env: config.Env,
			User: config.User, WorkingDir: config.WorkingDir, StopSignal: config.StopSignal,
		},
		RootFS: v1.RootFS{Type: "layers"},
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for _, l := range layers {
		r, err := l()
		if err != nil {
			return nil, fmt.Errorf("build an image: %w", err)
		}
		diff, size, err := v1.SHA256(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("build an image: %w", err)
		}
		p.layers[diff] = plainLayer{layer: l, diff: diff, size: size}
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, diff)
		file.History = append(file.History, v1.History{CreatedBy: "netdojo"})
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: diff, Size: size})
	}
	var err error
	if p.config, err = json.Marshal(file); err != nil {
		return nil, fmt.Errorf("build an image: %w", err)
	}
	hash, size, err := v1.SHA256(bytes.NewReader(p.config))
	if err != nil {
		return nil, fmt.Errorf("build an image: %w", err)
	}
	m.Config = v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: hash, Size: size}
	if p.manifest, err = json.Marshal(m); err != nil {
		return nil, fmt.Errorf("build an image: %w", err)
	}
	return partial.CompressedToImage(p)
}

// Write writes images by name as one archive, which `docker load`, kind and
// containerd take. Layers that images share are in it once.
func Write(w io.Writer, images map[string]v1.Image) error {
	tagged := map[name.Tag]v1.Image{}
	for ref, img := range images {
		tag, err := name.NewTag(ref)
		if err != nil {
			return fmt.Errorf("write an archive: %w", err)
		}
		tagged[tag] = img
	}
	if err := tarball.MultiWrite(tagged, w); err != nil {
		return fmt.Errorf("write an archive: %w", err)
	}
	return nil
}

// StandInLayer are the files of a stand-in's own, without the programs of the
// machine that an embedded cluster shows it: these come from a layer below. The
// helper is the path of netdojo-helper on this machine.
func (s *StandIn) StandInLayer(helper string) (Layer, error) {
	var files []File
	dirs := make([]string, 0, len(skeletonDirs))
	for dir := range skeletonDirs {
		if !strings.HasPrefix(dir, "usr/") {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		mode := int64(skeletonDirs[dir].Perm())
		if skeletonDirs[dir]&os.ModeSticky != 0 {
			mode |= 0o1000
		}
		files = append(files, File{Path: dir + "/", Mode: mode})
	}
	for _, dir := range s.Dirs {
		files = append(files, File{Path: dir + "/", Mode: 0o777})
	}
	for _, set := range []map[string]string{skeletonFiles, s.Files} {
		for _, name := range sortedKeys(set) {
			mode := int64(0)
			if strings.HasPrefix(set[name], "#!") {
				mode = 0o755
			}
			files = append(files, File{Path: name, Data: []byte(set[name]), Mode: mode})
		}
	}
	// Below lies a merged /usr, as Debian has it: /bin is /usr/bin.
	files = append(files, File{Path: "usr/bin/ash", Link: "sh"})
	for _, name := range sortedKeys(s.Links) {
		files = append(files, File{Path: name, Link: s.Links[name]})
	}
	switch s.Program {
	case HelperProgram:
		if helper == "" {
			return nil, fmt.Errorf("make the stand-in %s: netdojo-helper is not given", s.Name)
		}
		files = append(files, File{Path: helperPath, Source: helper, Mode: 0o755})
	case CoreDNSProgram, CiliumProgram:
		return nil, fmt.Errorf("make the stand-in %s: only an embedded cluster has it", s.Name)
	}
	return Files(files...), nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
