package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var date = time.Unix(1700000000, 0).UTC()

// TestPack packs the same files from two folders whose files differ in what an archive
// must not show: date, owner's mode bits, order of creation.
func TestPack(t *testing.T) {
	for _, ext := range []string{".tar", ".zip"} {
		t.Run(ext, func(t *testing.T) {
			one := packed(t, ext, 0o700, "bin/a", "share/b")
			two := packed(t, ext, 0o755, "share/b", "bin/a")
			if !bytes.Equal(one, two) {
				t.Error("the same files give different archives")
			}
		})
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(packed(t, ".tar", 0o700, "share/b", "bin/a"))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if h.Name == "netdojo/bin/a" && (h.Mode != 0o755 || !h.ModTime.Equal(date)) {
			t.Errorf("%s has mode %o and date %s", h.Name, h.Mode, h.ModTime)
		}
	}
	want := []string{"netdojo/", "netdojo/bin/", "netdojo/bin/a", "netdojo/share/", "netdojo/share/b"}
	if !slices.Equal(names, want) {
		t.Errorf("the archive holds %v, want %v", names, want)
	}
}

func packed(t *testing.T, ext string, mode os.FileMode, files ...string) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "netdojo")
	for _, f := range files {
		file := filepath.Join(dir, f)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(f), mode)); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(t.TempDir(), "a"+ext)
	if err := pack(dir, archive, date); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPackRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := pack(dir, filepath.Join(t.TempDir(), "a.tar"), date); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a link is packed: %v", err)
	}
	if err := pack(dir, filepath.Join(t.TempDir(), "a.rar"), date); err == nil {
		t.Error("an unknown form of archive is no error")
	}
}

// TestDocs wants a man page for a command below another, dates of the release alone, and
// the default provider of the system.
func TestDocs(t *testing.T) {
	for system, provider := range map[string]string{"linux": "embedded", "darwin": "kind"} {
		one, two := t.TempDir(), t.TempDir()
		if err := errors.Join(docs(system, one, date), docs(system, two, date)); err != nil {
			t.Fatal(err)
		}
		if a, b := contents(t, one), contents(t, two); a != b {
			t.Errorf("%s: written twice the pages differ", system)
		}
		page, err := os.ReadFile(filepath.Join(one, "share/man/man1/netdojo-lab-lint.1"))
		if err != nil || !bytes.Contains(page, []byte("Nov 2023")) {
			t.Errorf("%s: the man page of lab lint has not the release's date: %v\n%s", system, err, page)
		}
		up, err := os.ReadFile(filepath.Join(one, "share/man/man1/netdojo-up.1"))
		if err != nil || !bytes.Contains(up, []byte(`--provider\fP="`+provider+`"`)) {
			t.Errorf("%s: the man page of up does not name %s as the default: %v\n%s", system, provider, err, up)
		}
		for _, file := range []string{
			"share/bash-completion/completions/netdojo", "share/zsh/site-functions/_netdojo",
			"share/fish/vendor_completions.d/netdojo.fish", "share/netdojo/netdojo.ps1",
		} {
			if data, err := os.ReadFile(filepath.Join(one, file)); err != nil || !bytes.Contains(data, []byte("__complete")) {
				t.Errorf("%s: %s completes nothing: %v", system, file, err)
			}
		}
	}
}

func contents(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := walk(dir, func(name string, _ os.FileMode, _ int64) (io.Writer, error) {
		// The folder's own name is the test's.
		_, below, _ := strings.Cut(name, "/")
		out.WriteString(below + "\n")
		return &out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestNotices reads what this test's own program links.
func TestNotices(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "licences")
	if err := notices(file, []string{self, self}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"==== Go: LICENSE", "==== github.com/spf13/cobra@", "Apache License"} {
		if n := strings.Count(string(text), want); n == 0 || strings.HasPrefix(want, "====") && n != 1 {
			t.Errorf("%q is there %d times", want, n)
		}
	}
	if err := addLicences(new(bytes.Buffer), "none", t.TempDir()); err == nil {
		t.Error("a module without a licence is no error")
	}
}
