package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func members(t *testing.T, l Layer) map[string]*tar.Header {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	found := map[string]*tar.Header{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[h.Name] != nil {
			t.Errorf("%s is there twice", h.Name)
		}
		found[h.Name] = h
	}
}

func TestFiles(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := Files(
		File{Path: "tmp/", Mode: 0o1777},
		File{Path: "usr/bin/a", Source: source, Mode: 0o755},
		File{Path: "usr/bin/b", Link: "a"},
		File{Path: "tmp/c", Data: []byte("xyz")},
	)
	got := members(t, l)
	for name, want := range map[string]struct {
		kind byte
		mode int64
		size int64
		link string
	}{
		"tmp/": {tar.TypeDir, 0o1777, 0, ""}, "usr/": {tar.TypeDir, 0o755, 0, ""}, "usr/bin/": {tar.TypeDir, 0o755, 0, ""},
		"usr/bin/a": {tar.TypeReg, 0o755, 11, ""}, "usr/bin/b": {tar.TypeSymlink, 0o777, 0, "a"}, "tmp/c": {tar.TypeReg, 0o644, 3, ""},
	} {
		h := got[name]
		if h == nil || h.Typeflag != want.kind || h.Mode != want.mode || h.Size != want.size || h.Linkname != want.link {
			t.Errorf("%s is %+v, want %+v", name, h, want)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d members", len(got))
	}
	if r, err := Files(File{Path: "x", Source: "/nowhere"}).Uncompressed(); err == nil {
		if _, err := io.ReadAll(r); err == nil {
			t.Error("a file that is not there is no error")
		}
	}
}

// TestBuildAndWrite: what is built can be loaded, under all its names, and is
// the same each time.
func TestBuildAndWrite(t *testing.T) {
	build := func() v1.Image {
		t.Helper()
		img, err := Build(Config{Entrypoint: []string{"/run"}, User: "7", StopSignal: "SIGQUIT"},
			TarBytes(tarOf(t, file{name: "base", text: "below"})),
			Files(File{Path: "run", Data: []byte("#!/bin/sh\n"), Mode: 0o755}))
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	img := build()
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := build().ConfigName(); err != nil || again != id {
		t.Errorf("built again it is %s, not %s (%v)", again, id, err)
	}
	var archive bytes.Buffer
	if err := Write(&archive, map[string]v1.Image{"docker.io/netdojo/one:1": img, "registry.example/two:2": img}); err != nil {
		t.Fatal(err)
	}
	store, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(context.Background(), &archive); err != nil {
		t.Fatal(err)
	}
	loaded, err := store.Resolve("netdojo/one:1")
	if err != nil {
		t.Fatal(err)
	}
	if loaded.ID != id.String() || !slices.Equal(loaded.Config.Entrypoint, []string{"/run"}) || loaded.Config.User != "7" || len(loaded.Tags) != 2 {
		t.Errorf("loaded as %+v", loaded)
	}
	root, err := store.Root(context.Background(), loaded)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(root.Dir, "base")); err != nil || string(text) != "below" {
		t.Errorf("base holds %q (%v)", text, err)
	}
	full, back, err := store.Image("netdojo/one:1")
	if err != nil || full != "docker.io/netdojo/one:1" {
		t.Fatalf("the store gives %s, %v", full, err)
	}
	if backID, err := back.ConfigName(); err != nil || backID != id {
		t.Errorf("the store gives %s, %v", backID, err)
	}
	if _, _, err := store.Image("curlimages/curl"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a stand-in is no image of the store: %v", err)
	}
}

func TestStandInLayer(t *testing.T) {
	helper := filepath.Join(t.TempDir(), "netdojo-helper")
	if err := os.WriteFile(helper, []byte("helper"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, in := range StandIns() {
		l, err := in.StandInLayer(helper)
		if in.Program == CoreDNSProgram || in.Program == CiliumProgram {
			if err == nil {
				t.Error("CoreDNS has a stand-in outside of the embedded cluster")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", in.Name, err)
			continue
		}
		got := members(t, l)
		if got["etc/passwd"] == nil || got["usr/bin/ash"] == nil || got["tmp/"] == nil || got["tmp/"].Mode != 0o1777 {
			t.Errorf("%s lacks what every root has: %v", in.Name, got)
		}
		if has := got["netdojo-helper"] != nil; has != (in.Program == HelperProgram) {
			t.Errorf("%s has the helper: %v", in.Name, has)
		}
		for name := range in.Files {
			if got[name] == nil {
				t.Errorf("%s lacks %s", in.Name, name)
			}
		}
		if _, err := in.StandInLayer(""); (err != nil) != (in.Program == HelperProgram) {
			t.Errorf("%s without a helper: %v", in.Name, err)
		}
	}
}
