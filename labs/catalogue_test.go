package labs_test

import (
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/catalogue"
	"github.com/netdojo/netdojo/manifests/object"
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

// brokenWord is a word that a folded line of YAML has broken at its hyphen.
var brokenWord = regexp.MustCompile(`[a-z]- [a-z]`)

// TestTextsAreWhole: no name of a text is two words.
func TestTextsAreWhole(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range all {
		texts := []string{lab.Summary}
		for _, task := range lab.Tasks {
			texts = append(texts, task.Hints.Question, task.Hints.Concept, task.Hints.Field)
			for _, w := range task.Wrong {
				texts = append(texts, w.Hint)
			}
			for _, q := range task.Quiz {
				texts = append(texts, q.Ask, q.Because)
			}
		}
		for _, text := range texts {
			if at := brokenWord.FindString(text); at != "" {
				t.Errorf("lab %s: %q in %s", lab.ID, at, text)
			}
		}
	}
}

// TestSkeletonsGiveNothingAway: the skeletons of all tasks are in the learner's folder from
// the beginning, and none holds what a task before asks for.
func TestSkeletonsGiveNothingAway(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range all {
		specs := func(names ...string) map[string]any {
			found := map[string]any{}
			for _, name := range names {
				text, err := fs.ReadFile(lab.FS, name)
				if err != nil {
					t.Fatal(err)
				}
				objects, err := object.Parse(name, text)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range objects {
					found[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = o.Object["spec"]
				}
			}
			return found
		}
		for i, task := range lab.Tasks {
			if len(task.Solution) == 0 {
				continue
			}
			solution := specs(task.Solution...)
			for _, later := range lab.Tasks[i+1:] {
				if later.Skeleton == "" {
					continue
				}
				given := specs(later.Skeleton)
				away := 0
				for name, spec := range solution {
					if has, ok := given[name]; ok && reflect.DeepEqual(has, spec) {
						away++
					}
				}
				if away == len(solution) {
					t.Errorf("%s holds the solution of task %s", later.Skeleton, task.ID)
				}
			}
		}
	}
}
