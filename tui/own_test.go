package tui

import "testing"

// TestOwnLab: whose names a lab has, and that it is not the present one, stands below it
// on the start page.
func TestOwnLab(t *testing.T) {
	f, state := aCourse(t)
	f.labs[1].Seed, f.labs[1].Begun = "jane", "0.9"
	d := drive(t, f, Options{StateDir: state}, 120, 40)
	d.sees("Its names are those of the seed jane.", "You began it with netdojo 0.9, and it has changed since", "netdojo labs update 02")
	d.keys("down")
	d.seesNot("the seed jane")
	d.seesNot("You began it")
}
