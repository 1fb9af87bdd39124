package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// annotationName is where a layout's index keeps an image's full name.
const annotationName = "org.opencontainers.image.ref.name"

// Options say where a store keeps things. Only Dir is needed to load and list.
type Options struct {
	// Dir is the OCI image layout that Load and Pull write to; made when missing. Its
	// lock lies beside it, as Dir.lock. Empty is a store that only reads.
	Dir    string
	Shared []string // further layouts, only read and not locked, looked up after Dir
	Roots  string   // where images are unpacked; empty: Dir/roots
	// Fetch gets an image into one of Shared: how a store without Dir pulls.
	Fetch func(ctx context.Context, ref string, auth Auth) error

	HostRoot string // whose programs stand-ins use; empty: /
	Helper   string // path of netdojo-helper; stand-in servers need it
	CoreDNS  string // path of netdojo-coredns; without it CoreDNS has no stand-in
	Cilium   string // path of netdojo-cilium, for the stand-in of Cilium's agent

	// CA gives further certificates, as PEM, that the clients of stand-ins trust; nil or
	// empty: none. It is asked when a stand-in is made.
	CA func() []byte

	Transport   http.RoundTripper // to registries; nil: the default one
	PullTimeout time.Duration     // 0: 15 s without an answer of the registry

	MaxSize int64 // bytes of an image, unpacked; 0: DefaultMaxSize
}

// Store is a set of images. It is safe for concurrent use, by processes too.
type Store struct {
	o  Options
	mu sync.Mutex
	// used maps an identifier to the stand-in that was asked for; guarded by mu.
	used map[string]*Image
	// roots has a lock for each root that is unpacked; guarded by mu.
	roots map[string]*sync.Mutex
	// skeletons has the roots of stand-ins that this store made; guarded by mu.
	skeletons map[string]*Root
}

// Open returns the store at o.Dir, made when it is missing.
func Open(o Options) (*Store, error) {
	if o.Roots == "" {
		o.Roots = filepath.Join(o.Dir, "roots")
	}
	if o.HostRoot == "" {
		o.HostRoot = "/"
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.PullTimeout == 0 {
		o.PullTimeout = 15 * time.Second
	}
	s := &Store{o: o, used: map[string]*Image{}, roots: map[string]*sync.Mutex{}, skeletons: map[string]*Root{}}
	if o.Dir == "" {
		return s, nil
	}
	if err := s.make(); err != nil {
		return nil, fmt.Errorf("make the image store: %w", err)
	}
	if err := Check(o.Dir); err != nil {
		return nil, err
	}
	s.sweep()
	return s, nil
}

// make makes the layout unless it is there.
func (s *Store) make() error {
	if err := os.MkdirAll(s.o.Dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(s.o.Dir, "index.json")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.locked(func() error {
		_, err := layout.Write(s.o.Dir, empty.Index)
		return err
	})
}

// locked runs f while no other process changes the store, and lets the nodes of all
// clusters, whose users are others, read what f wrote.
func (s *Store) locked(f func() error) error {
	unlock, err := lockFile(lockOf(s.o.Dir), true)
	if err != nil {
		return fmt.Errorf("lock the image store: %w", err)
	}
	defer unlock()
	return errors.Join(f(), letRead(s.o.Dir))
}

// lockOf is beside the layout: who may only read that could else hold the lock for ever.
func lockOf(dir string) string { return filepath.Clean(dir) + ".lock" }

// dirs are all layouts in the order of look-up.
func (s *Store) dirs() []string {
	if s.o.Dir == "" {
		return s.o.Shared
	}
	return append([]string{s.o.Dir}, s.o.Shared...)
}

// entry is one image of a layout's index.
type entry struct {
	dir  string
	name string // full name; may be empty
	desc v1.Descriptor
}

// entries reads the indexes of all layouts.
func (s *Store) entries() ([]entry, error) {
	var all []entry
	for _, dir := range s.dirs() {
		index, err := s.readIndex(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read image store: %w", err)
		}
		for _, d := range index.Manifests {
			all = append(all, entry{dir: dir, name: d.Annotations[annotationName], desc: d})
		}
	}
	return all, nil
}

// load reads the image of an entry, after a look at the sizes and kinds of its
// files.
func (e entry) load() (v1.Image, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	p, err := layout.FromPath(e.dir)
	if err != nil {
		return nil, err
	}
	return p.Image(e.desc.Digest)
}

// check refuses files that no store has: too large to be read at once, or links
// and pipes in the place of files.
func (e entry) check() error {
	path := blobPath(e.dir, e.desc.Digest)
	data, err := readSmall(path)
	if err != nil {
		return &CorruptError{Path: path, Err: err}
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return &CorruptError{Path: path, Err: err}
	}
	if err := checkManifest(m, math.MaxInt64); err != nil { // they are here already
		return err
	}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		path := blobPath(e.dir, d.Digest)
		info, err := os.Lstat(path)
		switch {
		case err == nil && !info.Mode().IsRegular():
			err = errors.New("it is not a regular file")
		case err == nil && d.Digest == m.Config.Digest && info.Size() > maxJSON:
			err = &TooLargeError{What: "the file is too large", Bound: sizeName(maxJSON)}
		}
		if err != nil {
			return &CorruptError{Path: path, Err: err}
		}
	}
	return nil
}

func blobPath(dir string, h v1.Hash) string {
	return filepath.Join(dir, "blobs", h.Algorithm, h.Hex)
}

// describe reads an entry as an Image.
func (e entry) describe() (*Image, error) {
	img, err := e.load()
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", e.name, err)
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", e.name, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration of %s: %w", e.name, err)
	}
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	out := &Image{
		Info:   Info{ID: m.Config.Digest.String(), Digest: e.desc.Digest.String(), Size: size},
		Config: configOf(file.Config),
		Ref:    e.name,
		entry:  e,
	}
	if e.name != "" {
		out.Tags = []string{e.name}
		if r, err := parse(e.name); err == nil {
			out.Digests = []string{r.repo + "@" + out.Digest}
		}
	}
	return out, nil
}

