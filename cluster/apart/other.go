//go:build !linux

package apart

import "fmt"

// Start gives ErrUnsupported: there are no namespaces here.
func Start(Config) (*Shell, error) {
	return nil, fmt.Errorf("%w: it has no namespaces", ErrUnsupported)
}

// Main is for Linux only.
func Main([]string) int { return 3 }
