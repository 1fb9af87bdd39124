package apart

import "fmt"

// StartOnHost gives ErrUnsupported: there is no terminal for bash here.
func StartOnHost(Config) (*Shell, error) {
	return nil, fmt.Errorf("%w: it has no terminal for bash", ErrUnsupported)
}
