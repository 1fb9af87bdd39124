package tui

import (
	"fmt"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/kept"
	"github.com/netdojo/netdojo/cmd/netdojo/app/verdicts"
	"github.com/netdojo/netdojo/labs"
)

// takeSeed takes the seed that was given, and keeps it for the next time; nil is the one
// that was kept, and "" none.
func (b *world) takeSeed(given *string) error {
	if given == nil {
		r, err := recall(b.e, b.name)
		if err == nil && r.Seed != "" {
			b.seed, err = labs.Seed(r.Seed)
		}
		if err != nil && b.forgot == nil {
			b.forgot = err
		}
		return nil
	}
	seed := ""
	if *given != "" {
		var err error
		if seed, err = labs.Seed(*given); err != nil {
			return verdicts.Classify(err)
		}
	}
	b.seed = seed
	if err := remember(b.e, b.name, func(r *remembered) { r.Seed = seed }); err != nil {
		return exit.WithCure(fmt.Errorf("remember the seed: %w", err), "make room in %s", b.e.StateDir)
	}
	return nil
}

// own is a lab as this learner has it: as it was begun, with the names of the seed.
func (b *world) own(lab *labs.Lab) (*labs.Lab, error) {
	own, err := kept.Of(b.e, lab)
	if b.seed == "" || len(own.Values) == 0 {
		return own, err
	}
	made, broken := own.Seeded(b.seed)
	if broken != nil {
		return own, fmt.Errorf("lab %s has its own names, not those of the seed %s: %w", lab.ID, b.seed, broken)
	}
	return made, err
}
