//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
)

// seedFolder has the page that netdojo began with, as it was, and its policy's file.
func seedFolder(t *testing.T) (dir, page string) {
	t.Helper()
	dir = t.TempDir()
	for from, to := range map[string]string{
		"testdata/page/04-cilium-network-policies.md":                        "page.md",
		"../../../labs/catalogue/04/solution/backend-egress-allow-fqdn.yaml": "backend-egress-allow-fqdn.yaml",
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, filepath.Join(dir, "page.md")
}

// runPage runs a page, and gives its record.
func (h *home) runPage(page string, args ...string) (record.Page, result) {
	h.t.Helper()
	r := h.run(append([]string{"run", page, "--output", "json"}, args...)...)
	var all record.Pages
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil || len(all.Pages) != 1 {
		h.t.Fatalf("netdojo run %s: exit code %d, %v\n%s%s%s", page, r.code, err, r.stdout, r.stderr, h.log())
	}
	return all.Pages[0], r
}

// atLine is the claim at a line.
func atLine(t *testing.T, p record.Page, line int) record.PageClaim {
	t.Helper()
	for _, c := range p.Commands {
		for _, claim := range c.Claims {
			if claim.Line == line {
				return claim
			}
		}
	}
	t.Fatalf("no claim at line %d: %+v", line, p.Commands)
	return record.PageClaim{}
}

var seedSetup = []string{"--setup", filepath.Join("..", "..", "..", "labs", "catalogue", "04", "manifests")}

// TestSeedPage runs the page unedited: its four connections and its table are verdicts.
func TestSeedPage(t *testing.T) {
	h, _ := sharedCluster(t)
	_, page := seedFolder(t)
	p, r := h.runPage(page, seedSetup...)
	if r.code != 0 || p.Passed != 5 || p.Failed != 0 || p.Broken != 0 || p.Skipped != 0 || p.Unclaimed != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	for line, want := range map[int]checks.Kind{32: checks.Allowed, 34: checks.Allowed, 73: checks.Allowed, 75: checks.Denied} {
		if got := atLine(t, p, line); got.Verdict != want || !got.Passed {
			t.Errorf("line %d is %s, want %s", line, got.Verdict, want)
		}
	}
	denied := atLine(t, p, 75)
	if e := denied.Evidence; e.Control == nil || e.Control.Kind != checks.ControlBefore || e.Drop == nil || len(e.Drop.Policies) != 1 {
		t.Errorf("the deny rests on %+v", denied.Evidence)
	}
	if denied.ExitCode == nil || *denied.ExitCode != 28 {
		t.Errorf("curl has a timeout of its own, and ended with %v", denied.ExitCode)
	}
	if got := atLine(t, p, 58); got.Kind != "output" || !got.Passed {
		t.Errorf("the table is %+v", got)
	}
	if left := h.must("kubectl", "get", "deployments,cnp", "-o", "name"); strings.TrimSpace(left) != "" {
		t.Errorf("the page left %s", left)
	}
}

// TestSeedPageFlipped has the page say the contrary, a claim at a time.
func TestSeedPageFlipped(t *testing.T) {
	h, _ := sharedCluster(t)
	dir, page := seedFolder(t)
	src, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const timeout = "curl: (28) Connection timed out after 5001 milliseconds"
	for _, flip := range []struct {
		line             int
		from, to         string
		observed, should string
	}{
		{32, "HTTP/2 200 ", timeout, "HTTP 200", "HTTP 200"},
		{34, "HTTP/2 200 ", timeout, "HTTP 200", "HTTP 200"},
		{59, "backend-egress-allow-fqdn   2s", "frontend-egress-allow-fqdn   2s", "backend-egress-allow-fqdn", "backend-egress-allow-fqdn"},
		{73, "HTTP/2 200 ", timeout, "HTTP 200", "HTTP 200"},
		{75, timeout, "HTTP/2 200", "dropped by default/backend-egress-allow-fqdn", "curl: (28)"},
		{75, timeout, "curl: (7) Failed to connect", "dropped by default/backend-egress-allow-fqdn", "curl: (28)"},
	} {
		t.Run(fmt.Sprintf("line %d %s", flip.line, flip.to), func(t *testing.T) {
			h.t = t
			lines := strings.Split(string(src), "\n")
			if lines[flip.line-1] != flip.from {
				t.Fatalf("line %d is %q", flip.line, lines[flip.line-1])
			}
			lines[flip.line-1] = flip.to
			if flip.line == 75 {
				lines[flip.line] = "" // "command terminated with exit code 28"
			}
			flipped := filepath.Join(dir, "flipped.md")
			if err := os.WriteFile(flipped, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
			p, r := h.runPage(flipped, seedSetup...)
			if r.code != 1 || p.Failed != 1 || p.Passed != 4 {
				t.Fatalf("exit code %d, %d claims hold, %d do not:\n%s", r.code, p.Passed, p.Failed, r.stdout)
			}
			got := atLine(t, p, flip.line)
			if got.Passed || !strings.Contains(got.Observed, flip.observed) || !strings.Contains(got.Should, flip.should) || got.Rule == "" {
				t.Errorf("observed %q, rule %q, should %q", got.Observed, got.Rule, got.Should)
			}
		})
	}
}

func TestSeedPageWithoutDNS(t *testing.T) {
	h, _ := sharedCluster(t)
	_, page := seedFolder(t)
	h.must("kubectl", "scale", "-n", "kube-system", "deployment/coredns", "--replicas=0")
	t.Cleanup(func() {
		h.must("kubectl", "scale", "-n", "kube-system", "deployment/coredns", "--replicas=1")
		h.must("kubectl", "rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=120s")
	})
	h.must("kubectl", "wait", "-n", "kube-system", "--for=delete", "pod", "-l", "k8s-app=kube-dns", "--timeout=120s")
	p, r := h.runPage(page, seedSetup...)
	if r.code != 1 || p.Failed != 4 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	for _, line := range []int{32, 34, 73, 75} {
		if got := atLine(t, p, line); got.Cause != checks.CauseDNS || !strings.Contains(got.Observed, "kube-dns") {
			t.Errorf("line %d: %s, %s", line, got.Cause, got.Observed)
		}
	}
}

// TestPageEndsWhatIsDropped: a curl without a timeout is ended after its drop, and the
// deny stands.
func TestPageEndsWhatIsDropped(t *testing.T) {
	h, _ := sharedCluster(t)
	_, page := seedFolder(t)
	src, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, []byte(strings.ReplaceAll(string(src), " --connect-timeout 5", "")), 0o644); err != nil {
		t.Fatal(err)
	}
	p, r := h.runPage(page, seedSetup...)
	if r.code != 0 || p.Passed != 5 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	got := atLine(t, p, 75)
	if got.Verdict != checks.Denied || got.ExitCode != nil || !strings.Contains(got.Observed, "ended after its drop") {
		t.Errorf("%s, exit code %v, %s", got.Verdict, got.ExitCode, got.Observed)
	}
}
