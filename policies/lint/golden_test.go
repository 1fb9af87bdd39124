package lint_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/policies/lint"
)

var update = flag.Bool("update", false, "write the golden problems anew")

// TestGolden judges the files of testdata by its pods; beside each lies what is told.
func TestGolden(t *testing.T) {
	pods, err := os.ReadFile("testdata/pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	beside := lint.Read([]lint.File{{Name: "pods.yaml", Data: pods}})
	for _, name := range []string{"kubernetes", "cilium", "dns"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, p := range lint.Check(lint.Input{Files: []lint.File{{Name: name, Data: data}}, Beside: beside}).Problems {
				b.WriteString(p.String() + "\n  " + string(p.Code) + ": " + p.Cure + "\n")
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if b.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", b.String(), want)
			}
		})
	}
}

// BenchmarkCheck judges the largest solution by its lab's workloads.
func BenchmarkCheck(b *testing.B) {
	for _, l := range catalogue(b) {
		if l.ID != "21" {
			continue
		}
		files := labFiles(b, l, l.Tasks[0].Solution)
		b.Run("alone", func(b *testing.B) {
			beside := lint.Read(labFiles(b, l, l.Workloads))
			for b.Loop() {
				lint.Check(lint.Input{Files: files, Beside: beside, Namespace: l.Namespace})
			}
		})
		b.Run("with the workloads read anew", func(b *testing.B) {
			for b.Loop() {
				lint.Check(lint.Input{Files: files, Beside: lint.Read(labFiles(b, l, l.Workloads)), Namespace: l.Namespace})
			}
		})
	}
}
