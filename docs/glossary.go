// Package docs holds what of the documentation the programs show.
package docs

import (
	_ "embed"
	"strings"
)

//go:embed glossary.md
var glossary string

// Term is a word of the glossary and what it means here, in one paragraph of plain text.
type Term struct {
	Name, Meaning string
}

// Glossary gives the terms of glossary.md, in the order of their names.
func Glossary() []Term {
	var terms []Term
	for _, section := range strings.Split(glossary, "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		terms = append(terms, Term{Name: name, Meaning: strings.Join(strings.Fields(text), " ")})
	}
	return terms
}
