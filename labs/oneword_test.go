package labs_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
)

// TestOneWordWrong makes one word wrong in labs of the catalogue. Lint says where.
func TestOneWordWrong(t *testing.T) {
	for _, tc := range []struct{ lab, file, right, wrong string }{
		{"02", "lab.yaml", "policy-drop", "policy-dropped"},
		{"06", "lab.yaml", "check: reach.store.desk,", "check: reach.store.deck,"},
		{"08", "lab.yaml", "before: allowed", "before: permitted"},
		{"09", "solution/dock-ingress.yaml", "apiVersion", "apiversion"},
		{"12", "lab.yaml", "page: 12-entities.md", "page: 12-entity.md"},
		{"13", "lab.yaml", "probe:", "prob:"},
	} {
		t.Run(tc.lab, func(t *testing.T) {
			lab, err := labs.Open(tc.lab)
			if err != nil {
				t.Fatal(err)
			}
			folder := copied(t, lab.FS)
			if problems := labs.Lint(folder); len(problems) > 0 {
				t.Fatalf("as it is: %s", problemText(problems))
			}
			text := string(folder[tc.file].Data)
			before, _, found := strings.Cut(text, tc.right)
			if !found {
				t.Fatalf("%s has no %q", tc.file, tc.right)
			}
			folder[tc.file].Data = []byte(strings.Replace(text, tc.right, tc.wrong, 1))
			line := 1 + strings.Count(before, "\n")
			problems := labs.Lint(folder)
			if !slices.ContainsFunc(problems, func(p labs.Problem) bool { return p.File == tc.file && p.Line == line && p.Cure != "" }) {
				t.Errorf("want a problem with a cure at %s:%d, got\n%s", tc.file, line, problemText(problems))
			}
		})
	}
}

func copied(t *testing.T, fsys fs.FS) fstest.MapFS {
	t.Helper()
	folder := fstest.MapFS{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		folder[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
