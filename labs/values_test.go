package labs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
)

// The labs that a seed makes individual: the exams, and four others.
var individualLabs = []string{"03", "08", "09", "13", "e1", "e2"}

func seeded(t *testing.T, id, seed string) *labs.Lab {
	t.Helper()
	lab, err := labs.Open(id)
	if err == nil {
		lab, err = lab.Seeded(seed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

// What a seed makes of a lab is pinned: a hand-in is judged by it, whatever netdojo has
// become since. Where this fails because a lab's values were changed, hand-ins by seed
// of before are refused: that is another version of the lab.
func TestSeedIsPinned(t *testing.T) {
	lab := seeded(t, "e1", "Jane ")
	for file, want := range map[string][]string{
		"e1-6.md":                   {"Service: 101, 102 and 103.", "namespace `cove`", "`red` of `ridge`"},
		"e1-5.md":                   {"the pods `app: pine` of the namespace `ridge`"},
		"solution/delta-ports.yaml": {"namespace: cove\n", "app: elder\n", "app: pine\n", "port: 7110\n", "endPort: 7111\n"},
		"skeleton/way.yaml":         {"name: dns\n", "port: 53\n"},
		"manifests/task-6.yaml":     {"name: SERVE_PORT_7112", "port: 103\n      targetPort: 7112", "image: docker.io/curlimages/curl:8.10.1"},
		"lab.yaml":                  {"namespace: firth\n", "seed: \"jane\"\n", "{name: red, namespace: firth, app: pine}", "delta.cove:101"},
	} {
		text, err := fs.ReadFile(lab.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s lacks %q", file, w)
			}
		}
	}
	if lab.Seed != "jane" || lab.Folder() != "e1-of-jane" || lab.Namespace != "firth" {
		t.Errorf("seed %q, folder %q, namespace %q", lab.Seed, lab.Folder(), lab.Namespace)
	}
	// Places are those of the file as its author keeps it.
	plain := seeded(t, "e1", "")
	if was, is := plain.TaskPlace("e1.7"), lab.TaskPlace("e1.7"); was.Line != is.Line || was.Line == 0 {
		t.Errorf("task e1.7 is at %s, was at %s", is, was)
	}
}

// Without a seed a lab is what its files say, whatever it declares of others.
func TestValuesChangeNothingWithoutASeed(t *testing.T) {
	for _, id := range individualLabs {
		lab := seeded(t, id, "")
		have, err := lab.Digest()
		if err != nil {
			t.Fatal(err)
		}
		text, err := fs.ReadFile(lab.FS, labs.FileName)
		if err != nil {
			t.Fatal(err)
		}
		start := bytes.Index(text, []byte("\nvalues:\n")) + 1
		end := bytes.Index(text, []byte("\ntasks:\n")) + 1
		if start == 0 || end < start {
			t.Fatalf("lab %s declares no values before its tasks", id)
		}
		without := fstest.MapFS{}
		err = fs.WalkDir(lab.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(lab.FS, name)
			without[name] = &fstest.MapFile{Data: data}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		without[labs.FileName] = &fstest.MapFile{Data: slices.Concat(text[:start], text[end:])}
		if want, _ := labs.DigestOf(without); have != want {
			t.Errorf("lab %s is %s, without its values %s", id, have, want)
		}
		if lab.ID == "e1" {
			bare, err := labs.Load(without)
			if err != nil {
				t.Fatal(err)
			}
			one, err1 := lab.Pack()
			two, err2 := bare.Pack()
			if err := errors.Join(err1, err2); err != nil || one.Digest != two.Digest {
				t.Errorf("the pack of lab %s is %s, without its values %s, %v", id, one.Digest, two.Digest, err)
			}
		}
		if id == "e2" {
			continue // what follows takes its time
		}
		jane, _ := seeded(t, id, "jane").Digest()
		if john, _ := seeded(t, id, "john").Digest(); jane == john || jane == have {
			t.Errorf("lab %s of jane is %s, of john %s, without a seed %s", id, jane, john, have)
		}
	}
}

// A pack of a seed is the seed of a pack: the instructor has the lab, and whoever takes
// the exam the pack.
func TestPackOfASeed(t *testing.T) {
	for _, id := range []string{"e1", "e2"} {
		lab := seeded(t, id, "")
		pack, err := lab.Pack()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "pack")
		if err := pack.Write(dir); err != nil {
			t.Fatal(err)
		}
		given, err := labs.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		made, err := given.Seeded("jane")
		if err != nil {
			t.Fatal(err)
		}
		mine, err := made.Pack()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := seeded(t, id, "jane").Pack()
		if err != nil {
			t.Fatal(err)
		}
		if mine.Digest != theirs.Digest || mine.Digest == pack.Digest {
			t.Errorf("the pack of %s by jane is %s from the pack, %s from the lab", id, mine.Digest, theirs.Digest)
		}
		// What was written out is a lab of its seed, and of no other.
		kept := filepath.Join(t.TempDir(), "kept")
		if err := mine.Write(kept); err != nil {
			t.Fatal(err)
		}
		again, err := labs.Open(kept)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := again.Pack(); err != nil || again.Seed != "jane" || len(again.Values) > 0 || p.Digest != mine.Digest {
			t.Errorf("read back it is of seed %q, %v, %v", again.Seed, p.Digest, err)
		}
		if same, err := again.Seeded("Jane"); err != nil || same != again {
			t.Errorf("by its own seed it is another, %v", err)
		}
		var seed *labs.SeedError
		if _, err := again.Seeded("john"); !errors.As(err, &seed) || seed.Cure() == "" {
			t.Errorf("made of jane's, john's is %v", err)
		}
		if text, _ := os.ReadFile(filepath.Join(kept, labs.FileName)); strings.Contains(string(text), "values") {
			t.Errorf("a pack of a seed tells of others:\n%s", text)
		}
	}
}

func TestSeeds(t *testing.T) {
	for text, want := range map[string]string{"Jane.Doe@x.org ": "jane.doe@x.org", "4711": "4711", "": "", "a b": "", "-a": "", "ä": "", strings.Repeat("a", 65): ""} {
		got, err := labs.Seed(text)
		var none *labs.SeedError
		if got != want || (want == "") != errors.As(err, &none) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	lab, err := labs.Open("02")
	if err != nil {
		t.Fatal(err)
	}
	var none *labs.SeedError
	if _, err := lab.Seeded("jane"); !errors.As(err, &none) || !strings.Contains(none.Cure(), strings.Join(individualLabs, ", ")) {
		t.Errorf("lab 02 by a seed: %v", err)
	}
	if same, err := lab.Seeded(""); err != nil || same != lab {
		t.Errorf("lab 02 without a seed: %v", err)
	}
}

// No seed changes what is expected: each lab loads, with the same checks.
func TestSeedsExpectTheSame(t *testing.T) {
	for _, id := range []string{"03", "09", "e1"} {
		plain := seeded(t, id, "")
		for _, seed := range []string{"4711"} {
			lab := seeded(t, id, seed)
			for i, task := range lab.Tasks {
				for j, c := range task.Checks {
					if was := plain.Tasks[i].Checks[j]; c.ID != was.ID || c.Before != was.Before || c.After != was.After || c.Status != was.Status {
						t.Errorf("lab %s, seed %s: check %s is %s, %s, was %s, %s", id, seed, c.ID, c.Before, c.After, was.Before, was.After)
					}
				}
			}
		}
	}
}
