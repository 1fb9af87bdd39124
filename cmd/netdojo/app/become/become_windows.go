package become

import (
	"errors"
	"os"
	"os/exec"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// File is the name of a program's file.
func File(program string) string { return program + ".exe" }

// Program runs a program to its end, as Windows cannot replace a process. It is told to
// be called as the first argument says.
func Program(path string, args ...string) error {
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		return exit.Silent(ended.ExitCode())
	}
	return err
}
