//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bounded is a store whose images may have a MiB.
func bounded(t *testing.T) *Store {
	t.Helper()
	s, err := Open(Options{Dir: filepath.Join(t.TempDir(), "images"), MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func zip(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if _, err := zw.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// zipped is a Docker archive whose layer is zipped once more: its configuration
// names the digest of what is in it.
func zipped(t *testing.T, layer []byte) []byte {
	t.Helper()
	manifest := `[{"Config": "config.json", "RepoTags": ["example.com/bomb:1"], "Layers": ["layer.tar"]}]`
	return tarOf(t, file{name: "config.json", text: string(configJSON(t, [][]byte{layer}, nil))},
		file{name: "layer.tar", text: string(zip(t, layer))}, file{name: "manifest.json", text: manifest})
}

// endless are gzip members without contents, for ever.
type endless struct{ member []byte }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.member), nil }

// TestBounds: each kind of archive that is larger than it looks is refused with
// the bound and a cure, and leaves nothing.
func TestBounds(t *testing.T) {
	zeros := strings.Repeat("\x00", 6<<20)
	big := tarOf(t, file{name: "zeros", text: zeros[:2<<20]})
	many := make([]string, maxImages+1)
	for i := range many {
		many[i] = fmt.Sprintf("example.com/many:%d", i)
	}
	deep := strings.Repeat("d/", maxPath/2) + "f"
	manyLayers, err := json.Marshal([]map[string]any{{"Config": "c", "RepoTags": []string{"a:1"}, "Layers": make([]string, maxLayers+1)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		archive io.Reader
		want    string
	}{
		"a zip of zeros":        {bytes.NewReader(zip(t, tarOf(t, file{name: "zeros", text: zeros}))), "at most 4 MiB"},
		"a large upload":        {bytes.NewReader(tarOf(t, file{name: "zeros", text: zeros})), "at most 4 MiB"},
		"a zip of nothing":      {endless{zip(t, nil)}, "at most 4 MiB"},
		"a zipped layer":        {bytes.NewReader(zipped(t, big)), "at most 1 MiB"},
		"a large layer":         {bytes.NewReader(ociArchive(t, "example.com/a:1", nil, big)), "at most 1 MiB"},
		"a large manifest":      {bytes.NewReader(tarOf(t, file{name: "manifest.json", text: "[" + zeros[:maxJSON-8192] + "]"})), "manifest"},
		"a configuration links": {bytes.NewReader(tarOf(t, file{name: "manifest.json", text: `[{"Config":"a","RepoTags":["a:1"],"Layers":[]}]`}, file{name: "a", kind: tar.TypeSymlink, link: "b"}, file{name: "b", kind: tar.TypeSymlink, link: "a"})), "without end"},
		"many names":            {bytes.NewReader(dockerArchive(t, many, nil)), "at most 256"},
		"many layers":           {bytes.NewReader(tarOf(t, file{name: "manifest.json", text: string(manyLayers)})), "at most 512"},
		"a long name":           {bytes.NewReader(tarOf(t, file{name: "manifest.json", text: "[]"}, file{name: deep})), "at most 4096"},
	} {
		t.Run(name, func(t *testing.T) {
			s := bounded(t)
			_, err := s.Load(t.Context(), tc.archive)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			var large *TooLargeError
			if errors.As(err, &large) && large.Cure() == "" {
				t.Error("no cure")
			}
			entries, err := os.ReadDir(s.o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), ".load-") {
					t.Errorf("left: %s", e.Name())
				}
			}
		})
	}
}

// TestUnpackBounds: what unpacks to more than it may is refused, and removed.
func TestUnpackBounds(t *testing.T) {
	var holes bytes.Buffer
	tw := tar.NewWriter(&holes)
	// A sparse file of 8 MiB that holds one byte, as GNU tar's version 0.1 has it.
	err := tw.WriteHeader(&tar.Header{Name: "holes", Typeflag: tar.TypeReg, Size: 1, Mode: 0o644, PAXRecords: map[string]string{
		"NET.sparse.size": "8388608", "NET.sparse.numblocks": "1", "NET.sparse.map": "0,1"}})
	if err == nil {
		_, err = tw.Write([]byte("x"))
	}
	if err = errors.Join(err, tw.Close()); err != nil {
		t.Fatal(err)
	}
	sparse := bytes.ReplaceAll(holes.Bytes(), []byte("NET.sparse"), []byte("GNU.sparse")) // Go's writer makes none
	for name, layers := range map[string][][]byte{
		"one layer":       {tarOf(t, file{name: "a", text: strings.Repeat("x", 2<<20)})},
		"layers together": {tarOf(t, file{name: "a", text: strings.Repeat("x", 600<<10)}), tarOf(t, file{name: "b", text: strings.Repeat("y", 600<<10)})},
		"a long name":     {tarOf(t, file{name: strings.Repeat("n", maxPath+1)})},
		"sparse":          {sparse},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "images")
			// It was loaded where images may be larger.
			large, err := Open(Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := large.Load(t.Context(), bytes.NewReader(dockerArchive(t, []string{"example.com/app:1"}, nil, layers...))); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Options{Dir: dir, MaxSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			img, err := s.Resolve("example.com/app:1")
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Root(t.Context(), img)
			var over *TooLargeError
			if !errors.As(err, &over) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(s.rootDir(img)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its root is left: %v", err)
			}
		})
	}
}

// TestCorruptStore: what is in the place of a store's files is named, with a cure,
// and nobody waits for it.
func TestCorruptStore(t *testing.T) {
	type fault func(t *testing.T, path string)
	text := func(s string) fault {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(to string) fault {
		return func(t *testing.T, path string) {
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	pipe := func(t *testing.T, path string) {
		if err := unix.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	layer := tarOf(t, file{name: "a", text: "1"})
	config := digestOf(configJSON(t, [][]byte{layer}, nil))
	for name, put := range map[string]fault{
		"junk": text("\x00junk"), "empty": text(""), "no object": text("[]"), "large": text(strings.Repeat(" ", maxJSON+1)),
		"a device": link("/dev/zero"), "a link": link("/etc/passwd"), "a pipe": pipe, "a folder": func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, at := range []string{"index.json", "blobs/sha256/" + digestOf(layer), "blobs/sha256/" + config} {
			isIndex := at == "index.json"
			if !isIndex && (name == "junk" || name == "empty" || name == "no object" || name == "large" && !strings.HasSuffix(at, config)) {
				continue // contents are judged when they are read
			}
			t.Run(name+" as "+at[:5], func(t *testing.T) {
				s := openStore(t)
				if _, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, []string{"example.com/app:1"}, nil, layer))); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(s.o.Dir, at)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				put(t, path)
				done := make(chan error, 1)
				go func() {
					again, err := Open(Options{Dir: s.o.Dir})
					if err == nil {
						_, err = again.Resolve("example.com/app:1")
					}
					done <- err
				}()
				select {
				case err := <-done:
					var corrupt *CorruptError
					if !errors.As(err, &corrupt) || corrupt.Path != path || !strings.Contains(corrupt.Cure(), "remove") {
						t.Errorf("got %v", err)
					}
				case <-time.After(20 * time.Second):
					t.Error("it waits")
				}
			})
		}
	}
}
