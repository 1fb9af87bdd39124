package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/docs"
)

func TestGlossary(t *testing.T) {
	terms := docs.Glossary()
	var names []string
	for _, term := range terms {
		names = append(names, term.Name)
		if !strings.HasSuffix(term.Meaning, ".") || len(term.Meaning) > 300 {
			t.Errorf("%s is not told in a sentence or two: %q", term.Name, term.Meaning)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the terms are not sorted, or one is there twice: %v", names)
	}
	for _, verdict := range []checks.Kind{checks.Allowed, checks.Denied, checks.Broken, checks.Inconclusive} {
		if !slices.Contains(names, string(verdict)) {
			t.Errorf("the verdict %s is not explained", verdict)
		}
	}
}

// TestTermsAreUsed: a term that no page, lab or screen uses explains nothing.
func TestTermsAreUsed(t *testing.T) {
	var text strings.Builder
	for _, root := range []string{".", "../labs/catalogue", "../README.md", "../tui", "../cmd/netdojo/app", "../checks", "../runner"} {
		err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(filepath.Base(file), "glossary") {
				return err
			}
			switch filepath.Ext(file) {
			case ".md", ".yaml", ".go":
				data, err := os.ReadFile(file)
				text.Write(data)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, term := range docs.Glossary() {
		word := `(?i)\b` + strings.ReplaceAll(regexp.QuoteMeta(term.Name), " ", `\s+`) + `s?\b`
		if !regexp.MustCompile(word).MatchString(text.String()) {
			t.Errorf("nothing uses the term %s", term.Name)
		}
	}
}

// TestLinks: a page of docs/ or the README that links to another file or to a term finds it.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#: ]*)(#[^) ]*)?\)`)
	for _, page := range slices.Concat(pages, decisions, []string{"../README.md"}) {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			file := filepath.Join(filepath.Dir(page), m[1])
			if m[1] == "" {
				file = page
			}
			target, err := os.ReadFile(file)
			if info, serr := os.Stat(file); serr == nil && info.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if m[2] == "" {
				continue
			}
			heading := "\n#+ " + strings.ReplaceAll(regexp.QuoteMeta(m[2][1:]), "-", "[ -]") + "\n"
			if !regexp.MustCompile("(?i)" + heading).Match(target) {
				t.Errorf("%s links to %s%s, and there is no such heading", page, m[1], m[2])
			}
		}
	}
}
