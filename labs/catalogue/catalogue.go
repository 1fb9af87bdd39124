// Package catalogue embeds the labs that netdojo brings, one folder a lab, named
// by the lab's id, and the course that they make.
package catalogue

import "embed"

// FS holds course.yaml and the labs' folders at its root.
//
//go:embed all:*
var FS embed.FS
