package pagerun

import (
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs/page"
)

func TestBlanksAreChosen(t *testing.T) {
	web := []candidate{{name: "web-1", owner: "rs"}, {name: "web-2", owner: "rs"}}
	mixed := append([]candidate{{name: "db", labels: map[string]string{"tier": "store"}}}, web...)
	for name, tc := range map[string]struct {
		blank  page.Blank
		all    []candidate
		last   list
		before string
		chosen string
		told   string // of why it is that one, or of why none is
	}{
		"none":              {page.Blank{Of: page.BlankPod}, nil, list{}, "", "", "there is no pod"},
		"the only one":      {page.Blank{Of: page.BlankPod}, mixed[:1], list{}, "", "db", "the only pod"},
		"the same":          {page.Blank{Of: page.BlankPod}, web, list{}, "", "web-1", "one of 2 that are the same"},
		"several":           {page.Blank{Of: page.BlankPod}, mixed, list{}, "", "", "it can be db or web-1 or web-2"},
		"a word of it":      {page.Blank{Of: page.BlankPod, Hints: []string{"web"}}, mixed, list{}, "", "web-1", "one of 2"},
		"a word of a label": {page.Blank{Of: page.BlankPod, Hints: []string{"store"}}, mixed, list{}, "", "db", "with store in its name or labels"},
		"a word of nobody":  {page.Blank{Of: page.BlankPod, Hints: []string{"client"}}, mixed, list{}, "", "", "no pod has client"},
		"listed":            {page.Blank{Of: page.BlankPod}, mixed, list{"NAME READY\nweb-2 1/1\n", 7}, "", "web-2", "listed on line 7"},
		"listed, but gone":  {page.Blank{Of: page.BlankPod}, mixed, list{"old 1/1\n", 7}, "", "", "it can be"},
		"as before":         {page.Blank{Of: page.BlankPod}, mixed, list{"web-1\n", 7}, "web-2", "web-2", "as before"},
	} {
		chosen, because, why := choose(tc.blank, tc.all, tc.last, tc.before)
		if chosen.name != tc.chosen || !strings.Contains(because+why, tc.told) || (why == "") != (tc.chosen != "") {
			t.Errorf("%s: %q, %q, %q", name, chosen.name, because, why)
		}
	}
}

// TestBlankValues: what comes from a cluster into a shell's line is a name or an address.
func TestBlankValues(t *testing.T) {
	for value, want := range map[string]bool{
		"web-7d9f8c6b5-x2k4z": true, "10.0.0.1": true, "fd00::1": true, "a": true,
		"": false, "None;id": false, "$(id)": false, "a b": false, "-o": false, "a\nb": false, "`id`": false,
	} {
		if blankValue.MatchString(value) != want {
			t.Errorf("%q may be put: %t", value, !want)
		}
	}
}
