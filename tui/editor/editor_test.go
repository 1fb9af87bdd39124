package editor

import (
	"errors"
	"testing"
)

func TestChoose(t *testing.T) {
	has := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			for _, n := range names {
				if n == name {
					return "/usr/bin/" + n, nil
				}
			}
			return "", errors.New("not found")
		}
	}
	for _, tc := range []struct {
		env  map[string]string
		has  []string
		want string
	}{
		{map[string]string{"VISUAL": "nvim", "EDITOR": "ed"}, []string{"vi"}, "nvim"},
		{map[string]string{"EDITOR": "code --wait"}, []string{"vi"}, "code --wait"},
		{map[string]string{"VISUAL": " ", "EDITOR": ""}, []string{"nano", "vi"}, "vi"},
		{nil, []string{"nano"}, "nano"},
		{nil, nil, ""},
	} {
		if got := Choose(func(name string) string { return tc.env[name] }, has(tc.has...)); got != tc.want {
			t.Errorf("with %v and %v it is %q, want %q", tc.env, tc.has, got, tc.want)
		}
	}
}

func TestWayOut(t *testing.T) {
	for command, want := range map[string]string{
		"vi":                   "Esc, then :wq and Enter saves and leaves; :q! leaves without saving",
		"/usr/bin/vim.tiny -n": "Esc, then :wq and Enter saves and leaves; :q! leaves without saving",
		"nano -w":              "ctrl-o and Enter saves, ctrl-x leaves",
		"emacs -nw":            "ctrl-x ctrl-s saves, ctrl-x ctrl-c leaves",
		"code --wait":          "",
		"":                     "",
	} {
		if got := WayOut(Name(command)); got != want {
			t.Errorf("out of %q: %q, want %q", command, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	for text, want := range map[string]string{"a/b-1.yaml": "a/b-1.yaml", "my file": "'my file'", "a b/c": "'a b/c'", "": "''", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := Word(text); got != want {
			t.Errorf("%q is spelt %s, want %s", text, got, want)
		}
	}
}
