package tui

import (
	"os"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/tui/keys"
)

const (
	guide = "../docs/screen.md"
	begin = "<!-- keys: go test ./tui -run TestDocumentation -update -->\n"
)

// TestDocumentation: the guide's table is the list of bindings.
func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	text, _, ok := strings.Cut(string(data), begin)
	if !ok {
		t.Fatalf("%s has no line %q", guide, begin)
	}
	want := text + begin + "\n" + bindings.Markdown()
	if updating() {
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(data) != want {
		t.Errorf("%s does not hold the table of the bindings; go test ./tui -run TestDocumentation -update writes it", guide)
	}
}

// TestBindings: each is told, and no key has two meanings in one place. A pane's
// own keys come before the page's, so they take none of those.
func TestBindings(t *testing.T) {
	places := [][]keys.Scope{{keys.Start, keys.Everywhere}, {keys.Clusters, keys.Everywhere}, {keys.Provision, keys.Everywhere}}
	for _, k := range kinds {
		places = append(places, []keys.Scope{keys.Pane(k.Name), keys.Lab, keys.Everywhere})
	}
	for _, scopes := range places {
		seen := map[string]keys.ID{}
		for _, b := range bindings.In(scopes...) {
			if b.Long == "" || b.Short == "" || len(b.Keys) == 0 {
				t.Errorf("%s is not told in full", b.ID)
			}
			for _, k := range b.Keys {
				if other, ok := seen[k]; ok {
					t.Errorf("%s is both %s and %s in %v", k, other, b.ID, scopes)
				}
				seen[k] = b.ID
			}
		}
	}
	if got, want := len(bindings), len(bindings.In(bindings.Scopes()...)); got != want {
		t.Errorf("%d bindings, %d by scope", got, want)
	}
}
