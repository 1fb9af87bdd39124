//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
)

// who is a user that the main job is tried as.
type who struct {
	name     string
	uid, gid int
	home     string
}

// users are the caller and, for root, ordinary ones: nobody, who has no
// subordinate ids, and NETDOJO_TEST_USER, who should have them.
func users(t *testing.T) []who {
	t.Helper()
	all := []who{{"the caller", os.Getuid(), os.Getgid(), ""}}
	if os.Getuid() != 0 {
		return all
	}
	names := []string{"nobody"}
	if name := os.Getenv("NETDOJO_TEST_USER"); name != "" {
		names = append(names, name)
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		all = append(all, who{name, uid, gid, u.HomeDir})
	}
	return all
}

// copyPrograms puts the programs where any user may run them.
func copyPrograms(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "netdojo-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		if err := exec.Command("install", "-m", "755", filepath.Join(binDir, name), dir).Run(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMainJob is the README's promise: from nothing to proven verdicts.
func TestMainJob(t *testing.T) {
	bin := copyPrograms(t)
	for _, w := range users(t) {
		t.Run(w.name, func(t *testing.T) {
			state, err := os.MkdirTemp("", "netdojo-demo-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(state) })
			if err := os.Chown(state, w.uid, w.gid); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(filepath.Join(bin, "netdojo"), "run", "04", "--wait-timeout", "--output", "json")
			cmd.Dir = "/"
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + state,
				"NETDOJO_STATE_DIR=" + filepath.Join(state, "state"), "KUBECONFIG=" + filepath.Join(state, "kubeconfig"),
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			if w.uid != os.Getuid() {
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.gid)}
			}
			out, err := cmd.Output()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("exit code %d\n%s%s", exit.ExitCode(), out, exit.Stderr)
			} else if err != nil {
				t.Fatal(err)
			}
			proveSeedLab(t, out)
		})
	}
}

// proveSeedLab holds a run's JSON against what the page shows.
func proveSeedLab(t *testing.T, out []byte) {
	t.Helper()
	var run record.Run
	if err := json.Unmarshal(out, &run); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if run.Schema != record.Schema || run.Failed != 0 {
		t.Errorf("schema %s, %d failed", run.Schema, run.Failed)
	}
	type key struct {
		phase checks.Phase
		to    string
	}
	found := map[key]record.Check{}
	for _, task := range run.Tasks {
		for _, c := range task.Checks {
			found[key{c.Phase, c.To}] = c
		}
	}
	for _, want := range []struct {
		key
		verdict checks.Kind
		exit    int
	}{
		{key{"before", "https://kubernetes.io"}, checks.Allowed, 0},
		{key{"before", "https://cilium.io"}, checks.Allowed, 0},
		{key{"after", "https://kubernetes.io"}, checks.Allowed, 0},
		{key{"after", "https://cilium.io"}, checks.Denied, 28},
	} {
		c, ok := found[want.key]
		if !ok {
			t.Errorf("no check %v", want.key)
			continue
		}
		if c.Verdict != want.verdict || c.ExitCode == nil || *c.ExitCode != want.exit {
			t.Errorf("%v: verdict %s, exit code %v (%s), want %s and %d", want.key, c.Verdict, c.ExitCode, c.Detail, want.verdict, want.exit)
		}
		if want.verdict != checks.Denied {
			continue
		}
		if c.Evidence.Control == nil {
			t.Errorf("%v: no control", want.key)
		}
		if d := c.Evidence.Drop; d == nil || len(d.Policies) == 0 || d.Policies[0].Name != "backend-egress-allow-fqdn" {
			t.Errorf("%v: the drop names no policy: %+v", want.key, d)
		}
	}
}
