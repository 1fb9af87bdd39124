package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	images "github.com/netdojo/netdojo/cluster/image"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cure"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/scaffold"
)

func written(t *testing.T, parts ...part) []byte {
	t.Helper()
	var out bytes.Buffer
	m := &Manifest{Netdojo: "1.0", Platform: "linux/amd64", Course: "A course", Labs: []string{"x"}, Images: []string{}}
	if err := writeTo(t.Context(), &out, m, parts); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func some() []part {
	return []part{
		text("bin/netdojo", true, []byte("a program")), text(readmeName, false, []byte("read me")),
		text("course/x/lab.yaml", false, bytes.Repeat([]byte("a lab\n"), 20_000)),
	}
}

func put(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "day.tar.gz")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestBundle writes one, which is the same from other orders of the same parts, and
// unpacks it.
func TestBundle(t *testing.T) {
	data := written(t, some()...)
	turned := some()
	slices.Reverse(turned)
	if !bytes.Equal(data, written(t, turned...)) {
		t.Error("the same parts make different bundles")
	}
	name, dir := put(t, data), filepath.Join(t.TempDir(), "here")
	if _, err := verify(t.Context(), name); err != nil {
		t.Error(err)
	}
	m, err := unpack(t.Context(), name, dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Netdojo != "1.0" || len(m.Files) != 4 {
		t.Errorf("it says %+v", m)
	}
	for name, mode := range map[string]fs.FileMode{"bin/netdojo": 0o100, "README": 0, "course/x/lab.yaml": 0, "SHA256SUMS": 0} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&0o100 != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(dir, sumsName))
	if err != nil || !strings.Contains(string(sums), digest("a program")+"  bin/netdojo\n") {
		t.Errorf("the sums are %s, %v", sums, err)
	}
	if _, err := unpack(t.Context(), name, dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a folder that is there: %v", err)
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// forged is a bundle with a manifest and entries of its own.
func forged(t *testing.T, manifest any, entries ...tar.Header) []byte {
	t.Helper()
	head, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	add := func(h tar.Header, data []byte) {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add(tar.Header{Name: rootName + manifestName, Typeflag: tar.TypeReg, Size: int64(len(head))}, head)
	for _, h := range entries {
		add(h, []byte("a program")[:h.Size])
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBroken: what is no whole bundle is refused with its name and a cure, and nothing of
// it stays.
func TestBroken(t *testing.T) {
	whole := written(t, some()...)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0x10
	file := func(path string) File { return File{Path: path, Size: 9, SHA256: digest("a program")} }
	manifest := func(files ...File) Manifest { return Manifest{Schema: Schema, Netdojo: "1.0", Files: files} }
	entry := func(path string) tar.Header { return tar.Header{Name: rootName + path, Typeflag: tar.TypeReg, Size: 9} }
	of := func(path string) []byte { return forged(t, manifest(file(path)), entry(path)) }
	link := tar.Header{Name: rootName + "bin/netdojo", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}
	sized := func(n int64) File { f := file("bin/netdojo"); f.Size = n; return f }
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":             {nil, "no gzipped file"},
		"a text":              {[]byte("hello, this is no bundle at all"), "no gzipped file"},
		"a tar of other":      {forgedTar(t), "no bundle of netdojo's"},
		"cut off early":       {whole[:200], "cut off"},
		"cut off in a file":   {whole[:len(whole)*2/3], "cut off"},
		"cut off at the end":  {whole[:len(whole)-4], "cut off at its end"},
		"a bit flipped":       {flipped, ""},
		"another form":        {forged(t, map[string]any{"schema": "netdojo.dev/bundle/v9", "netdojo": "9.1"}), "another netdojo, 9.1"},
		"no form":             {forged(t, map[string]any{"files": nil}), "no bundle of netdojo's"},
		"an unknown field":    {forged(t, map[string]any{"schema": Schema, "run": "rm"}), "cannot be read"},
		"no files":            {forged(t, manifest()), "names 0 files"},
		"above":               {of("../evil"), "leads out"},
		"above, later":        {of("course/../../evil"), "leads out"},
		"absolute":            {of("/etc/evil"), "leads out"},
		"a drive":             {of(`bin/C:\evil`), "character"},
		"an escape":           {of("bin/\x1b[2J"), "character"},
		"another folder":      {of("etc/evil"), "none of a bundle's folders"},
		"long":                {of("bin/" + strings.Repeat("a", maxPath)), "bytes"},
		"a link":              {forged(t, manifest(file("bin/netdojo")), link), "no regular file"},
		"twice":               {forged(t, manifest(file("bin/a"), file("bin/a"))), "twice"},
		"out of order":        {forged(t, manifest(file("bin/b"), file("bin/a"))), "order"},
		"the same on Windows": {forged(t, manifest(file("bin/A"), file("bin/a"))), "meets another"},
		"below a file":        {forged(t, manifest(file("bin/a"), file("bin/a/b"))), "below a file"},
		"huge":                {forged(t, manifest(sized(maxTotal+1))), "GiB"},
		"less than nothing":   {forged(t, manifest(sized(-1))), "GiB"},
		"no digest":           {forged(t, manifest(File{Path: "bin/netdojo", Size: 9, SHA256: "x"})), "no digest"},
		"another size":        {forged(t, manifest(sized(8)), entry("bin/netdojo")), "9 bytes, and not 8"},
		"another digest":      {forged(t, manifest(File{Path: "bin/netdojo", Size: 9, SHA256: digest("x")}), entry("bin/netdojo")), "its digest differs"},
		"another file":        {forged(t, manifest(file("bin/netdojo")), entry("bin/other")), "where bin/netdojo belongs"},
		"one too many":        {forged(t, manifest(file("bin/netdojo")), entry("bin/netdojo"), entry("bin/other")), "not named"},
		"one too few":         {forged(t, manifest(file("bin/netdojo"), file("bin/other")), entry("bin/netdojo")), "cut off before bin/other"},
	} {
		t.Run(name, func(t *testing.T) {
			file, dir := put(t, tc.data), filepath.Join(t.TempDir(), "here")
			for _, read := range []func() error{
				func() error { _, err := unpack(t.Context(), file, dir); return err },
				func() error { _, err := verify(t.Context(), file); return err },
			} {
				err := read()
				var b *BrokenError
				if !errors.As(err, &b) || b.Name != file || !strings.Contains(err.Error(), tc.want) || b.Advice == "" {
					t.Errorf("it says %v", err)
				}
				if exit.Code(refused(err)) != exit.Usage {
					t.Errorf("its code is %d", exit.Code(refused(err)))
				}
			}
			if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
				t.Errorf("there stays %v, %v", left, err)
			}
		})
	}
}

// forgedTar is a gzipped tar of something else.
func forgedTar(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o644}), w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMakeOfACourse bundles a course's folder with programs of another folder.
func TestMakeOfACourse(t *testing.T) {
	dir := t.TempDir()
	course, bin := filepath.Join(dir, "course"), filepath.Join(dir, "bin")
	newCourse(t, course)
	for _, name := range []string{"netdojo", "netdojo-kubectl", "other"} {
		write := errors.Join(os.MkdirAll(bin, 0o755), os.WriteFile(filepath.Join(bin, name), []byte(name), 0o755))
		if write != nil {
			t.Fatal(write)
		}
	}
	s, said, _ := streams.Test("")
	o := &Options{
		Env: &env.Env{Streams: s}, File: filepath.Join(dir, "one.tar.gz"), Course: course, Programs: bin, Platform: "linux/arm64",
	}
	if err := Make(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "for linux/arm64, 1 labs, 0 images") || !strings.Contains(said.String(), "tar -xzf one.tar.gz") {
		t.Errorf("it says %s", said)
	}
	if err := Make(t.Context(), o); exit.Code(err) != exit.Usage || len(cure.All(err)) == 0 {
		t.Errorf("over a file: %v", err)
	}
	m, err := verify(t.Context(), o.File)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	for path, want := range map[string]bool{
		"bin/netdojo": true, "bin/other": false, "course/course.yaml": true, "course/course.lock": true, "course/first/lab.yaml": true,
		"course/.git/config": false, "install.sh": true, "README": true,
	} {
		if slices.Contains(paths, path) != want {
			t.Errorf("%s: it has %v", path, paths)
		}
	}
	// Of the course that comes out the lock holds.
	out := filepath.Join(dir, "out")
	open := &OpenOptions{Env: o.Env, File: o.File, Dir: out}
	if err := Open(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	if problems := labs.LintFolder(labs.FolderFS(filepath.Join(out, "course"))); len(problems) > 0 {
		t.Errorf("the course has %v", problems)
	}
	if err := Open(t.Context(), open); exit.Code(err) != exit.Usage || len(cure.All(err)) == 0 {
		t.Errorf("over a folder: %v", err)
	}

	o.File = filepath.Join(dir, "two.tar.gz")
	if err := os.Remove(filepath.Join(bin, "netdojo-kubectl")); err != nil {
		t.Fatal(err)
	}
	if err := Make(t.Context(), o); exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "lacks netdojo-kubectl") || len(cure.All(err)) == 0 {
		t.Errorf("a program is missing: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".netdojo*")); err != nil || len(left) > 0 {
		t.Errorf("there stays %v", left)
	}
}

func newCourse(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(filepath.Join(dir, "first"), scaffold.Lab{ID: "first"}.Defaults()); err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(dir, ".git")
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, labs.CourseFile), []byte("title: Mine\nlabs: [{lab: first, level: beginner, minutes: 5}]\n"), 0o644),
		os.Mkdir(hidden, 0o755), os.WriteFile(filepath.Join(hidden, "config"), nil, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinkInACourse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "course")
	newCourse(t, dir)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "first", "notes.md")); err != nil {
		t.Fatal(err)
	}
	_, err := courseParts(labs.FolderFS(dir))
	var b *BrokenError
	if !errors.As(err, &b) || !strings.Contains(err.Error(), "first/notes.md") || b.Advice == "" {
		t.Errorf("it says %v", err)
	}
}

