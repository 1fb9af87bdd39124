package oracle_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/cilium/cilium/pkg/policy/api"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/oracle"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/individual"
)

func worldOf(t *testing.T, lab *labs.Lab) *labWorld {
	t.Helper()
	w := &labWorld{World: oracle.World{Node: netip.MustParseAddr("172.16.0.1")}, services: map[string]service{}}
	w.build(t, lab)
	return w
}

func seeded(t *testing.T, lab *labs.Lab, seed string) *labs.Lab {
	t.Helper()
	made, err := lab.Seeded(seed)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestSeeds has the simulator judge the labs that differ from person to person: by any
// seed the answers bring the verdicts that the lab declares.
func TestSeeds(t *testing.T) {
	api.InitEntities("default")
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, lab := range all {
		if len(lab.Values) == 0 {
			continue
		}
		for _, seed := range []string{"4711"} {
			made := seeded(t, lab, seed)
			w := worldOf(t, made)
			for _, task := range made.Tasks {
				if ofNames(t, made, task) {
					continue
				}
				judged++
				t.Run(fmt.Sprintf("%s by %s", task.ID, seed), func(t *testing.T) { w.task(t, made, task) })
			}
		}
	}
	if judged == 0 {
		t.Error("no task was judged")
	}
}

// TestAnswersOfAnother hands in, for one seed, the solution of another with its own names
// filled in: its namespaces, without which nothing of it would be applied. Labels and
// ports are those of the other, and it earns less than half.
func TestAnswersOfAnother(t *testing.T) {
	api.InitEntities("default")
	seeds := []string{"jane", "john"}
	for _, id := range []string{"e1", "e2"} {
		lab, err := labs.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		for i, from := range seeds {
			to := seeds[(i+1)%len(seeds)]
			theirs, own := seeded(t, lab, from), seeded(t, lab, to)
			w := worldOf(t, own)
			points, of := w.earns(t, own, own)
			if points != of || of == 0 {
				t.Errorf("exam %s of %s: their own solution earns %d of %d", id, to, points, of)
			}
			filled := withNames(theirs, own)
			if points, of = w.earns(t, own, filled); 2*points >= of {
				t.Errorf("exam %s of %s: the answers of %s, with names filled in, earn %d of %d", id, to, from, points, of)
			}
			t.Logf("exam %s of %s: the answers of %s, with names filled in, earn %d of %d", id, to, from, points, of)
		}
	}
}

// withNames is a lab whose files have the names of another seed's namespaces.
func withNames(from, to *labs.Lab) *labs.Lab {
	var words []individual.Word
	seen := map[string]bool{}
	for i, task := range from.Tasks {
		for j, c := range task.Checks {
			if old := c.From.Namespace; !seen[old] {
				seen[old] = true
				words = append(words, individual.Word{Kind: individual.Name, Old: old, New: to.Tasks[i].Checks[j].From.Namespace})
			}
		}
	}
	r := individual.NewReplacer(words)
	filled := *from
	filled.FS = individual.Folder{FS: from.FS, Rewrite: func(_ string, text []byte) ([]byte, error) { return r.Text(text), nil }}
	return &filled
}

// earns is the score of a lab's solutions, those of answers, in the tasks that the
// simulator judges.
func (w *labWorld) earns(t *testing.T, lab, answers *labs.Lab) (points, of int) {
	t.Helper()
	for i, task := range lab.Tasks {
		if ofNames(t, lab, task) {
			continue
		}
		if err := w.apply(t, answers, answers.Tasks[i].Solution); err != nil {
			t.Fatal(err)
		}
		passed := map[string]bool{}
		for _, c := range task.Checks {
			passed[c.ID] = w.verdict(t, c) == checks.Kind(c.After)
		}
		p, m := task.Graded().Score(func(id string) bool { return passed[id] })
		points, of = points+p, of+m
	}
	return points, of
}
