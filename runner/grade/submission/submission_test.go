package submission

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const policy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME}
spec: {podSelector: {}}
`

func called(name string) string { return strings.ReplaceAll(policy, "NAME", name) }

// tree writes files below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// zipped is an archive of files; a name that ends in @link is a symbolic link.
func zipped(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range sorted(files) {
		h := &zip.FileHeader{Name: strings.TrimSuffix(name, "@link"), Method: zip.Deflate}
		if strings.HasSuffix(name, "@link") {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t *testing.T, headers []tar.Header, body string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sorted(files map[string]string) []string {
	var names []string
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func read(t *testing.T, path string) *Class {
	t.Helper()
	class, err := Read(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return class
}

// summary is a class in a few words: KEY: OBJECT ... ! PROBLEM ...
func summary(t *testing.T, class *Class) string {
	t.Helper()
	var lines []string
	for _, s := range class.Submissions {
		c, err := s.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		line := s.Key + ":"
		for _, o := range c.Objects {
			line += " " + o.GetName()
		}
		for _, p := range c.Problems {
			line += " ! " + p.String()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestRead(t *testing.T) {
	crlf := "\xef\xbb\xbf" + strings.ReplaceAll(called("one")+"---\n"+called("two"), "\n", "\r\n")
	utf16 := "\xff\xfe"
	for _, r := range called("wide") {
		utf16 += string([]byte{byte(r), 0})
	}
	tests := []struct {
		name, path, want string
	}{
		{"folders", tree(t, map[string]string{
			"bea/policy.yaml": called("b"), "ann/deep/er/a.yml": called("a"), "ann/x.json": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"j"}}`,
			"ann/.DS_Store": "x", "notes.txt": "not a submission",
		}), "ann: a j\nbea: b"},
		{"a folder around them", tree(t, map[string]string{"class/ann/a.yaml": called("a"), "class/bea/b.yaml": called("b"), "__MACOSX/x": ""}), "ann: a\nbea: b"},
		{"one person's folder", tree(t, map[string]string{"ann/a.yaml": called("a"), "ann/b.yaml": called("b")}), "ann: a b"},
		{"byte order marks and line ends", tree(t, map[string]string{"a/p.yaml": crlf, "b/p.yaml": utf16}), "a: one two\nb: wide"},
		{"a broken document costs itself", tree(t, map[string]string{"a/p.yaml": called("one") + "---\nkind: [\n---\n" + called("two")}),
			"a: one two ! file1.yaml:7: not YAML: did not find expected node content"},
		{"archives as submissions", tree(t, map[string]string{"ann.zip": zipped(t, map[string]string{"p.yaml": called("z")}), "bea.tar.gz": tarred(t, []tar.Header{{Name: "./p.yaml", Typeflag: tar.TypeReg, Mode: 0o644}}, called("t"))}), "ann: z\nbea: t"},
		{"an archive in a folder", tree(t, map[string]string{"ann/work.zip": zipped(t, map[string]string{`sub\p.yaml`: called("z")}), "bea/p.yaml": called("b")}), "ann: z\nbea: b"},
		{"Moodle", tree(t, map[string]string{
			"Änn Müller_1234_assignsubmission_file_/p.yaml": called("a"), "Bea O'Neil_99_assignsubmission_file_policy.yaml": called("b"),
		}), "1234: a\n99: b"},
		{"Canvas", tree(t, map[string]string{
			"muellerann_77_5001_policy.yaml": called("a"), "muellerann_77_5001_more.yaml": called("a2"), "neilbea_LATE_78_5002_policy.yaml": called("old"),
			"neilbea_LATE_78_5002_policy-2.yaml": called("new"),
		}), "77: a2 a\n78: new"},
		{"Blackboard", tree(t, map[string]string{
			"Lab 4_ann1_attempt_2026-11-01-10-00-00_p.yaml": called("old"), "Lab 4_ann1_attempt_2026-11-02-10-00-00_p.yaml": called("new"),
			"Lab 4_ann1_attempt_2026-11-02-10-00-00.txt": "a comment",
		}), "ann1: new"},
		{"attempts of a person's own", tree(t, map[string]string{"ann-attempt-2/p.yaml": called("two"), "ann-attempt-10/p.yaml": called("ten"), "ann/p.yaml": called("none")}), "ann: ten"},
		{"what is no manifest", tree(t, map[string]string{"ann/run.sh": "rm -rf /", "ann/p.yaml": called("a")}), "ann: a ! other1.sh: it is no manifest: only .yaml, .yml and .json are read, and nothing is run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := summary(t, read(t, tt.path)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestArchiveOfAClass(t *testing.T) {
	files := map[string]string{"class/ann/p.yaml": called("a"), "class/bea/work.zip": zipped(t, map[string]string{"p.yaml": called("b")})}
	dir := tree(t, map[string]string{"all.zip": zipped(t, files)})
	if got := summary(t, read(t, filepath.Join(dir, "all.zip"))); got != "ann: a\nbea: b" {
		t.Error(got)
	}
}

