package page

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestScenario(t *testing.T) {
	folder := os.DirFS("testdata/scenario")
	if !IsScenario(folder) {
		t.Fatal("it is no scenario")
	}
	s, err := ReadScenario(folder, "scenario")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, p := range s.Pages {
		if err := Explain(&got, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range s.Files {
		got.WriteString(f.Mode.String() + " " + f.Name + "\n")
	}
	golden := filepath.Join("testdata", "scenario.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("understood as\n%s\nwant\n%s", got.String(), want)
	}
}

// TestScenarioNumbers: commands count on from page to page, and claims about several of
// them too.
func TestScenarioNumbers(t *testing.T) {
	s, err := ReadScenario(os.DirFS("testdata/scenario"), "scenario")
	if err != nil {
		t.Fatal(err)
	}
	n, since := 0, 0
	for _, p := range s.Pages {
		for _, c := range p.Commands() {
			if n++; c.Number != n {
				t.Errorf("%s: %q is number %d, want %d", p.File, c.Text, c.Number, n)
			}
			for _, claim := range c.Claims {
				if claim.Since != 0 {
					since = c.Number - claim.Since
				}
			}
		}
	}
	if since != 1 {
		t.Errorf("the output of two commands is counted from %d before", since)
	}
}

func TestScenarioRefused(t *testing.T) {
	index := func(text string) fstest.MapFS {
		return fstest.MapFS{
			"index.json": {Data: []byte(text)}, "a.md": {Data: []byte("Hello\n")}, "latin.md": {Data: []byte("b\xe4c\n")},
		}
	}
	for name, tc := range map[string]struct {
		index, says string
		line        int
	}{
		"no JSON":         {"{\"details\":\n{\"steps\": [}}", "is not JSON", 2},
		"steps is a text": {"{\"details\":\n\n{\"steps\": \"a.md\"}}", "details.steps is a string", 3},
		"no page":         {`{"details": {"steps": []}}`, "names no page", 0},
		"a page is gone":  {`{"details": {"steps": [{"text": "b.md"}]}}`, "names a page that is not there: b.md", 0},
		"a page is outside": {`{"details": {"steps": [{"text": "../a.md"}]}}`,
			"names a page that is not in its folder: ../a.md", 0},
		"a script is gone": {`{"details": {"steps": [{"text": "a.md", "verify": "v.sh"}]}}`, "names a script that is not there: v.sh", 0},
		"Latin-1":          {`{"details": {"steps": [{"text": "latin.md"}]}}`, "is not UTF-8", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadScenario(index(tc.index), "s")
			var invalid *InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), tc.says) || invalid.Line != tc.line || invalid.Cure() == "" {
				t.Errorf("error %v, want %q on line %d, with a cure", err, tc.says, tc.line)
			}
		})
	}
	if IsScenario(index(`{"name": "a package"}`)) {
		t.Error("any index.json is a scenario")
	}
}
