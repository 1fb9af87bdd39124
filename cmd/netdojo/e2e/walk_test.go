//go:build linux

package e2e

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	manifest "github.com/netdojo/netdojo/manifests/object"
)

var walkAll = flag.Bool("walk.all", false, "TestEveryLab: every lab on the screen and in plain lines, not the quick ones in turns")

// TestEveryLab does the labs of the catalogue as a learner does, each from the first page
// until the lab says that it is done: what it asks is foretold, the answer is typed, its
// questions are answered. The quick labs take turns: one is done on the screen, the next in
// plain lines; make lab-walk does every lab on both.
func TestEveryLab(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for i, face := range []struct {
		name string
		walk func(*testing.T, *walker, *labs.Lab)
	}{
		{"on the screen", onTheScreen},
		{"in plain lines", inPlainLines},
	} {
		t.Run(face.name, func(t *testing.T) {
			t.Parallel() // both wait for the cluster most of the time
			w := newWalker(t)
			for _, lab := range w.order(all) {
				if at := slices.Index(all, lab); !*walkAll && (at%2 != i || slow(lab)) {
					continue
				}
				t.Run(lab.ID, func(t *testing.T) {
					if lab.NeedsIPv6() {
						needIPv6(t)
					}
					w.h.t = t
					if lab.Exam != nil {
						sitExam(t, w, lab)
					}
					face.walk(t, w, lab)
				})
			}
		})
	}
}

// atWork is what is waited for pods and checks: an exam has forty pods, a lab fifty checks.
const atWork = 4 * time.Minute

// walker is who does labs.
type walker struct {
	h    *home
	work string // where the folders of the labs are
}

func newWalker(t *testing.T) *walker {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state, "VISUAL=", "EDITOR=vi")
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	return &walker{h: h, work: filepath.Join(state, "work", cluster.DefaultName)}
}

// order is the course's, with the labs last that take another cluster.
func (w *walker) order(all []*labs.Lab) []*labs.Lab {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *labs.Lab) int { return apart(a) - apart(b) })
	return all
}

// slow says of a lab that it takes minutes: a cluster of its own, an exam, many checks.
func slow(l *labs.Lab) bool { return apart(l) > 0 || l.Exam != nil || len(l.Tasks[0].Checks) > 40 }

func apart(l *labs.Lab) int {
	switch {
	case l.NeedsNodes():
		return 1
	case l.NeedsIPv6():
		return 2
	}
	return 0
}

// answer is what a learner does about a task.
type answer struct {
	file, text string
	// removals are the commands that take away what the task's file had and the answer has
	// not; it is applied as it was found before.
	removals []string
}

// answerTo is the task's solution.
func answerTo(t *testing.T, lab *labs.Lab, task labs.Task) answer {
	t.Helper()
	read := func(name string) string {
		text, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	a := answer{file: task.AnswerFile()}
	for _, name := range task.Solution {
		a.text += strings.TrimRight(read(name), "\n") + "\n"
	}
	if task.Skeleton == "" {
		return a
	}
	has := objectsOf(t, a.text)
	for _, o := range objectsOf(t, read(task.Skeleton)) {
		if slices.ContainsFunc(has, func(other manifest.Object) bool { return other.Ref(lab.Namespace) == o.Ref(lab.Namespace) }) || o.GetNamespace() == "" {
			continue // a placeholder of a name has no namespace yet
		}
		a.removals = append(a.removals, "kubectl -n "+o.GetNamespace()+" delete "+strings.ToLower(o.GetKind())+" "+o.GetName())
	}
	return a
}

func objectsOf(t *testing.T, text string) []manifest.Object {
	t.Helper()
	all, err := manifest.Parse("text.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// foretold is what the learner says of each check that the lab asks about, in the order
// of the checks: what the policy is to do.
func foretold(task labs.Task) (all []foretelling) {
	for _, c := range task.Checks {
		if !slices.Contains(task.Predict, c.ID) {
			continue
		}
		what := checks.ExpectAllowed
		if c.After != checks.ExpectAllowed {
			what = checks.ExpectDenied
		}
		all = append(all, foretelling{c.ID, what})
	}
	return all
}

type foretelling struct {
	check string
	what  checks.Expect
}

// rightChoice is the place of a question's right answer.
func rightChoice(q labs.Question) int {
	return slices.IndexFunc(q.Choices, func(c labs.Choice) bool { return c.Right })
}

// points are what the lab is worth.
func points(lab *labs.Lab) (of int) {
	for _, task := range lab.Tasks {
		_, n := task.Score(func(string) bool { return false })
		of += n
	}
	return of
}

// saved waits until a file of the lab's folder holds a text.
func (w *walker) saved(t *testing.T, lab *labs.Lab, file, text string) {
	t.Helper()
	eventually(t, file+" is saved", 20*time.Second, func() bool {
		got, err := os.ReadFile(filepath.Join(w.work, lab.Folder(), file))
		return err == nil && string(got) == text
	})
}

// types types a text as it is, where keys reads names of keys.
func (w *window) types(text string) {
	w.t.Helper()
	w.keys("-l", "--", text)
}
