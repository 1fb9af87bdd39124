package cluster

import "github.com/spf13/pflag"

// Settings are what the clusters of one provider can be asked to be beside what
// all can. They stand in Spec, whose records outlive a release; the provider says
// all else of them.
type Settings struct {
	Provider string // its name
	// Flags adds the flags by which they are set in spec.
	Flags func(f *pflag.FlagSet, spec *Spec)
	// Given names those that spec has set, as after the dashes of a flag, in a fixed
	// order. Other providers do not take them.
	Given func(spec Spec) []string
	// Check says what the provider does not take of spec, with a cure.
	Check func(spec Spec) error
	// Difference says in which of them a cluster that was made as was is not what
	// want asks for; "" when in none.
	Difference func(was, want Spec) string
}
