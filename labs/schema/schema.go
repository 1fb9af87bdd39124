// Package schema embeds the JSON Schema of lab.yaml, for the loader and for
// editors.
package schema

import _ "embed"

// Lab is the JSON Schema (draft 2020-12) of lab.yaml.
//
//go:embed lab.schema.json
var Lab []byte
