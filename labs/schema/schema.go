// Package schema embeds the JSON Schemas (draft 2020-12) of lab.yaml and
// course.yaml, for the loader and for editors. They are generated from the types
// of labs and checks and from their comments.
package schema

import _ "embed"

//go:generate go test -run TestSchemas -update .

// Lab is the schema of lab.yaml.
//
//go:embed lab.schema.json
var Lab []byte

// Course is the schema of course.yaml.
//
//go:embed course.schema.json
var Course []byte
