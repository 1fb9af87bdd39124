package linear

import (
	"testing"

	"github.com/netdojo/netdojo/labs"
)

// TestOwnLab: who opens a lab hears whose names it has, and that it is not the present one.
func TestOwnLab(t *testing.T) {
	f := newFake()
	f.change = func(lab *labs.Lab) { lab.Seed, lab.Begun = "jane", "0.9" }
	wants(t, talk(t, f, t.TempDir(), "4", "quit"), "Its names are those of the seed jane.", "You began it with netdojo 0.9, and it has changed since", "netdojo labs update 04 takes the present one.")
}
