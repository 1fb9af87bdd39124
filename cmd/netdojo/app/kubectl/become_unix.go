//go:build unix

package kubectl

import (
	"os"
	"syscall"
)

// programName is kubectl's file beside netdojo.
const programName = "netdojo-kubectl"

// become replaces the process by a program. It returns only an error.
func become(program string, args []string) error {
	return syscall.Exec(program, append([]string{program}, args...), os.Environ())
}
