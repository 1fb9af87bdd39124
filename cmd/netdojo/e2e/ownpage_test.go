//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/runner/record"
)

// TestOwnPages: netdojo's README and guides are pages whose commands run and whose claims
// hold. What is not run has a reason.
func TestOwnPages(t *testing.T) {
	h, _ := sharedCluster(t)
	for _, least := range []struct {
		file         string
		done, claims int
	}{
		{"README.md", 12, 6},
		{"docs/labs-format.md", 8, 5},
		{"docs/screen.md", 10, 6},
		{"docs/grading.md", 3, 1},
	} {
		t.Run(least.file, func(t *testing.T) {
			h.t = t
			file := least.file
			p, r := h.runPage(filepath.Join("..", "..", "..", file))
			done := 0
			for _, c := range p.Commands {
				switch {
				case c.State == record.CommandDone:
					done++
				case c.State != record.CommandSkipped || c.Why == "":
					t.Errorf("%s:%d: %s is %s: %s\n%s", file, c.Line, c.Text, c.State, c.Why, c.Output)
				}
				for _, claim := range c.Claims {
					if !claim.Passed {
						t.Errorf("%s:%d: %q: %s", file, claim.Line, claim.Says, claim.Observed)
					}
				}
			}
			if r.code != 0 || done < least.done || p.Passed < least.claims {
				t.Errorf("exit code %d, %d commands done, %d claims hold", r.code, done, p.Passed)
			}
		})
	}
}

// TestNetdojoInPage: the netdojo that a page types sees nothing of the caller's.
func TestNetdojoInPage(t *testing.T) {
	h, _ := sharedCluster(t)
	page := filepath.Join(t.TempDir(), "page.md")
	// As words of another program they are no commands of netdojo's that are left out.
	text := "# A page\n\n```bash\nenv netdojo status\nenv netdojo down\nenv netdojo grade show /results || true\nenv netdojo labs >labs.txt\nls -A ~/.local/state/netdojo/clusters 2>/dev/null || echo none\n```\n"
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, _ := h.runPage(page)
	if len(p.Commands) != 5 || p.Commands[3].Exit == nil || *p.Commands[3].Exit != 0 ||
		strings.Contains(p.Commands[0].Output, "ready") || strings.TrimSpace(p.Commands[4].Output) != "none" {
		t.Errorf("the page saw %+v", p.Commands)
	}
	h.must("kubectl", "get", "nodes") // the caller's cluster runs on
}
