// Package catalogue embeds the labs that netdojo brings, one folder a lab, named
// by the lab's id.
package catalogue

import "embed"

// FS holds the labs' folders at its root.
//
//go:embed all:04 all:05
var FS embed.FS
