//go:build linux

package enter

import (
	"fmt"
	"slices"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

const lastCapability = 63 // newer kernels may know more than we name

// capabilityMask is the set as bits by number.
func capabilityMask(names []string) (uint64, error) {
	var mask uint64
	for _, name := range names {
		if name == sandbox.AllCapabilities {
			return ^uint64(0), nil
		}
		n := slices.Index(sandbox.Capabilities, name)
		if n < 0 {
			return 0, fmt.Errorf("unknown capability %s", name)
		}
		mask |= 1 << n
	}
	return mask, nil
}
