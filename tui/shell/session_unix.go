//go:build unix

package shell

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
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

// setSize does what pty.Setsize does, which takes the descriptor from a file that may
// be closed meanwhile.
func setSize(tty *os.File, width, height int) {
	raw, err := tty.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	})
}

// foreground names the program whose process group has the terminal, "" when it
// is the shell's own. A group's leader has ended where a pipeline goes on without
// its first command.
func foreground(tty *os.File, shell int) string {
	raw, err := tty.SyscallConn() // Fd would make it block
	if err != nil {
		return ""
	}
	group := shell
	if err := raw.Control(func(fd uintptr) {
		if g, gerr := unix.IoctlGetInt(int(fd), unix.TIOCGPGRP); gerr == nil {
			group = g
		}
	}); err != nil || group == shell || group <= 0 {
		return ""
	}
	args, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(group), "cmdline"))
	name, _, _ := strings.Cut(string(args), "\x00")
	if err != nil || name == "" {
		return "a program"
	}
	return filepath.Base(name)
}
