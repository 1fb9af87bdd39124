package tui

import (
	"slices"
	"testing"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cure"
)

// TestSeed: labs that differ from person to person have the names of the seed that was
// given, then and the next time, until it is forgotten; others are as they are.
func TestSeed(t *testing.T) {
	e, _ := machine(t)
	given := func(s string) *string { return &s }
	for _, tc := range []struct {
		name string
		seed *string
		want string
	}{
		{"none before", nil, ""},
		{"given", given("Jane"), "jane"},
		{"kept", nil, "jane"},
		{"another", given("john"), "john"},
		{"forgotten", given(""), ""},
		{"stays forgotten", nil, ""},
	} {
		b := opened(t, e, nil)
		if err := b.takeSeed(tc.seed); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if b.seed != tc.want {
			t.Errorf("%s: the seed is %q, want %q", tc.name, b.seed, tc.want)
		}
		if tc.name != "kept" && tc.name != "forgotten" {
			continue // it takes a while to read all labs
		}
		all, err := b.Labs()
		if err != nil {
			t.Fatal(err)
		}
		for _, lab := range all {
			want := ""
			if slices.Contains([]string{"03", "08", "09", "13", "e1", "e2"}, lab.ID) {
				want = tc.want
			}
			if lab.Seed != want {
				t.Errorf("%s: lab %s is of seed %q, want %q", tc.name, lab.ID, lab.Seed, want)
			}
		}
	}
	if err := opened(t, e, nil).takeSeed(given("a b")); exit.Code(err) != exit.Usage || len(cure.All(err)) == 0 {
		t.Errorf("no seed: %v", err)
	}
}
