//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unpacked loads an image of these layers and returns its root.
func unpacked(t *testing.T, layers ...[]byte) (string, error) {
	t.Helper()
	s := openStore(t)
	if _, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, []string{"example.com/app:1"}, nil, layers...))); err != nil {
		t.Fatal(err)
	}
	img, err := s.Resolve("example.com/app:1")
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.Root(t.Context(), img)
	if err != nil {
		return "", err
	}
	again, err := s.Root(t.Context(), img)
	if err != nil || again.Dir != root.Dir {
		t.Errorf("the second time: %v, %v", again, err)
	}
	return root.Dir, nil
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel += "=" + string(data)
		}
		list = append(list, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestUnpack(t *testing.T) {
	dir := byte(tar.TypeDir)
	for title, tc := range map[string]struct {
		layers [][]file
		want   []string
	}{
		"later layers win": {[][]file{{{name: "a", text: "1"}, {name: "b", text: "1"}}, {{name: "a", text: "2"}}}, []string{"a=2", "b=1"}},
		"whiteout":         {[][]file{{{name: "d/a"}, {name: "d/b"}}, {{name: "d/.wh.a"}}}, []string{"d", "d/b="}},
		"whiteout of a folder, then made anew": {[][]file{{{name: "d/a"}}, {{name: ".wh.d"}, {name: "d", kind: dir}, {name: "d/c"}}},
			[]string{"d", "d/c="}},
		"opaque folder":                {[][]file{{{name: "d/a"}, {name: "d/s/b"}}, {{name: "d/c"}, {name: "d/.wh..wh..opq"}}}, []string{"d", "d/c="}},
		"file in place of a folder":    {[][]file{{{name: "d/a"}}, {{name: "d", text: "x"}}}, []string{"d=x"}},
		"folder in place of a file":    {[][]file{{{name: "d", text: "x"}}, {{name: "d", kind: dir}, {name: "d/a"}}}, []string{"d", "d/a="}},
		"hard link to an older layer":  {[][]file{{{name: "a", text: "1"}}, {{name: "b", kind: tar.TypeLink, link: "a"}}}, []string{"a=1", "b=1"}},
		"file below a link of folders": {[][]file{{{name: "usr/bin", kind: dir}, {name: "bin", kind: tar.TypeSymlink, link: "usr/bin"}}, {{name: "bin/a"}}}, []string{"bin", "usr", "usr/bin", "usr/bin/a="}},
		"absolute names":               {[][]file{{{name: "/a", text: "1"}, {name: "./b", text: "2"}}}, []string{"a=1", "b=2"}},
	} {
		t.Run(title, func(t *testing.T) {
			var layers [][]byte
			for _, l := range tc.layers {
				layers = append(layers, tarOf(t, l...))
			}
			root, err := unpacked(t, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, root); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestUnpackStaysInside(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for title, files := range map[string][]file{
		"dots":                  {{name: "../../../../../../../../.." + victim, text: "evil"}},
		"absolute link, file":   {{name: "out", kind: tar.TypeSymlink, link: outside}, {name: "out/victim", text: "evil"}},
		"relative link":         {{name: "out", kind: tar.TypeSymlink, link: strings.Repeat("../", 20) + outside}, {name: "out/victim", text: "evil"}},
		"hard link through one": {{name: "out", kind: tar.TypeSymlink, link: outside}, {name: "x", kind: tar.TypeLink, link: "out/victim"}},
		"whiteout through one":  {{name: "out", kind: tar.TypeSymlink, link: outside}, {name: "out/.wh.victim"}},
		"opaque through one":    {{name: "out", kind: tar.TypeSymlink, link: outside}, {name: "out/.wh..wh..opq"}},
		"whiteout of dots":      {{name: ".wh..."}},
	} {
		root, err := unpacked(t, tarOf(t, files...))
		if data, readErr := os.ReadFile(victim); readErr != nil || string(data) != "safe" {
			t.Fatalf("%s: the file outside is %q, %v", title, data, readErr)
		}
		if err != nil {
			continue
		}
		if st, err := os.Lstat(filepath.Join(root, "x")); err == nil && st.Sys().(*syscall.Stat_t).Nlink > 1 {
			t.Errorf("%s: linked to a file outside", title)
		}
	}
}

func TestUnpackOwnersAndModes(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	root, err := unpacked(t, tarOf(t,
		file{name: "d", kind: tar.TypeDir, mode: 0o1777, uid: 7, gid: 8},
		file{name: "d/f", mode: 0o4755, uid: 1000, gid: 100},
		file{name: "l", kind: tar.TypeSymlink, link: "d/f", uid: 3, gid: 4},
		file{name: "p", kind: tar.TypeFifo, mode: 0o600},
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		mode     fs.FileMode
		uid, gid uint32
	}{
		"d":   {fs.ModeDir | fs.ModeSticky | 0o777, 7, 8},
		"d/f": {fs.ModeSetuid | 0o755, 1000, 100},
		"l":   {fs.ModeSymlink | 0o777, 3, 4},
		"p":   {fs.ModeNamedPipe | 0o600, 0, 0},
	} {
		info, err := os.Lstat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if info.Mode() != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%s: %v %d:%d, want %+v", name, info.Mode(), st.Uid, st.Gid, want)
		}
	}
}

func TestSkeleton(t *testing.T) {
	s := openStore(t)
	for _, ref := range []string{"busybox", "nginx", "curlimages/curl", "registry.k8s.io/pause", "httpd"} {
		img, err := s.Resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		root, err := s.Root(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		if len(root.Shadows) == 0 || root.Shadows[0].Target != "usr" || len(root.Shadows[0].Lower) != 2 {
			t.Errorf("%s: shadows %v", ref, root.Shadows)
		}
		for path, mode := range map[string]fs.FileMode{
			"tmp": fs.ModeDir | fs.ModeSticky | 0o777, "root": fs.ModeDir | 0o700, "etc/passwd": 0o644, "usr/local/bin": fs.ModeDir | 0o755,
		} {
			info, err := os.Stat(filepath.Join(root.Dir, path))
			if err != nil || info.Mode() != mode {
				t.Errorf("%s: %s: %v, %v", ref, path, info, err)
			}
		}
		for name := range img.StandIn().Files {
			info, err := os.Stat(filepath.Join(root.Dir, name))
			if err != nil {
				t.Errorf("%s: %v", ref, err)
				continue
			}
			data, err := os.ReadFile(filepath.Join(root.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(string(data), "#!") != (info.Mode()&0o111 != 0) {
				t.Errorf("%s: %s has mode %v", ref, name, info.Mode())
			}
		}
	}
	if _, err := s.Root(t.Context(), &Image{Info: Info{ID: "sha256:none"}, Ref: "x"}); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("an image from nowhere: %v", err)
	}
}

func TestRemoveKeepsSharedBlobs(t *testing.T) {
	s := openStore(t)
	base, top := tarOf(t, file{name: "base"}), tarOf(t, file{name: "top"})
	for tag, layers := range map[string][][]byte{"example.com/one:1": {base}, "example.com/two:1": {base, top}} {
		if _, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, []string{tag}, nil, layers...))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Remove("example.com/one:1"); err != nil {
		t.Fatal(err)
	}
	img, err := s.Resolve("example.com/two:1")
	if err != nil {
		t.Fatal(err)
	}
	if root, err := s.Root(t.Context(), img); err != nil || !slices.Equal(tree(t, root.Dir), []string{"base=", "top="}) {
		t.Errorf("the other image: %v, %v", root, err)
	}
}
