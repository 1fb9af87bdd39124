package labs_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/catalogue"
)

func TestCatalogueIsClean(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("the catalogue is empty")
	}
	for _, lab := range all {
		sub, err := fs.Sub(catalogue.FS, lab.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range labs.Lint(sub) {
			t.Errorf("lab %s: %s (%s)", lab.ID, p, p.Cure)
		}
	}
	for _, p := range labs.LintCourse(catalogue.FS) {
		t.Errorf("%s (%s)", p, p.Cure)
	}
	course, err := labs.CatalogueCourse()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range course.Labs {
		if all[i].ID != e.Lab {
			t.Errorf("lab %d of the catalogue is %s, of the course %s", i, all[i].ID, e.Lab)
		}
	}
}

// TestPagesNameTheAnswer: the file that the screen opens for a task's answer is the one
// that the page tells to write.
func TestPagesNameTheAnswer(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range all {
		for _, task := range lab.Tasks {
			if len(task.Checks) == 0 {
				continue
			}
			page, err := fs.ReadFile(lab.FS, task.Page)
			if err != nil {
				t.Fatal(err)
			}
			if file := task.AnswerFile(); !strings.Contains(string(page), file) {
				t.Errorf("the page of task %s does not name %s", task.ID, file)
			}
		}
	}
}
