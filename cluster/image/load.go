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
	if s.o.Dir == "" {
		return nil, errors.New("load image: this store only reads")
	}
	work, err := os.MkdirTemp(s.o.Dir, ".load-")
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, "archive.tar")
	whole := newBudget("the archive is too large, unzipped", archiveFactor*s.o.MaxSize)
	if err := plainCopy(ctx, file, r, whole); err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	found, err := tarContents(file)
	var tooLarge *TooLargeError
	if errors.As(err, &tooLarge) {
		return nil, fmt.Errorf("load image: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load image: %w: %w", ErrNotAnArchive, err)
	}
	var infos []Info
	switch {
	case found.has("manifest.json"):
		infos, err = s.loadDocker(ctx, file, found)
	case found.has("index.json") && found.has("oci-layout"):
		infos, err = s.loadOCI(ctx, file, filepath.Join(work, "oci"))
	default:
		err = ErrNotAnArchive
	}
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	return infos, nil
}

// plainCopy writes r, unzipped when it is gzipped, to path. Both forms are bounded:
// a zip of nothing has no end either.
func plainCopy(ctx context.Context, path string, r io.Reader, whole *budget) error {
	zipped := *whole
	in := bufio.NewReader(zipped.reader(r))
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
	_, err = io.Copy(f, whole.reader(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return src.Read(p)
	})))
	return errors.Join(err, f.Close())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// contents are a tar's files by name: their sizes, and what links lead to.
type contents struct {
	sizes map[string]int64
	links map[string]string
}

func (m contents) has(name string) bool {
	_, ok := m.sizes[name]
	return ok
}

// target is the file that a name leads to.
func (m contents) target(name string) (string, error) {
	at := filepath.Clean(name)
	for range maxDepth {
		to, link := m.links[at]
		if !link {
			return at, nil
		}
		at = to
	}
	return "", fmt.Errorf("%s in the archive is a link to links without end", name)
}

// small says whether a file can be read at once.
func (m contents) small(name string) error {
	at, err := m.target(name)
	if err == nil && m.sizes[at] > maxJSON {
		err = &TooLargeError{What: name + " in the archive is too large", Bound: sizeName(maxJSON)}
	}
	return err
}

// tarContents reads the names in a tar.
func tarContents(path string) (contents, error) {
	m := contents{map[string]int64{}, map[string]string{}}
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return m, err
		}
		name := filepath.Clean(h.Name)
		if len(name) > maxPath {
			return m, &TooLargeError{What: fmt.Sprintf("a name in the archive has %d bytes", len(name)), Bound: fmt.Sprint(maxPath)}
		}
		if len(m.sizes) >= maxEntries {
			return m, &TooLargeError{What: "the archive has too many files", Bound: fmt.Sprint(maxEntries)}
		}
		m.sizes[name] = h.Size
		if h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink {
			m.links[name] = filepath.Join(filepath.Dir(name), filepath.Clean(h.Linkname))
		}
	}
	if len(m.sizes) == 0 {
		return m, errors.New("it is empty")
	}
	return m, nil
}

func (s *Store) loadDocker(ctx context.Context, file string, m contents) ([]Info, error) {
	open := func() (io.ReadCloser, error) { return os.Open(file) }
	if err := m.small("manifest.json"); err != nil {
		return nil, err
	}
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("read manifest.json: %w", err)
	}
	if err := checkDocker(manifest, m); err != nil {
		return nil, err
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

// checkDocker looks at an archive's manifest before the images are read by it.
func checkDocker(manifest tarball.Manifest, m contents) error {
	names := 0
	for _, d := range manifest {
		names += max(len(d.RepoTags), 1)
		if names > maxImages {
			return &TooLargeError{What: "the archive has too many images", Bound: fmt.Sprint(maxImages)}
		}
		if len(d.Layers) > maxLayers {
			return &TooLargeError{What: fmt.Sprintf("an image has %d layers", len(d.Layers)), Bound: fmt.Sprint(maxLayers)}
		}
		if err := m.small(d.Config); err != nil {
			return err
		}
		for _, l := range d.Layers {
			if _, err := m.target(l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) addPlain(ctx context.Context, img v1.Image, fullName string) (*Image, error) {
	img, err := storePlain(img, newBudget("the image is too large, unzipped", s.o.MaxSize))
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", fullName, err)
	}
	return s.add(ctx, img, fullName)
}

func (s *Store) loadOCI(ctx context.Context, file, dir string) ([]Info, error) {
	if err := extract(file, dir); err != nil {
		return nil, err
	}
	if _, err := readSmall(filepath.Join(dir, "index.json")); err != nil {
		return nil, fmt.Errorf("read index.json: %w", err)
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
	if len(m.Manifests) > maxImages {
		return nil, &TooLargeError{What: "the archive has too many images", Bound: fmt.Sprint(maxImages)}
	}
	var infos []Info
	for _, d := range m.Manifests {
		img, err := pick(dir, index, d, maxDepth)
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
func pick(dir string, index v1.ImageIndex, d v1.Descriptor, depth int) (v1.Image, error) {
	switch {
	case d.MediaType.IsIndex():
		if depth == 0 {
			return nil, &TooLargeError{What: "the archive has indexes in indexes", Bound: fmt.Sprintf("%d deep", maxDepth)}
		}
		if _, err := readSmall(blobPath(dir, d.Digest)); err != nil {
			return nil, fmt.Errorf("read index %s: %w", d.Digest, err)
		}
		inner, err := index.ImageIndex(d.Digest)
		if err != nil {
			return nil, fmt.Errorf("read index %s: %w", d.Digest, err)
		}
		m, err := inner.IndexManifest()
		if err != nil {
			return nil, fmt.Errorf("read index %s: %w", d.Digest, err)
		}
		for _, child := range m.Manifests {
			if img, err := pick(dir, inner, child, depth-1); img != nil || err != nil {
				return img, err
			}
		}
		return nil, nil
	case d.MediaType.IsImage():
		if d.Platform != nil && !d.Platform.Satisfies(platform()) {
			return nil, nil
		}
		if err := (entry{dir: dir, desc: d}).check(); err != nil {
			return nil, fmt.Errorf("read image %s: %w", d.Digest, err)
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