// fakeStore has the images of its map.
type fakeStore map[string]string

func (s fakeStore) Images(context.Context) ([]images.Info, error) {
	infos := []images.Info{{Tags: []string{"docker.io/library/nginx:1"}, StandIn: "nginx"}}
	for name := range s {
		infos = append(infos, images.Info{Tags: []string{name}})
	}
	return infos, nil
}

func (s fakeStore) LoadImages(context.Context, io.Reader) ([]images.Info, error) { return nil, nil }

func (s fakeStore) SaveImage(_ context.Context, ref string, w io.Writer) error {
	_, err := io.WriteString(w, s[ref])
	return err
}

// TestWanted: a bundle has the images of its labs that are in the store, and is not made
// where one is neither there nor stood in for.
func TestWanted(t *testing.T) {
	lab := func(image string) []*labs.Lab {
		return []*labs.Lab{{ID: "x", Workloads: []string{"p.yaml"}, FS: os.DirFS(podWith(t, image))}}
	}
	mine := fakeStore{"example.com/mine:1": "an archive", "docker.io/library/tool:latest": "another"}
	for name, tc := range map[string]struct {
		image string
		also  []string
		want  []string
		lacks string
	}{
		"in the store":   {"example.com/mine:1", nil, []string{"example.com/mine:1"}, ""},
		"stood in for":   {"curlimages/curl:8.10.1", nil, nil, ""},
		"neither":        {"example.com/other:1", nil, nil, "example.com/other:1"},
		"named too":      {"curlimages/curl:8.10.1", []string{"tool"}, []string{"docker.io/library/tool:latest"}, ""},
		"named, missing": {"curlimages/curl:8.10.1", []string{"gone"}, nil, "gone"},
	} {
		o := &Options{Images: tc.also}
		got, err := o.wanted(t.Context(), mine, lab(tc.image))
		if tc.lacks != "" {
			if exit.Code(err) != exit.Usage || !strings.Contains(err.Error(), "lacks "+tc.lacks) || len(cure.All(err)) == 0 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func podWith(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: '" + image + "'}]}\n"
	if err := os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
