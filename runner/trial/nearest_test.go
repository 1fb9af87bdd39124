package trial_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/offline"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/trial"
)

// engine asks the policy engine in the test's own process.
func engine(ctx context.Context, base []control.File, v control.Variants) ([]control.Variant, error) {
	r, err := offline.Answer(ctx, control.Offline{Files: base, Variants: &v})
	if err == nil && r.Fault != nil {
		err = errors.New(r.Fault.Message)
	}
	return r.Variants, err
}

// everyEnv has TestNearest try one mutant in so many, of the whole catalogue. All of
// them take a quarter of an hour on two processors.
const everyEnv = "NETDOJO_NEAREST_EVERY"

// A fixed part takes seconds: one in so many of these labs' mutants.
const someEvery = 8

var someLabs = []string{"02", "04", "05", "08"}

// leastNamed is the share of mutants in percent of which the changed field is named
// first.
const leastNamed = 90

// TestNearest changes solutions of the catalogue, one field at a time, as lab test
// does, and has the fields named that a change could mend. Of those changes that a
// check notices, the first field that is named is the one that was changed.
func TestNearest(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	every, count := someEvery, 0
	if text := os.Getenv(everyEnv); text != "" {
		if every, err = strconv.Atoi(text); err != nil || every < 1 {
			t.Fatalf("%s is %q", everyEnv, text)
		}
	} else {
		all = slices.DeleteFunc(all, func(l *labs.Lab) bool { return !slices.Contains(someLabs, l.ID) })
	}
	named, tried := 0, 0
	for _, l := range all {
		for _, task := range l.Tasks {
			before, solution, made, err := trial.Changes(l, task)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range made {
				if m.Operator == mutant.PolicyRemoved {
					continue // no field is left to name
				}
				if count++; count%every != 0 {
					continue
				}
				got, err := trial.Nearest(t.Context(), lab.Engine(engine), l, task, before, parse(t, m.Files))
				if err != nil {
					t.Fatal(err)
				}
				if len(got.Failing) == 0 {
					continue // refused, or no check notices it
				}
				tried++
				if len(got.Suspects) > 0 && names(t, got.Suspects[0], solution, m) {
					named++
					continue
				}
				line := fmt.Sprintf("%s %s %s %s: %s; named:", task.ID, m.Operator, m.Object, m.Path, m.Change)
				for _, s := range got.Suspects {
					line += " " + s.Path
				}
				t.Log(line)
			}
		}
	}
	share := 100 * float64(named) / float64(max(tried, 1))
	t.Logf("named first: %d of %d mutants, %.1f %%", named, tried, share)
	if tried < 10 || share < leastNamed {
		t.Errorf("%.1f %% of %d, want at least %d %%", share, tried, leastNamed)
	}
}

func parse(t *testing.T, files []mutant.File) []object.Object {
	t.Helper()
	var all []object.Object
	for _, f := range files {
		objects, err := object.Parse(f.Name, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, objects...)
	}
	return all
}

// names says whether a suspect is a field in which the mutant differs from the
// solution, or within one that was emptied.
func names(t *testing.T, s trial.Suspect, solution []mutant.File, m mutant.Mutant) bool {
	t.Helper()
	for i, f := range m.Files {
		if f.Name != s.File {
			continue
		}
		was, is := parse(t, solution[i:i+1]), parse(t, m.Files[i:i+1])
		if len(was) != len(is) {
			return false
		}
		for j := range was {
			for _, d := range differs("", was[j].Object, is[j].Object) {
				below, within := strings.CutPrefix(s.Path, d.path)
				if s.Path == d.path || within && d.gone && strings.ContainsAny(below[:1], ".[") {
					return true
				}
			}
		}
	}
	return false
}

// difference is a field that is another, or gone, or empty in the second of two values.
type difference struct {
	path string
	gone bool
}

// differs are the fields in which two values differ: of mappings each key, of lists of
// mappings that are of one length each entry, else the list.
func differs(path string, a, b any) (out []difference) {
	if reflect.DeepEqual(a, b) {
		return nil
	}
	if x, ok := a.(map[string]any); ok {
		y, ok := b.(map[string]any)
		if !ok || len(x) == 0 || len(y) == 0 {
			return []difference{{path, len(y) == 0}}
		}
		keys := slices.Concat(slices.Collect(maps.Keys(x)), slices.Collect(maps.Keys(y)))
		slices.Sort(keys)
		for _, k := range slices.Compact(keys) {
			_, inA := x[k]
			_, inB := y[k]
			at := strings.TrimPrefix(path+"."+k, ".")
			if inA && inB {
				out = append(out, differs(at, x[k], y[k])...)
			} else {
				out = append(out, difference{at, !inB})
			}
		}
		return out
	}
	x, ok := a.([]any)
	y, same := b.([]any)
	if !ok || !same || len(x) != len(y) {
		return []difference{{path, false}}
	}
	for i := range x {
		if _, ok := x[i].(map[string]any); !ok {
			return []difference{{path, false}, {path + "[" + strconv.Itoa(i) + "]", false}}
		}
		out = append(out, differs(path+"["+strconv.Itoa(i)+"]", x[i], y[i])...)
	}
	return out
}
