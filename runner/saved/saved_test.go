package saved_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/internal/hostfile"
	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/runner/saved"
)

func sample() saved.File {
	return saved.File{
		Netdojo: "v1.2.3", Saved: time.Date(2026, 11, 28, 12, 0, 0, 7, time.FixedZone("", 3600)), Lab: saved.Lab{ID: "08", Digest: "sha256:aa"},
		Progress: &progress.Lab{Task: "8.1", Tasks: map[string]*progress.Task{"8.1": {Done: true, Points: 4}}, Updated: time.Now()},
		Objects:  []map[string]any{{"kind": "NetworkPolicy", "spec": map[string]any{"ports": []any{map[string]any{"port": int64(8080)}}, "x": 1.5, "html": "<&>"}}},
		Files:    []saved.Text{{Name: "a/library.yaml", Text: "kind: x\n"}},
	}
}

func encode(t *testing.T, f saved.File) []byte {
	t.Helper()
	data, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestThereAndBack(t *testing.T) {
	data := encode(t, sample())
	f, err := saved.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	port := f.Objects[0]["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)["port"]
	if port != int64(8080) || f.Files[0].Name != "a/library.yaml" || f.Progress.Tasks["8.1"].Points != 4 || f.Lab.ID != "08" {
		t.Errorf("the file is %+v", f)
	}
	if again := encode(t, f); !bytes.Equal(data, again) {
		t.Errorf("saved again it is\n%s\nnot\n%s", again, data)
	}
}

func TestWhatIsNotOpened(t *testing.T) {
	data := encode(t, sample())
	for name, tc := range map[string]struct {
		data string
		want string
	}{
		"nothing":             {"", "no file that netdojo save wrote"},
		"other JSON":          {`{"schema": "netdojo.dev/run/v1"}`, "no file that netdojo save wrote"},
		"a list":              {`[1]`, "no file that netdojo save wrote"},
		"another version":     {strings.Replace(string(data), "saved/v1", "saved/v3", 1), "it is of another netdojo, v1.2.3"},
		"points that grew":    {strings.Replace(string(data), `"points": 4`, `"points": 8`, 1), "it was changed"},
		"a file that changed": {strings.Replace(string(data), "kind: x", "kind: y", 1), "it was changed"},
		"another lab":         {strings.Replace(string(data), `"id": "08"`, `"id": "03"`, 1), "it was changed"},
		"a field more":        {strings.Replace(string(data), `"lab": {`, `"extra": 1, "lab": {`, 1), "it was changed"},
		"something behind":    {string(data) + "{}", "it was changed since it was saved"},
		"cut short":           {string(data[:len(data)/2]), "it was changed since it was saved"},
	} {
		var told *saved.Error
		_, err := saved.Decode([]byte(tc.data))
		if !errors.As(err, &told) || !strings.Contains(told.Message, tc.want) || told.Cure() == "" {
			t.Errorf("%s: %v, want %q with a cure", name, err, tc.want)
		}
	}
}

// TestForged opens files whose digest is right, and that lead elsewhere or are beyond
// their bounds.
func TestForged(t *testing.T) {
	refused := func(what string, change func(*saved.File)) {
		t.Helper()
		f := sample()
		change(&f)
		if _, err := f.Encode(); err == nil {
			t.Errorf("%q: it can be saved", what)
		}
		data, err := saved.Forge(f)
		if err != nil {
			t.Fatal(err)
		}
		var told *saved.Error
		if _, err := saved.Decode(data); !errors.As(err, &told) || told.Cure() == "" {
			t.Errorf("%q: it can be opened: %v", what, err)
		}
	}
	for _, name := range []string{"../x.yaml", "/etc/passwd", "a/../../x", ".bashrc", "a/.ssh/config", "a\\b", "C:x", "", ".", "a//b", "x\n", "nul\x00", "a."} {
		refused(name, func(f *saved.File) { f.Files[0].Name = name })
	}
	refused("twice", func(f *saved.File) { f.Files = append(f.Files, saved.Text{Name: "A/Library.yaml"}) })
	refused("long", func(f *saved.File) { f.Files[0].Text = strings.Repeat("x", saved.MaxFile+1) })
	refused("many", func(f *saved.File) { f.Objects = make([]map[string]any, saved.MaxObjects+1) })
}

func TestGather(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"library.yaml": "kind: NetworkPolicy\n", "sub/notes.md": "mine", ".hidden.yaml": "x: y", "half.yaml": "kind: [",
		"secret.yaml":     "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n",
		"kubeconfig.yaml": "apiVersion: v1\nkind: Config\nusers: [{name: a, user: {client-key-data: x}}]\n",
		"key.txt":         "-----BEGIN PRIVATE KEY-----\n", "binary.txt": "\xff\xfe", "program": "x", "long.md": strings.Repeat("x", saved.MaxFile+1),
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	files, left, err := saved.Gather(hostfile.DirFS(dir, saved.MaxFile))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{"half.yaml", "library.yaml", "sub/notes.md"}; !slices.Equal(names, want) {
		t.Errorf("saved are %v, want %v", names, want)
	}
	slices.Sort(left)
	if want := []string{"binary.txt", "key.txt", "kubeconfig.yaml", "link.txt", "long.md", "secret.yaml"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// A file that was saved in an exam has a shape of its own, which a netdojo without exams
// does not take for a changed one.
func TestSavedInAnExam(t *testing.T) {
	f := sample()
	if f.Exam() != nil {
		t.Error("an exam that nobody took")
	}
	f.Progress.Exam = progress.Begin("sha256:bb", "v1.2.3", 60, 15, 1, progress.Reading{Wall: time.Now()})
	data := encode(t, f)
	if !bytes.Contains(data, []byte(saved.SchemaExam)) {
		t.Errorf("saved as %s", data)
	}
	back, err := saved.Decode(data)
	if err != nil || !back.Exam().Intact() || back.Exam().Extra != 15 {
		t.Errorf("read back %+v, %v", back.Exam(), err)
	}
	_, err = saved.Decode(bytes.Replace(data, []byte("saved/v2"), []byte("saved/v1"), 1))
	if err == nil {
		t.Error("taken with the shape of one without an exam")
	}
}
