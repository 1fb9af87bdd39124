package kubectl

import (
	"errors"
	"os"
	"os/exec"

	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
)

// programName is kubectl's file beside netdojo.
const programName = "netdojo-kubectl.exe"

// become runs a program to its end, as Windows cannot replace a process.
func become(program string, args []string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		return exit.Silent(ended.ExitCode())
	}
	return err
}
