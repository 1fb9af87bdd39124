package keys

import "testing"

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		key   string
		scope Scope
		want  ID
	}{
		{"c", Lab, Check}, {"d", Provision, Details}, {"q", Lab, Quit}, {"enter", Start, Open}, {"enter", Lab, ""},
	} {
		if b, _ := Pages().Find(tc.key, tc.scope, Everywhere); b.ID != tc.want {
			t.Errorf("%s on the %s is %q, want %q", tc.key, tc.scope, b.ID, tc.want)
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