func TestMarksOfThePlatform(t *testing.T) {
	class := read(t, tree(t, map[string]string{
		"neilbea_LATE_78_5002_p.yaml": called("b"), "Lab_ann1_attempt_2026-11-02-10-00-00_p.yaml": called("a"), "Cy Dee_5_assignsubmission_file_/p.yaml": called("c"),
	}))
	for _, s := range class.Submissions {
		switch s.Key {
		case "78":
			if !s.Late {
				t.Error("Canvas' mark is lost")
			}
		case "ann1":
			if want := time.Date(2026, 11, 2, 10, 0, 0, 0, time.Local); !s.At.Equal(want) {
				t.Errorf("handed in at %s, not %s", s.At, want)
			}
		case "5":
			if s.Name != "Cy Dee" {
				t.Errorf("the name is %q", s.Name)
			}
		}
	}
}

// What a person hands in to break the grader costs that submission alone, or that
// file, and the others are read.
func TestHostile(t *testing.T) {
	bomb := strings.Repeat("# nothing but zeros\n", (MaxFile/20)+1)
	tests := []struct {
		name string
		file map[string]string // below ann/
		want string            // of ann's line; BAD is what is refused
	}{
		{"a huge file", map[string]string{"p.yaml": bomb}, "longer than 1 MiB"},
		{"a huge JSON file", map[string]string{"p.json": "{" + strings.Repeat(" ", MaxFile) + "}"}, "longer than 1 MiB"},
		{"a huge file of netdojo save", map[string]string{"p.json": `{"schema": "netdojo.dev/saved/v2"` + strings.Repeat(" ", MaxContent) + "}"}, "longer than 4 MiB"},
		{"a zip bomb", map[string]string{"w.zip": zipped(t, map[string]string{"p.yaml": bomb, "q.yaml": called("ok")})}, "longer than 1 MiB"},
		{"a tar bomb", map[string]string{"w.tgz": tarred(t, []tar.Header{{Name: "x.bin", Typeflag: tar.TypeReg}}, strings.Repeat("\x00", MaxInflated+1024))}, "it inflates to more than 64 MiB"},
		{"a bomb of many manifests", map[string]string{"w.zip": zipped(t, many(8, strings.Repeat("#", MaxFile-1)))}, "holds up to 200 manifests of 4 MiB in all"},
		{"many manifests", map[string]string{"w.zip": zipped(t, many(MaxFiles+1, "# empty"))}, "holds up to 200 manifests"},
		{"traversal in a zip", map[string]string{"w.zip": zipped(t, map[string]string{"../../bea/p.yaml": called("evil"), "ok.yaml": called("ok")})}, "its name leads out of the submission"},
		{"traversal by backslashes", map[string]string{"w.zip": zipped(t, map[string]string{`..\..\bea\p.yaml`: called("evil")})}, "its name leads out of the submission"},
		{"an absolute path", map[string]string{"w.tgz": tarred(t, []tar.Header{{Name: "/etc/p.yaml", Typeflag: tar.TypeReg}}, called("evil"))}, "its name leads out of the submission"},
		{"a drive's path", map[string]string{"w.zip": zipped(t, map[string]string{"C:/p.yaml": called("evil")})}, "its name leads out of the submission"},
		{"a link in a zip", map[string]string{"w.zip": zipped(t, map[string]string{"p.yaml@link": "/etc/passwd"})}, "it is a symbolic link, which is not followed"},
		{"links in a tar", map[string]string{"w.tgz": tarred(t, []tar.Header{{Name: "p.yaml", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, {Name: "q.yaml", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}}, "")}, "it is a symbolic link, which is not followed"},
		{"a device in a tar", map[string]string{"w.tgz": tarred(t, []tar.Header{{Name: "p.yaml", Typeflag: tar.TypeChar}, {Name: "q.yaml", Typeflag: tar.TypeFifo}}, "")}, "it is a device, which is not followed"},
		{"an archive in an archive in an archive", map[string]string{"w.zip": zipped(t, map[string]string{"v.zip": zipped(t, map[string]string{"p.yaml": called("deep")})})}, "an archive inside an archive is not opened"},
		{"no archive", map[string]string{"w.zip": "PK nonsense"}, "it cannot be unpacked"},
		{"two files of a name", map[string]string{"w.tgz": tarred(t, []tar.Header{{Name: "p.yaml", Typeflag: tar.TypeReg}, {Name: "p.yaml", Typeflag: tar.TypeReg}}, called("a"))}, "there are two files of that name"},
		{"a file as a folder", map[string]string{"w.tgz": tarred(t, []tar.Header{{Name: "a.yaml", Typeflag: tar.TypeReg}, {Name: "a.yaml/b.yaml", Typeflag: tar.TypeReg}}, called("a"))}, "it lies in a file"},
		{"YAML aliases without end", map[string]string{"p.yaml": laughs()}, "excessive aliasing"},
		{"a tower of folders", map[string]string{strings.Repeat("d/", maxDepth+2) + "p.yaml": called("deep")}, "its folders are deeper than 16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"bea/p.yaml": called("b")}
			for name, text := range tt.file {
				files["ann/"+name] = text
			}
			dir := tree(t, files)
			for _, path := range []string{dir, filepath.Join(tree(t, map[string]string{"all.zip": zipped(t, files)}), "all.zip")} {
				class, err := Read(t.Context(), path, Options{})
				if err != nil {
					t.Fatal(err)
				}
				got := summary(t, class)
				lines := strings.Split(got, "\n")
				refused := got
				for _, p := range class.Problems { // an entry that the class's archive refuses
					refused += " " + p.String()
				}
				if lines[len(lines)-1] != "bea: b" {
					t.Errorf("%s: the other submission is not as it was: %.300s", path, got)
				}
				if !strings.Contains(refused, tt.want) || strings.Contains(got, "evil") || strings.Contains(got, "deep !") {
					t.Errorf("%s: got %.500s, want %q", path, refused, tt.want)
				}
			}
		})
	}
}

