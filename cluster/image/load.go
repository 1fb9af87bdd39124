package image

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ErrNotAnArchive is a file that is neither a Docker nor an OCI image archive.
var ErrNotAnArchive error = notAnArchive{}

type notAnArchive struct{}

func (notAnArchive) Error() string { return "neither a Docker nor an OCI image archive" }

// Cure says how archives are made.
func (notAnArchive) Cure() string {
	return "make one with docker save, podman save, or skopeo copy … oci-archive:FILE"
}

// Load reads an image archive, Docker's or OCI's, plain or gzipped, into the
// store and returns the images that it held.
func (s *Store) Load(ctx context.Context, r io.Reader) ([]Info, error) {
	work, err := os.MkdirTemp(s.o.Dir, ".load-")
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, "archive.tar")
	if err := plainCopy(ctx, file, r); err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	names, err := tarNames(file)
	if err != nil {
		return nil, fmt.Errorf("load image: %w: %w", ErrNotAnArchive, err)
	}
	var infos []Info
	switch {
	case names["manifest.json"]:
		infos, err = s.loadDocker(ctx, file)
	case names["index.json"] && names["oci-layout"]:
		infos, err = s.loadOCI(ctx, file, filepath.Join(work, "oci"))
	default:
		err = ErrNotAnArchive
	}
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	return infos, nil
}

// plainCopy writes r, unzipped when it is gzipped, to path.
func plainCopy(ctx context.Context, path string, r io.Reader) error {
	in := bufio.NewReader(r)
	var src io.Reader = in
	if magic, err := in.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		zr, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("unzip: %w", err)
		}
		defer zr.Close()
		src = zr
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return src.Read(p)
	}))
	return errors.Join(err, f.Close())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func tarNames(path string) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := map[string]bool{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		names[filepath.Clean(h.Name)] = true
	}
	if len(names) == 0 {
		return nil, errors.New("it is empty")
	}
	return names, nil
}

func (s *Store) loadDocker(ctx context.Context, file string) ([]Info, error) {
	open := func() (io.ReadCloser, error) { return os.Open(file) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("read manifest.json: %w", err)
	}
	var infos []Info
	for _, m := range manifest {
		for _, tag := range m.RepoTags {
			parsed, err := name.NewTag(tag, name.WeakValidation)
			if err != nil {
				return nil, fmt.Errorf("read image name %q: %w", tag, err)
			}
			img, err := tarball.Image(open, &parsed)
			if err != nil {
				return nil, fmt.Errorf("read image %s: %w", tag, err)
			}
			full, err := Normalize(tag)
			if err != nil {
				return nil, err
			}
			stored, err := s.addPlain(ctx, img, full)
			if err != nil {
				return nil, err
			}
			infos = append(infos, stored.Info)
		}
	}
	if len(infos) > 0 {
		return infos, nil
	}
	if len(manifest) != 1 {
		return nil, errors.New("the archive's images have no names")
	}
	img, err := tarball.Image(open, nil)
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	stored, err := s.addPlain(ctx, img, "")
	if err != nil {
		return nil, err
	}
	return []Info{stored.Info}, nil
}

func (s *Store) addPlain(ctx context.Context, img v1.Image, fullName string) (*Image, error) {
	img, err := storePlain(img)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", fullName, err)
	}
	return s.add(ctx, img, fullName)
}

func (s *Store) loadOCI(ctx context.Context, file, dir string) ([]Info, error) {
	if err := extract(file, dir); err != nil {
		return nil, err
	}
	p, err := layout.FromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	index, err := p.ImageIndex()
	if err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
	}
	var infos []Info
	for _, d := range m.Manifests {
		img, err := pick(index, d)
		if err != nil {
			return nil, err
		}
		if img == nil {
			continue
		}
		stored, err := s.add(ctx, img, archivedName(d))
		if err != nil {
			return nil, err
		}
		infos = append(infos, stored.Info)
	}
	if len(infos) == 0 {
		return nil, fmt.Errorf("the archive has no image for %s", platform())
	}
	return infos, nil
}

// archivedName is the full name that an OCI archive gives an image, or "".
func archivedName(d v1.Descriptor) string {
	for _, key := range []string{"io.containerd.image.name", annotationName} {
		n := d.Annotations[key]
		// A bare tag, as some tools write, names nothing.
		if n == "" || key == annotationName && !looksLikeName(n) {
			continue
		}
		if full, err := Normalize(n); err == nil {
			return full
		}
	}
	return ""
}

func looksLikeName(s string) bool {
	for _, c := range s {
		if c == '/' || c == ':' {
			return true
		}
	}
	return false
}

// pick returns the image of a descriptor that this machine can run, nil when
// it has none (another platform, an attestation).
func pick(index v1.ImageIndex, d v1.Descriptor) (v1.Image, error) {
	switch {
	case d.MediaType.IsIndex():
		inner, err := index.ImageIndex(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("read index %s: %w", d.Digest, err)
		}
		m, err := inner.IndexManifest()
		if err != nil {
			return nil, fmt.Errorf("read index %s: %w", d.Digest, err)
		}
		for _, child := range m.Manifests {
			if img, err := pick(inner, child); img != nil || err != nil {
				return img, err
			}
		}
		return nil, nil
	case d.MediaType.IsImage():
		if d.Platform != nil && !d.Platform.Satisfies(platform()) {
			return nil, nil
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("read image %s: %w", d.Digest, err)
		}
		return img, nil
	}
	return nil, nil
}

// extract unpacks the files of an OCI archive; nothing leaves dir.
func extract(file, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(root, filepath.Clean(h.Name), tr); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func writeFile(root *os.Root, path string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := root.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
