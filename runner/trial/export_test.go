package trial

import (
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/manifests/object"
)

// Changes are a task's solution and its mutants, and what solves the tasks before.
func Changes(lab *labs.Lab, task labs.Task) (before []object.Object, solution []mutant.File, made []mutant.Mutant, err error) {
	s, err := settingOf(lab, task)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, f := range s.base[len(lab.Workloads):] {
		objects, err := object.Parse(f.Name, f.Data)
		if err != nil {
			return nil, nil, nil, err
		}
		before = append(before, objects...)
	}
	made, err = mutant.Of(s.solution, s.known)
	return before, s.solution, made, err
}
