package labs_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/netdojo/netdojo/labs"
)

var update = flag.Bool("update", false, "write the golden problems anew")

// Each archive in testdata is a lab's folder; its file "problems" holds what
// Lint says, a problem a line, its cure indented below it.
func TestLint(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			folder, want, at := fstest.MapFS{}, "", -1
			for i, f := range ar.Files {
				if f.Name == "problems" {
					want, at = string(f.Data), i
					continue
				}
				folder[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			got := problemText(labs.Lint(folder))
			if *update {
				if at < 0 {
					ar.Files = append(ar.Files, txtar.File{Name: "problems"})
					at = len(ar.Files) - 1
				}
				ar.Files[at].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func problemText(problems []labs.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
		if p.Cure != "" {
			b.WriteString("    " + p.Cure + "\n")
		}
	}
	return b.String()
}

func TestOpen(t *testing.T) {
	lab, err := labs.Open("04")
	if err != nil {
		t.Fatal(err)
	}
	if lab.Dir != "" || lab.Namespace != "default" || lab.Tasks[0].Checks[0].From.Namespace != "default" {
		t.Errorf("lab is %+v", lab)
	}
	if len(lab.Tasks[0].Wrong) != 3 || len(lab.Tasks[0].Hints.Levels()) != 4 {
		t.Errorf("lab 04 has %d wrong answers, %d hints", len(lab.Tasks[0].Wrong), len(lab.Tasks[0].Hints.Levels()))
	}
	if _, err := fs.Stat(lab.FS, "solution/backend-egress-allow-fqdn.yaml"); err != nil {
		t.Error(err)
	}

	if lab, err := labs.Open("C1"); err != nil || lab.ID != "c1" {
		t.Errorf("in capitals: %v", err)
	}

	lab, err = labs.Open("catalogue/04")
	if err != nil || lab.Dir != "catalogue/04" {
		t.Errorf("by path: %+v, %v", lab, err)
	}

	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	known := "known: " + strings.Join(ids, ", ")
	var unknown *labs.UnknownError
	for name, cure := range map[string]string{"004": `did you mean "04"?`, "nothing": known, "../x": known, ".": known} {
		if _, err := labs.Open(name); !errors.As(err, &unknown) || unknown.Cure() != cure {
			t.Errorf("Open(%q): %v, cure %q, want %q", name, err, unknown.Cure(), cure)
		}
	}

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, labs.FileName), []byte("id: x\ntitel: y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var invalid *labs.InvalidError
	if _, err := labs.Open(dir); !errors.As(err, &invalid) || invalid.Lab != dir || !strings.Contains(invalid.Cure(), `did you mean "title"?`) {
		t.Errorf("a broken lab: %v", err)
	}
}

// A loaded lab has the cells of its matrices as checks, in the lab's namespace.
func TestLoadExpandsMatrices(t *testing.T) {
	lab, err := labs.Load(fstest.MapFS{labs.FileName: {Data: []byte(`id: "1"
title: A lab
namespace: shop
tasks:
  - id: a
    title: One
    solution: []
    checks:
      - {id: first, from: {app: x}, to: "http://web", before: allowed}
      - id: table
        matrix:
          from: [{name: x, app: x}, {name: "y", app: "y"}]
          to: [{name: web, to: "http://web"}]
          before: allowed
          after: {x: {web: allowed}, "y": {web: denied}}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range lab.Tasks[0].Checks {
		got = append(got, c.ID+" "+c.From.String())
	}
	if want := []string{"first shop/app=x", "table.x.web shop/app=x", "table.y.web shop/app=y"}; !slices.Equal(got, want) {
		t.Errorf("checks are %q, want %q", got, want)
	}
}

func TestSelect(t *testing.T) {
	lab := &labs.Lab{ID: "x", Tasks: []labs.Task{{ID: "1"}, {ID: "2"}, {ID: "3"}}}
	selected, before, err := lab.Select("2")
	if err != nil || len(selected) != 1 || selected[0].ID != "2" || len(before) != 1 || before[0].ID != "1" {
		t.Errorf("got %v after %v, %v", selected, before, err)
	}
	if all, _, err := lab.Select(""); err != nil || len(all) != 3 {
		t.Errorf("all: %v, %v", all, err)
	}
	var unknown *labs.UnknownError
	if _, _, err := lab.Select("9"); !errors.As(err, &unknown) {
		t.Errorf("unknown task: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	good, err := os.ReadFile("catalogue/04/lab.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("id: 04\ntasks: [{id: a, checks: [{from: {app: x}, to: y}]}]\n"))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("? [x]\n: y\n---\n- 1\n"))
	f.Add([]byte("tasks: 1\nid: {a: .nan, b: 0x1F, c: 2001-01-01, d: !!binary aGk=}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lab, err := labs.Load(fstest.MapFS{labs.FileName: {Data: data}})
		var invalid *labs.InvalidError
		switch {
		case err == nil && lab == nil:
			t.Error("neither lab nor error")
		case err != nil && (!errors.As(err, &invalid) || len(invalid.Problems) == 0):
			t.Errorf("error is %T", err)
		}
		if invalid != nil {
			lines := strings.Count(string(data), "\n") + 2
			for _, p := range invalid.Problems {
				if p.Line < 0 || p.Line > lines || p.Message == "" {
					t.Errorf("problem %+v in %d lines", p, lines)
				}
			}
		}
	})
}

// A lab whose files are no YAML is no lab: nothing is brought up for it.
func TestLoadReadsTheManifests(t *testing.T) {
	fsys := fstest.MapFS{}
	if err := fs.WalkDir(os.DirFS("catalogue/04"), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile("catalogue/04/" + p)
		fsys[p] = &fstest.MapFile{Data: data}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := labs.Load(fsys); err != nil {
		t.Fatal(err)
	}
	const file = "wrong/wrong-selector/backend-egress-allow-fqdn.yaml"
	fsys[file] = &fstest.MapFile{Data: []byte("kind: [\n")}
	_, err := labs.Load(fsys)
	var invalid *labs.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].File != file ||
		invalid.Problems[0].Line == 0 || invalid.Problems[0].Cure == "" {
		t.Errorf("error is %v", err)
	}
}