func configOf(c v1.Config) Config {
	return Config{Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal}
}

// List returns the images of the store and the stand-ins in use, by name. An
// image under several names is listed once.
func (s *Store) List() ([]Info, error) {
	images, err := s.images()
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(images))
	for _, img := range images {
		infos = append(infos, img.Info)
	}
	return infos, nil
}

// Images is List with what each image says about its command.
func (s *Store) Images() ([]*Image, error) { return s.images() }

func (s *Store) images() ([]*Image, error) {
	entries, err := s.entries()
	if err != nil {
		return nil, err
	}
	byID := map[string]*Image{}
	var out []*Image
	for _, e := range entries {
		img, err := e.describe()
		if err != nil {
			return nil, err
		}
		if have := byID[img.ID]; have != nil {
			have.Tags = appendNew(have.Tags, img.Tags...)
			have.Digests = appendNew(have.Digests, img.Digests...)
			continue
		}
		byID[img.ID] = img
		out = append(out, img)
	}
	s.mu.Lock()
	for _, img := range s.used {
		out = append(out, img.clone())
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b *Image) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

func (i *Image) clone() *Image {
	c := *i
	c.Tags, c.Digests = slices.Clone(i.Tags), slices.Clone(i.Digests)
	return &c
}

func appendNew(list []string, more ...string) []string {
	for _, m := range more {
		if !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// Resolve finds an image by name or identifier, in the store and then among
// the stand-ins. An image that is neither is a *NotFoundError.
func (s *Store) Resolve(ref string) (*Image, error) {
	if id, ok := isID(ref); ok {
		return s.byID(ref, id)
	}
	r, err := parse(ref)
	if err != nil {
		return nil, err
	}
	entries, err := s.entries()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.matches(r) {
			continue
		}
		img, err := e.describe()
		if err != nil {
			return nil, err
		}
		return s.withAllNames(img), nil
	}
	return s.standInFor(ref, r)
}

func (e entry) matches(r reference) bool {
	if r.digest == "" {
		return e.name == r.String()
	}
	named, err := parse(e.name)
	return err == nil && named.repo == r.repo && e.desc.Digest.String() == r.digest
}

func (s *Store) byID(ref, id string) (*Image, error) {
	images, err := s.images()
	if err != nil {
		return nil, err
	}
	for _, img := range images {
		if img.ID == id {
			return img, nil
		}
	}
	return nil, &NotFoundError{Ref: ref}
}

// withAllNames adds the other names of the same image.
func (s *Store) withAllNames(img *Image) *Image {
	all, err := s.byID(img.Ref, img.ID)
	if err != nil {
		return img
	}
	all.Ref = img.Ref
	return all
}

// Remove takes an image out of the store under all its names, with the blobs
// that no other image has. What is not there is no error, and a stand-in is
// only forgotten: it is always there.
func (s *Store) Remove(ref string) error {
	img, err := s.Resolve(ref)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.used, img.ID)
	s.mu.Unlock()
	if img.standIn != nil {
		return nil
	}
	if s.o.Dir == "" {
		return os.RemoveAll(s.rootDir(img)) // the image is not this store's to remove
	}
	entries, err := s.entries()
	if err != nil {
		return err
	}
	gone := map[v1.Hash]bool{}
	for _, e := range entries {
		if e.dir != s.o.Dir {
			continue
		}
		if other, err := e.describe(); err == nil && other.ID == img.ID {
			gone[e.desc.Digest] = true
		}
	}
	err = s.locked(func() error {
		err := changeIndex(s.o.Dir, func(m *v1.IndexManifest) {
			m.Manifests = slices.DeleteFunc(m.Manifests, func(d v1.Descriptor) bool { return gone[d.Digest] })
		})
		if err != nil {
			return err
		}
		return collectBlobs(s.o.Dir)
	})
	if err != nil {
		return fmt.Errorf("remove image %s: %w", ref, err)
	}
	return os.RemoveAll(s.rootDir(img))
}

// add puts img into the store under a full name.
func (s *Store) add(ctx context.Context, img v1.Image, fullName string) (*Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", fullName, err)
	}
	m, err := img.Manifest()
	if err == nil {
		err = checkManifest(m, s.o.MaxSize)
	}
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", fullName, err)
	}
	err = s.locked(func() error {
		p, err := layout.FromPath(s.o.Dir)
		if err != nil {
			return err
		}
		if err := p.WriteImage(img); err != nil {
			return errors.Join(err, collectBlobs(s.o.Dir)) // what was written may be damaged
		}
		d, err := partial.Descriptor(img)
		if err != nil {
			return err
		}
		if fullName != "" {
			d.Annotations = map[string]string{annotationName: fullName}
		}
		return changeIndex(s.o.Dir, func(m *v1.IndexManifest) {
			m.Manifests = append(slices.DeleteFunc(m.Manifests, func(old v1.Descriptor) bool {
				name := old.Annotations[annotationName]
				return name == fullName && (name != "" || old.Digest == digest)
			}), *d)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("store image %s: %w", fullName, err)
	}
	entries, err := s.entries()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.dir == s.o.Dir && e.desc.Digest == digest && e.name == fullName {
			return e.describe()
		}
	}
	return nil, fmt.Errorf("store image %s: it is not there afterwards", fullName)
}

// platform is what this machine runs.
func platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

// Dir is the layout that Load and Pull write to.
func (s *Store) Dir() string { return s.o.Dir }

// Image returns an image of the store, with its full name. One that the store
// does not have is a *NotFoundError, whether it has a stand-in or not.
func (s *Store) Image(ref string) (fullName string, img v1.Image, err error) {
	r, err := parse(ref)
	if err != nil {
		return "", nil, err
	}
	entries, err := s.entries()
	if err != nil {
		return "", nil, err
	}
	for _, e := range entries {
		if e.matches(r) {
			img, err := e.load()
			if err != nil {
				return "", nil, fmt.Errorf("read image %s: %w", ref, err)
			}
			return r.String(), img, nil
		}
	}
	return r.String(), nil, &NotFoundError{Ref: ref}
}
