//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzUnpack unpacks a layer of two entries and then an arbitrary one. Whatever
// they are, a file beside the root stays as it is.
func FuzzUnpack(f *testing.F) {
	f.Add("out", "../beside", byte(tar.TypeSymlink), "out/file", "", byte(tar.TypeReg), []byte("x"))
	f.Add("a/../../beside/file", "", byte(tar.TypeReg), ".wh...", "", byte(tar.TypeReg), []byte{})
	f.Add("d", "..", byte(tar.TypeSymlink), "d/beside/.wh.file", "", byte(tar.TypeReg), []byte("no tar"))
	f.Add("d", "/", byte(tar.TypeSymlink), "x", "d/beside/file", byte(tar.TypeLink), []byte{})
	f.Fuzz(func(t *testing.T, name1, link1 string, kind1 byte, name2, link2 string, kind2 byte, raw []byte) {
		dir := t.TempDir()
		victim := filepath.Join(dir, "beside", "file")
		root := filepath.Join(dir, "root")
		for _, d := range []string{filepath.Dir(victim), root} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(victim, []byte("safe"), 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := newUnpacker(root, DefaultMaxSize)
		if err != nil {
			t.Fatal(err)
		}
		defer u.close()
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		for _, h := range []*tar.Header{
			{Name: name1, Linkname: link1, Typeflag: kind1, Mode: 0o777},
			{Name: name2, Linkname: link2, Typeflag: kind2, Mode: 0o777},
		} {
			if err := tw.WriteHeader(h); err != nil {
				return // no such archive can be made
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		// Refusing is as good as unpacking: what counts is what is left outside.
		for _, layer := range [][]byte{buf.Bytes(), raw} {
			if err := u.apply(t.Context(), bytes.NewReader(layer)); err != nil {
				t.Log(err)
			}
		}
		info, err := os.Stat(victim)
		if err != nil {
			t.Fatalf("the file beside is gone: %v", err)
		}
		if data, err := os.ReadFile(victim); err != nil || string(data) != "safe" || info.Mode().Perm() != 0o600 {
			t.Fatalf("the file beside is %q, %v, %v", data, info, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Fatalf("made beside the root: %v, %v", entries, err)
		}
	})
}
