package mutant_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs/mutant"
)

const defaultDeny = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: a}
spec:
  podSelector: {}
  policyTypes: [Ingress]
`

// TestAtLeast: of an answer that is too small for as many changes there are two at once,
// each different from all others and from the answer, and the same each time.
func TestAtLeast(t *testing.T) {
	files := []mutant.File{{Name: "p.yaml", Data: []byte(defaultDeny)}}
	singles, err := mutant.Of(files, known)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]string{}
	for _, n := range []int{len(singles), len(singles) + 1, 25} {
		all, err := mutant.AtLeast(files, known, n)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) < n {
			t.Errorf("%d mutants, want %d", len(all), n)
		}
		seen := map[string]bool{}
		for _, m := range all {
			text := string(m.Files[0].Data)
			if seen[text] {
				t.Errorf("%s: %s comes twice", m.Path, m.Change)
			}
			seen[text] = true
			if was, ok := made[m.Path+m.Change]; ok && was != text {
				t.Errorf("%s: %s is another from time to time", m.Path, m.Change)
			}
			made[m.Path+m.Change] = text
			if m.Line < 1 || m.Object == "" {
				t.Errorf("a mutant is nowhere: %+v", m)
			}
		}
	}
	all, err := mutant.AtLeast(files, known, 25)
	if err != nil {
		t.Fatal(err)
	}
	has := func(text string) bool {
		return slices.ContainsFunc(all, func(m mutant.Mutant) bool { return strings.Contains(m.Change, text) })
	}
	for _, want := range []string{"an empty selector selects app: ", "; and spec."} {
		if !has(want) {
			t.Errorf("no mutant %q", want)
		}
	}
	if large, err := mutant.AtLeast([]mutant.File{{Name: "p.yaml", Data: []byte(networkPolicy)}}, known, 3); err != nil || slices.ContainsFunc(large, func(m mutant.Mutant) bool {
		return strings.Contains(m.Change, "; and ")
	}) {
		t.Errorf("an answer that is large enough has two changes at once: %v", err)
	}
	if _, err := mutant.AtLeast([]mutant.File{{Name: "p.yaml", Data: []byte("a: [")}}, known, 3); err == nil {
		t.Error("a file that is no manifest is no error")
	}
}
