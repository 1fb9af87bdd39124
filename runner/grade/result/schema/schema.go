// Package schema embeds the JSON Schema (draft 2020-12) of the results of grading, as
// netdojo grade --output json prints them. It is generated from the types of result
// and from their comments.
package schema

import _ "embed"

//go:generate go test -run TestSchema -update .

// Grade is the schema of a class's results.
//
//go:embed grade.schema.json
var Grade []byte
