package netdojo_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/netdojo/netdojo"
)

// TestVersions asks the go command, which knows how to read go.mod.
func TestVersions(t *testing.T) {
	for module, got := range map[string]string{
		"k8s.io/kubernetes":        netdojo.Kubernetes,
		"github.com/cilium/cilium": netdojo.Cilium,
		// The libraries are numbered v0.X.Y where Kubernetes is v1.X.Y. Replace
		// directives bring them to the release that is compiled.
		"k8s.io/client-go":      strings.Replace(netdojo.Kubernetes, "v1.", "v0.", 1),
		"k8s.io/component-base": strings.Replace(netdojo.Kubernetes, "v1.", "v0.", 1),
	} {
		out, err := exec.Command("go", "list", "-m", "-f", "{{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}", module).Output()
		if want := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s has version %q, want %q, %v", module, got, want, err)
		}
	}
}
