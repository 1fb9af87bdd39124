package embedded

import (
	"strings"
	"testing"
)

func TestElsewhere(t *testing.T) {
	for goos, want := range map[string][]string{
		"darwin":  {"--provider kind", "limactl start", "limactl shell netdojo", "devcontainer up"},
		"windows": {"--provider kind", "wsl --install", "devcontainer up"},
		"freebsd": {"--provider kind", "virtual machine"},
	} {
		p := elsewhere(goos)
		for _, part := range want {
			if !strings.Contains(p.Error()+p.Fix, part) {
				t.Errorf("on %s, nothing speaks of %s:\n%v\n%s", goos, part, p, p.Fix)
			}
		}
	}
}
