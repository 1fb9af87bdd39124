//go:build unix

package become

import (
	"os"
	"syscall"
)

// File is the name of a program's file.
func File(program string) string { return program }

// Program replaces the process by a program, which is told to be called as the first
// argument says. It returns only an error.
func Program(path string, args ...string) error {
	return syscall.Exec(path, args, os.Environ())
}
