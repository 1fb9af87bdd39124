package keys

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the documentation's table anew")

const (
	guide = "../../docs/screen.md"
	begin = "<!-- keys: go test ./tui/keys -update -->\n"
)

// TestDocumentation: the guide's table is this list.
func TestDocumentation(t *testing.T) {
	data, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	text, _, ok := strings.Cut(string(data), begin)
	if !ok {
		t.Fatalf("%s has no line %q", guide, begin)
	}
	want := text + begin + "\n" + Markdown()
	if *update {
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(data) != want {
		t.Errorf("%s does not hold the table of the bindings; go test ./tui/keys -update writes it", guide)
	}
}

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		key   string
		scope Scope
		want  ID
	}{
		{"d", Lab, Deny}, {"d", Provision, Details}, {"q", Lab, Quit}, {"enter", Start, Open}, {"enter", Lab, ""},
	} {
		if b, _ := Find(tc.key, tc.scope); b.ID != tc.want {
			t.Errorf("%s on the %s is %q, want %q", tc.key, tc.scope, b.ID, tc.want)
		}
	}
}

// TestBindings: each is told, and no key has two meanings in one place.
func TestBindings(t *testing.T) {
	for _, scope := range Scopes() {
		seen := map[string]ID{}
		for _, b := range In(scope) {
			if b.Long == "" || b.Short == "" || len(b.Keys) == 0 {
				t.Errorf("%s is not told in full", b.ID)
			}
			for _, k := range b.Keys {
				if other, ok := seen[k]; ok {
					t.Errorf("%s is both %s and %s on the %s", k, other, b.ID, scope)
				}
				seen[k] = b.ID
			}
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for spelling, want := range map[string]string{
		"": "ctrl+g", "ctrl-b": "ctrl+b", "Ctrl+A": "ctrl+a", "^o": "ctrl+o", "alt-x": "alt+x", "F12": "f12",
		"ctrl-i": "", "ctrl-m": "", "g": "", "enter": "", "f13": "", "ctrl-alt-g": "", "ctrl-": "",
	} {
		got, err := ParsePrefix(spelling)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", spelling, got, err, want)
		}
	}
}
