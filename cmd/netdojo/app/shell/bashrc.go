package shell

import _ "embed"

// bashrc is what every shell of ours reads first, with a terminal or without.
//
//go:embed bashrc.sh
var bashrc string
