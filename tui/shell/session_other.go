//go:build !unix

package shell

import (
	"os"
	"os/exec"
)

// Without sessions there are no terminals to start in either: the program is all.

func tellOfHangUp(*exec.Cmd) {}

func endSession(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

// notifyResize never gives a value: no signal tells of a new size.
func notifyResize() (resized <-chan os.Signal, stop func()) { return nil, func() {} }

func foreground(*os.File, int) string { return "" }

func setSize(*os.File, int, int) {}
