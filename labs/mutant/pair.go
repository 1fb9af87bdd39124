package mutant

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/manifests/object"
)

// AtLeast makes the mutants of Of and, where an answer is too small for n of them, more: two
// changes at once, of two fields, and, where these are not enough, selectors of all pods
// that pick those of one label. Fewer than n are made only where there are no more. The
// same answer has the same mutants each time.
func AtLeast(files []File, known Known, n int) ([]Mutant, error) {
	out, err := Of(files, known)
	if err == nil && len(out) < n {
		out, err = pairs(files, known, out, n)
	}
	if err != nil || len(out) >= n {
		return out, err
	}
	narrow := maker{files: files, known: known, seen: map[string]bool{}, narrows: true}
	if out, err = narrow.make(); err != nil {
		return nil, err
	}
	return pairs(files, known, out, n)
}

// pairs adds to changes of an answer those that are two of them at once, in turn one of
// each, until there are n.
func pairs(files []File, known Known, singles []Mutant, n int) ([]Mutant, error) {
	seen := map[string]bool{}
	note := func(files []File) (bool, error) {
		text, err := canonical(files)
		isNew := !seen[text]
		seen[text] = true
		return isNew, err
	}
	if _, err := note(files); err != nil {
		return nil, err
	}
	for _, m := range singles {
		if _, err := note(m.Files); err != nil {
			return nil, err
		}
	}
	seconds := make([][]Mutant, len(singles)) // of each, those that were not taken
	for i, first := range singles {
		all, err := Of(filled(first.Files), known)
		if err != nil {
			return nil, err
		}
		seconds[i] = slices.DeleteFunc(all, func(m Mutant) bool {
			return m.Operator == PolicyRemoved || m.Object == first.Object && within(m.Path, first.Path)
		})
	}
	out := slices.Clone(singles)
	for round, some := 0, true; some && len(out) < n; round++ {
		some = false
		for i, first := range singles {
			if len(out) >= n {
				break
			}
			for len(seconds[i]) > 0 {
				some = true
				// Neighbours change the same field, so they are not taken one after another.
				at := (7*round + i) % len(seconds[i])
				second := seconds[i][at]
				seconds[i] = slices.Delete(seconds[i], at, at+1)
				isNew, err := note(second.Files)
				if err != nil {
					return nil, err
				}
				if isNew {
					out = append(out, both(first, second))
					break
				}
			}
		}
	}
	return out, nil
}

// both is the mutant of a first change and of a second one that was made of it.
func both(first, second Mutant) Mutant {
	m := first
	m.Files = second.Files
	where := second.Path
	if second.Object != first.Object {
		where = second.Object + " " + where
	}
	m.Change += "; and " + where + ": " + second.Change
	return m
}

// filled are the files that hold something: one whose only policy was removed does not.
func filled(files []File) []File {
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool { return len(f.Data) == 0 })
}

// within says whether one of two fields is below the other.
func within(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// canonical is what files say, however it is written.
func canonical(files []File) (string, error) {
	var out strings.Builder
	var errs []error
	for _, f := range filled(files) {
		objects, err := object.Parse(f.Name, f.Data)
		errs = append(errs, err)
		for _, o := range objects {
			text, err := json.Marshal(o.Object)
			errs = append(errs, err)
			out.Write(text)
			out.WriteByte('\n')
		}
	}
	return out.String(), errors.Join(errs...)
}
