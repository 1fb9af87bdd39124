package kept

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
)

func lab(t *testing.T) *labs.Lab {
	t.Helper()
	l, err := labs.Open("03")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// older makes what is kept of lab 03 be one of an older netdojo, with another title.
func older(t *testing.T, e *env.Env) {
	t.Helper()
	dir := folder(e, "03")
	file := filepath.Join(dir, labDir, labs.FileName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "title: Labels", "title: Labels of before", 1)
	if changed == string(text) {
		t.Fatal("the lab has another title")
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	digest, err := labs.DigestOf(labs.FolderFS(filepath.Join(dir, labDir)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(begun{Schema, "0.9", digest})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, begunFile), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestUpdate: a lab that was begun stays as it was when the catalogue has another, in its
// own names and in those of a seed, until the learner takes the present one.
func TestUpdate(t *testing.T) {
	e := &env.Env{StateDir: t.TempDir()}
	if own, err := Of(e, lab(t)); err != nil || own.Begun != "" {
		t.Errorf("nothing was begun: %q, %v", own.Begun, err)
	}
	if err := Begin(e, lab(t)); err != nil {
		t.Fatal(err)
	}
	if own, err := Of(e, lab(t)); err != nil || own.Begun != "" || Tell(own) != "" {
		t.Errorf("it is the present one: %q, %v", own.Begun, err)
	}
	older(t, e)
	own, err := Of(e, lab(t))
	if err != nil || own.Title != "Labels of before" || own.Begun != "0.9" || own.Dir != "" {
		t.Fatalf("it is %q of %q, %v", own.Title, own.Begun, err)
	}
	if told := Tell(own); !strings.Contains(told, "netdojo 0.9") || !strings.Contains(told, "netdojo labs update 03") {
		t.Errorf("it is told: %s", told)
	}
	seeded, err := own.Seeded("jane")
	if err != nil || seeded.Title != own.Title || seeded.Begun != "0.9" {
		t.Errorf("with a seed it is %q of %q, %v", seeded.Title, seeded.Begun, err)
	}
	for name, l := range map[string]*labs.Lab{"itself": own, "by a seed": seeded} {
		if err := Begin(e, l); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if own, err := Of(e, lab(t)); err != nil || own.Begun != "0.9" {
			t.Errorf("entered again, %s, it is of %q, %v", name, own.Begun, err)
		}
	}
	page, err := fs.ReadFile(own.FS, own.Tasks[0].Page)
	if err != nil {
		t.Fatal(err)
	}
	janes, err := fs.ReadFile(seeded.FS, own.Tasks[0].Page)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{} // by the file's path: whether it stays
	for dir, theirs := range map[string][]byte{own.Folder(): page, seeded.Folder(): janes} {
		for name, text := range map[string][]byte{own.Tasks[0].Page: theirs, "mine.yaml": []byte("mine"), "manifests/servers.yaml": []byte("changed")} {
			file := filepath.Join(e.Work("one", dir), name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, text, 0o600)); err != nil {
				t.Fatal(err)
			}
			kept[file] = name != own.Tasks[0].Page
		}
	}
	if was, err := Update(e, "03"); err != nil || was != "0.9" {
		t.Errorf("it was of %q, %v", was, err)
	}
	for file, stays := range kept {
		if _, err := os.Stat(file); (err == nil) != stays {
			t.Errorf("%s: %v, it is to stay: %v", file, err, stays)
		}
	}
	if own, err := Of(e, lab(t)); err != nil || own.Begun != "" {
		t.Errorf("the present one is taken: %q, %v", own.Begun, err)
	}
	if was, err := Update(e, "03"); err != nil || was != "" {
		t.Errorf("there was %q, %v", was, err)
	}
}

// TestDone: who is done with a lab has the present one the next time, and from then on.
func TestDone(t *testing.T) {
	e := &env.Env{StateDir: t.TempDir()}
	if err := Begin(e, lab(t)); err != nil {
		t.Fatal(err)
	}
	older(t, e)
	store, err := progress.Open(e.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	store.Task("03", "3.1").Done = true
	if err := store.Save("03", time.Now()); err != nil {
		t.Fatal(err)
	}
	own, err := Of(e, lab(t))
	if err != nil || own.Begun != "" {
		t.Fatalf("it is of %q, %v", own.Begun, err)
	}
	if err := Begin(e, own); err != nil {
		t.Fatal(err)
	}
	if was, err := read(folder(e, "03")); err != nil || was.Netdojo == "0.9" {
		t.Errorf("what is kept is of %q, %v", was.Netdojo, err)
	}
}

// TestLost: where the lab that was begun is not to be had the present one is taken, and it
// is said why.
func TestLost(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"changed": func(dir string) error { return os.WriteFile(filepath.Join(dir, labDir, "more.md"), []byte("x"), 0o600) },
		"no lab": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, labDir, labs.FileName), []byte("id: ["), 0o600)
		},
		"gone":    func(dir string) error { return os.RemoveAll(filepath.Join(dir, labDir)) },
		"no JSON": func(dir string) error { return os.WriteFile(filepath.Join(dir, begunFile), []byte("{"), 0o600) },
		"a folder": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, begunFile)), os.Mkdir(filepath.Join(dir, begunFile), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := &env.Env{StateDir: t.TempDir()}
			if err := Begin(e, lab(t)); err != nil {
				t.Fatal(err)
			}
			older(t, e)
			if err := spoil(folder(e, "03")); err != nil {
				t.Fatal(err)
			}
			own, err := Of(e, lab(t))
			if err == nil || errors.Is(err, fs.ErrNotExist) && name != "gone" || own.Begun != "" || own.Title != "Labels" {
				t.Errorf("it is %q of %q, %v", own.Title, own.Begun, err)
			}
			if _, err := Update(e, "03"); err != nil {
				t.Error(err)
			}
			if own, err := Of(e, lab(t)); err != nil || own.Begun != "" {
				t.Errorf("after the update: %v", err)
			}
		})
	}
}
