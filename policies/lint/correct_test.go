package lint_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
)

// labFiles are files of a lab's folder.
func labFiles(t testing.TB, l *labs.Lab, names []string) []lint.File {
	t.Helper()
	var out []lint.File
	for _, name := range names {
		data, err := fs.ReadFile(l.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, lint.File{Name: l.ID + "/" + name, Data: data})
	}
	return out
}

func catalogue(t testing.TB) []*labs.Lab {
	t.Helper()
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestSolutions judges the solutions of all labs with their workloads beside them.
func TestSolutions(t *testing.T) {
	policies := 0
	for _, l := range catalogue(t) {
		for _, task := range l.Tasks {
			r := lint.Check(lint.Input{Files: labFiles(t, l, task.Solution), Beside: lint.Read(labFiles(t, l, l.Workloads)), Namespace: l.Namespace})
			for _, p := range r.Problems {
				t.Errorf("%s:%d:%d: %s (%s)", p.File, p.Line, p.Column, p.Message, p.Cure)
			}
			if policies += r.Policies; r.Policies > 0 && r.Workloads == 0 {
				t.Errorf("lab %s has no workloads", l.ID)
			}
		}
	}
	if policies < 60 {
		t.Errorf("there are only %d policies", policies)
	}
}

// TestCiliumsExamples judges the examples of Cilium's module, which stand alone, and
// finds what is wrong with two of them.
func TestCiliumsExamples(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "examples", "policies")
	// Two of the examples have fields that Cilium's own definition of the kind does
	// not: the API server refuses them.
	faulty := map[string]bool{
		"auth/auth.yaml unknown-field spec.egress[0].auth":                     true,
		"l3/requires/requires.yaml bad-value specs[0].ingress[0].fromRequires": true,
	}
	policies, files := 0, 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		r := lint.Check(lint.Input{Files: []lint.File{{Name: filepath.ToSlash(name), Data: data}}})
		for _, p := range r.Problems {
			if what := p.File + " " + string(p.Code) + " " + p.Field; faulty[what] {
				delete(faulty, what)
				continue
			}
			t.Errorf("%s:%d:%d: %s (%s)", p.File, p.Line, p.Column, p.Message, p.Cure)
		}
		policies, files = policies+r.Policies, files+1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what := range faulty {
		t.Errorf("nothing is told of %s", what)
	}
	if files < 50 || policies < 50 {
		t.Errorf("there are only %d policies in %d files", policies, files)
	}
}