// Files that netdojo save wrote are told apart, however long, in an archive too; their
// objects are for whoever knows the lab.
func TestSaved(t *testing.T) {
	text := "{\n  \"schema\": \"netdojo.dev/saved/v2\",\n  \"pad\": \"" + strings.Repeat("x", MaxFile) + "\"}"
	files := map[string]string{"ann/exam.json": text, "ann/p.yaml": called("p"), "bea.json": text}
	for _, path := range []string{tree(t, files), filepath.Join(tree(t, map[string]string{"all.zip": zipped(t, files)}), "all.zip")} {
		class, err := Read(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range class.Submissions {
			c, err := s.Load(t.Context())
			if err != nil || len(c.Problems) > 0 || len(c.Saved) != 1 || len(c.Objects) != 1-i || string(c.Saved[0].Data) != text || c.Given[c.Saved[0].Name] == "" {
				t.Errorf("%s: %s has %d saved files, %d objects, %v, %v", path, s.Key, len(c.Saved), len(c.Objects), c.Problems, err)
			}
		}
	}
}

func many(n int, text string) map[string]string {
	files := map[string]string{}
	for i := range n {
		files["m"+string(rune('a'+i%26))+strings.Repeat("x", i/26)+".yaml"] = text
	}
	return files
}

// laughs is a YAML document whose aliases multiply.
func laughs() string {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na: &a [l,l,l,l,l,l,l,l,l,l]\n"
	for c := 'b'; c < 'j'; c++ {
		last := string(c - 1)
		text += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+last+",", 10), ",") + "]\n"
	}
	return text
}

