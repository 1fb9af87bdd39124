//go:build linux && bench

package e2e

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
)

const gradeRuns = 3

// benchGrade grades thirty submissions of lab 04, the solution and each known wrong
// answer in turns.
func benchGrade(t *testing.T) figures {
	lab, err := labs.Open("04")
	if err != nil {
		t.Fatal(err)
	}
	files := lab.Tasks[0].Solution
	for _, w := range lab.Tasks[0].Wrong {
		files = append(files, w.Files...)
	}
	var class []handedIn
	for i := range 30 {
		data, err := fs.ReadFile(lab.FS, files[i%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		class = append(class, handedIn{name: fmt.Sprintf("student%02d", i), files: map[string]string{"policy.yaml": string(data)}})
	}
	dir, _ := writeClass(t, class)
	var took figures
	for range gradeRuns {
		h := newHome(t, t.TempDir())
		began := time.Now()
		h.must("grade", dir, "--lab", "04", "--jobs", "2", "--results", filepath.Join(t.TempDir(), "results"))
		took = append(took, time.Since(began).Seconds())
	}
	return took
}
