//go:build linux

package enter

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openTerminal opens a pseudo-terminal of the container's devpts, sends its
// master to the server and makes its slave the standard streams and the
// controlling terminal. With console it is /dev/console as well.
func openTerminal(status *channel, console bool) error {
	master, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a terminal: %w", err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlock the terminal: %w", err)
	}
	n, err := unix.IoctlGetUint32(master, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("number the terminal: %w", err)
	}
	path := "/dev/pts/" + strconv.Itoa(int(n))
	slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the terminal's other end: %w", err)
	}
	if console {
		if err := bindConsole(path); err != nil {
			return err
		}
	}
	if err := status.sendTerminal(master); err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(slave, fd, 0); err != nil {
			return fmt.Errorf("use the terminal: %w", err)
		}
	}
	// The helper leads a session of its own: the server started it so.
	if err := unix.IoctlSetInt(0, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("take the terminal: %w", err)
	}
	return nil
}

func bindConsole(pts string) error {
	f, err := os.OpenFile("/dev/console", os.O_CREATE|os.O_RDONLY, 0o666)
	if err != nil {
		return fmt.Errorf("make /dev/console: %w", err)
	}
	f.Close()
	if err := unix.Mount(pts, "/dev/console", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind /dev/console: %w", err)
	}
	return nil
}
