package hubble

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// address is a socket's for the program that this process becomes: its path may be
// longer than a socket's name can be, so its folder stays open.
func address(socket string) (string, error) {
	dir, err := unix.Open(filepath.Dir(socket), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", fmt.Errorf("open the folder of %s: %w", socket, err)
	}
	return fmt.Sprintf("unix:///proc/self/fd/%d/%s", dir, filepath.Base(socket)), nil
}