// Links of a folder are not followed: neither a submission's files nor a submission
// itself.
func TestLinks(t *testing.T) {
	dir := tree(t, map[string]string{"ann/p.yaml": called("a"), "bea/p.yaml": called("b")})
	secret := filepath.Join(tree(t, map[string]string{"p.yaml": called("secret")}), "p.yaml")
	for link, target := range map[string]string{"ann/q.yaml": secret, "cy": filepath.Dir(secret), "ann/sub": filepath.Dir(secret)} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	class := read(t, dir)
	got := summary(t, class)
	if strings.Contains(got, "secret") || !strings.Contains(got, "ann: a !") || strings.Count(got, "a symbolic link") != 2 {
		t.Error(got)
	}
	if len(class.Problems) != 1 || class.Problems[0].File != "cy" {
		t.Errorf("problems are %v", class.Problems)
	}
}

func TestDigest(t *testing.T) {
	digest := func(files map[string]string) string {
		class := read(t, tree(t, files))
		c, err := class.Submissions[0].Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest
	}
	a := digest(map[string]string{"ann/p.yaml": called("a")})
	if b := digest(map[string]string{"bea/other.yaml": called("a")}); a != b {
		t.Error("the same content has two digests")
	}
	if b := digest(map[string]string{"ann/p.yaml": called("a") + "#"}); a == b {
		t.Error("another content has the same digest")
	}
	if b := digest(map[string]string{"ann/p.yaml": called("a"), "ann/x.sh": ""}); a == b {
		t.Error("what is refused does not count")
	}
}

func TestErrors(t *testing.T) {
	file := filepath.Join(tree(t, map[string]string{"a.txt": "x"}), "a.txt")
	for _, path := range []string{"/nowhere/at/all", file, t.TempDir()} {
		_, err := Read(t.Context(), path, Options{})
		var e *Error
		if !errors.As(err, &e) || e.Cure() == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Scripts are read where they are wanted, in folders and archives, and are part of what
// was handed in.
func TestScripts(t *testing.T) {
	files := map[string]string{"ann/run.sh": "kubectl apply -f sub/p.yaml\n", "ann/sub/p.yaml": called("a"), "ann/x.py": "print()", "bea/p.yaml": called("b")}
	for name, path := range map[string]string{
		"folder": tree(t, files), "zip": filepath.Join(tree(t, map[string]string{"all.zip": zipped(t, files)}), "all.zip"),
	} {
		class, err := Read(t.Context(), path, Options{Scripts: true})
		if err != nil {
			t.Fatal(err)
		}
		content, err := class.Submissions[0].Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(content.Scripts) != 1 || content.Scripts[0].Name != "file1.sh" || string(content.Scripts[0].Data) != files["ann/run.sh"] || content.Given["file1.sh"] != "run.sh" {
			t.Errorf("%s: the scripts are %+v", name, content.Scripts)
		}
		if len(content.Work) != 2 || string(content.Work["sub/p.yaml"]) != called("a") || len(content.Objects) != 1 || len(content.Files) != 2 {
			t.Errorf("%s: the work folder has %v, of %v", name, content.Work, content.Files)
		}
		without := read(t, path)
		plain, err := without.Submissions[0].Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if plain.Digest == content.Digest || len(plain.Scripts)+len(plain.Work) > 0 || !class.Scripts || without.Scripts {
			t.Errorf("%s: without scripts it is %+v", name, plain)
		}
		other, err := class.Submissions[1].Load(t.Context())
		if err != nil || other.Work != nil {
			t.Errorf("%s: who has no script has a work folder %v (%v)", name, other.Work, err)
		}
	}
}
