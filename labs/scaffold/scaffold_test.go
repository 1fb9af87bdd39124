package scaffold_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/scaffold"
)

// TestWrite writes a lab that lint finds nothing at, whatever it is called.
func TestWrite(t *testing.T) {
	for _, l := range []scaffold.Lab{
		scaffold.Lab{ID: "99"}.Defaults(),
		{ID: "my.lab-2", Title: `Who said: "no"? \ #1`, Namespace: "n"},
	} {
		dir := filepath.Join(t.TempDir(), "lab")
		if err := scaffold.Write(dir, l); err != nil {
			t.Fatal(err)
		}
		for _, p := range labs.LintFolder(labs.FolderFS(dir)) {
			t.Error(p)
		}
		got, err := labs.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != l.ID || got.Title != l.Title || got.Namespace != l.Namespace || len(got.Tasks[0].Wrong) < 3 {
			t.Errorf("the lab is %s, %q, %s", got.ID, got.Title, got.Namespace)
		}
		if err := scaffold.Write(dir, l); !errors.Is(err, fs.ErrExist) {
			t.Errorf("written over a lab: %v", err)
		}
	}
}

func TestNames(t *testing.T) {
	parent := t.TempDir()
	for name, l := range map[string]scaffold.Lab{
		"no id":             {Title: "T", Namespace: "n"},
		"an id with spaces": {ID: "a b", Title: "T", Namespace: "n"},
		"a path":            {ID: "../a", Title: "T", Namespace: "n"},
		"two lines":         {ID: "a", Title: "T\nid: b", Namespace: "n"},
		"no namespace":      {ID: "a", Title: "T"},
		"somebody else's":   {ID: "a", Title: "T", Namespace: "kube-system"},
		"too long":          {ID: "a", Title: "T", Namespace: "n23456789012345678901234567890123456789012345678901234567890"},
	} {
		var wrong *scaffold.NameError
		if err := scaffold.Write(filepath.Join(parent, "lab"), l); !errors.As(err, &wrong) || wrong.Cure() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("something was written: %v", left)
	}
}
