package trial

import (
	"cmp"
	"context"
	"io/fs"
	"slices"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// footprint is what of a cluster a lab touches.
type footprint struct {
	all        bool // its answers may reach pods of any namespace
	namespaces map[string]bool
}

// footprintOf reads a lab's files. What cannot be read is told where the lab is
// tried.
func footprintOf(lab *labs.Lab) footprint {
	f := footprint{namespaces: map[string]bool{lab.Namespace: true}}
	files := slices.Clone(lab.Workloads)
	for _, t := range lab.Tasks {
		files = append(files, t.Solution...)
		for _, w := range t.Wrong {
			files = append(files, w.Files...)
		}
		for _, c := range t.Checks {
			if c.InPod() {
				f.namespaces[c.From.Namespace] = true
			}
		}
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		for _, obj := range objectsIn(lab.FS, file) {
			kind, _ := policies.Find(obj.GetKind())
			switch ns := obj.GetNamespace(); {
			case kind.Clusterwide, ns == "kube-system":
				f.all = true
			case obj.GetKind() == "Namespace":
				f.namespaces[obj.GetName()] = true
			case ns != "":
				f.namespaces[ns] = true
			}
		}
	}
	return f
}

func objectsIn(fsys fs.FS, file string) []object.Object {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil
	}
	objects, err := object.Parse(file, data)
	if err != nil {
		return nil
	}
	return objects
}

func (f footprint) meets(other footprint) bool {
	if f.all || other.all {
		return true
	}
	for ns := range f.namespaces {
		if other.namespaces[ns] {
			return true
		}
	}
	return false
}

// probes is how many checks are run after a lab's answers.
func probes(lab *labs.Lab) int {
	n := 0
	for _, t := range lab.Tasks {
		answers := 2 + len(t.Wrong) // nothing, and the solution
		if len(t.Pairs) > 0 {
			answers += 2 // policies for everything
		}
		n += len(t.Checks) * answers
	}
	return n
}

// turns calls try for each lab by its index, several side by side but those that
// touch the same, those with the most to probe first. It returns when all that were
// begun have ended; after ctx's end no other is begun.
func turns(ctx context.Context, all []*labs.Lab, parallel int, try func(i int)) error {
	if parallel == 0 {
		parallel = DefaultParallel
	}
	waiting := make([]int, len(all))
	prints := make([]footprint, len(all))
	for i, lab := range all {
		waiting[i], prints[i] = i, footprintOf(lab)
	}
	slices.SortStableFunc(waiting, func(a, b int) int { return cmp.Compare(probes(all[b]), probes(all[a])) })
	running := map[int]bool{}
	ended := make(chan int)
	for len(waiting) > 0 || len(running) > 0 {
		for len(running) < parallel && ctx.Err() == nil {
			next := slices.IndexFunc(waiting, func(i int) bool {
				for r := range running {
					if prints[i].meets(prints[r]) {
						return false
					}
				}
				return true
			})
			if next < 0 {
				break
			}
			i := waiting[next]
			waiting = slices.Delete(waiting, next, next+1)
			running[i] = true
			go func() {
				try(i)
				ended <- i
			}()
		}
		if len(running) == 0 {
			break // ctx has ended
		}
		delete(running, <-ended)
	}
	return ctx.Err()
}
