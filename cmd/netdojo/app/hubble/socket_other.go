//go:build !linux

package hubble

// address is a socket's.
func address(socket string) (string, error) { return "unix://" + socket, nil }
