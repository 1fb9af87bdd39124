package page

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// documentation is the folder of Cilium's guides, in the module.
func documentation(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "Documentation")
}

// TestCiliumClaims compares what is recognised in Cilium's guides with what a person
// reads there: most of it, of the same kind, and nothing that no person reads.
func TestCiliumClaims(t *testing.T) {
	listing, err := os.ReadFile("testdata/cilium-claims.txt")
	if err != nil {
		t.Fatal(err)
	}
	byHand := map[string][]string{}
	var pages []string
	for line := range strings.Lines(string(listing)) {
		at, kind, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || at == "#" {
			continue
		}
		file, n, _ := strings.Cut(at, ":")
		if !slices.Contains(pages, file) {
			pages = append(pages, file)
		}
		byHand[file] = append(byHand[file], n+" "+kind)
	}
	docs := documentation(t)
	all, found := 0, 0
	for _, file := range pages {
		src, err := os.ReadFile(filepath.Join(docs, file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Read(file, src, nil) // included pages are listed by themselves
		if err != nil {
			t.Fatal(err)
		}
		recognised, lines := map[string]bool{}, map[string]bool{}
		for _, c := range p.Commands() {
			for _, claim := range c.Claims {
				kind := string(claim.Kind)
				if claim.Kind == Shows && c.Connects() {
					kind = string(Allowed) // the server's answer is shown
				}
				recognised[fmt.Sprint(claim.Line, " ", kind)] = true
				lines[fmt.Sprint(claim.Line)] = true
			}
		}
		n := 0
		for _, want := range byHand[file] {
			line, _, _ := strings.Cut(want, " ")
			delete(lines, line)
			if recognised[want] {
				n++
			} else {
				t.Logf("%s:%s is not recognised as that", file, want)
			}
		}
		for extra := range lines {
			t.Errorf("%s:%s is recognised as a claim, and no person reads one there", file, extra)
		}
		t.Logf("%s: %d of %d", file, n, len(byHand[file]))
		all, found = all+len(byHand[file]), found+n
	}
	if found*100 < all*90 {
		t.Errorf("%d of %d claims are recognised", found, all)
	}
}
