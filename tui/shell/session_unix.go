//go:build unix

package shell

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// tellOfHangUp tells the program's session that its terminal is gone.
func tellOfHangUp(cmd *exec.Cmd) {
	session := -cmd.Process.Pid // pty.Start makes it a session leader
	_ = syscall.Kill(session, syscall.SIGHUP)
	_ = syscall.Kill(session, syscall.SIGCONT)
}

// endSession ends what did not listen.
func endSession(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// notifyResize gives a value when the real terminal has another size, until stop
// is called.
func notifyResize() (resized <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}
