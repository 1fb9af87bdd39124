package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Args[0] == ProbeName {
		os.Exit(Probe(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func good(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	daemon := filepath.Join(dir, "netdojo-cluster")
	if err := os.WriteFile(daemon, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{StateDir: filepath.Join(dir, "state"), Programs: []string{daemon}}
}

func find(t *testing.T, results []Result, id string) Result {
	t.Helper()
	for _, r := range results {
		if r.ID == id {
			return r
		}
	}
	t.Fatalf("no result for %s in %v", id, results)
	return Result{}
}

func TestQuick(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port

	for name, tc := range map[string]struct {
		id        string
		change    func(*Config)
		want      State
		wantCause string
	}{
		"program there":        {"programs", func(*Config) {}, OK, ""},
		"program missing":      {"programs", func(c *Config) { c.Programs = append(c.Programs, "/nowhere/it") }, Failed, "no such file"},
		"program a folder":     {"programs", func(c *Config) { c.Programs = []string{filepath.Dir(c.Programs[0])} }, Failed, "is no program"},
		"state folder made":    {"state-dir", func(*Config) {}, OK, ""},
		"state folder a file":  {"state-dir", func(c *Config) { c.StateDir = c.Programs[0] }, Failed, "not a directory"},
		"no port wanted":       {"ports", func(*Config) {}, OK, ""},
		"API port taken":       {"ports", func(c *Config) { c.APIPort = port }, Failed, "in use"},
		"published port taken": {"ports", func(c *Config) { c.Ports = []int{port} }, Failed, "in use"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good(t)
			tc.change(&cfg)
			r := find(t, Quick(context.Background(), cfg), tc.id)
			if r.State != tc.want || !strings.Contains(r.Cause, tc.wantCause) {
				t.Errorf("%+v, want %s with %q", r, tc.want, tc.wantCause)
			}
			if r.State != OK && r.Cure == "" {
				t.Errorf("%+v has no cure", r)
			}
		})
	}
}

func TestErrJoinsFailuresOnly(t *testing.T) {
	if err := Err([]Result{{State: OK}, {State: Warning, Cause: "w"}, {State: Unknown}}); err != nil {
		t.Errorf("Err = %v, want nil", err)
	}
	err := Err([]Result{{Requirement: "A", State: Failed, Cause: "b", Cure: "c"}, {State: Failed}})
	var p *Problem
	if !errors.As(err, &p) || p.Cure() != "c" || p.Error() != "requirement not met: A: b" {
		t.Errorf("Err = %v", err)
	}
}

func TestWhyNoNamespaces(t *testing.T) {
	for name, tc := range map[string]struct {
		err        error
		uid        int
		sysctls    map[string]string
		cause, fix string
	}{
		"AppArmor":            {syscall.EACCES, 1000, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor", "apparmor_restrict_unprivileged_userns=0"},
		"AppArmor but root":   {syscall.EPERM, 0, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "does not permit", "container"},
		"Debian's old switch": {syscall.EPERM, 1000, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone", "unprivileged_userns_clone=1"},
		"none allowed":        {syscall.ENOSPC, 0, map[string]string{"user/max_user_namespaces": "0"}, "max_user_namespaces is 0", "max_user_namespaces="},
		"no network ones":     {syscall.ENOSPC, 0, map[string]string{"user/max_net_namespaces": "0"}, "max_net_namespaces is 0", "max_net_namespaces="},
		"no kernel support":   {syscall.EINVAL, 0, nil, "no such namespaces", "CONFIG_USER_NS"},
	} {
		t.Run(name, func(t *testing.T) {
			cause, cure := whyNoNamespaces(tc.err, tc.uid, func(n string) string { return tc.sysctls[n] })
			if !strings.Contains(cause, tc.cause) || !strings.Contains(cure, tc.fix) {
				t.Errorf("cause %q, cure %q", cause, cure)
			}
			if !strings.Contains(cause, tc.err.Error()) {
				t.Errorf("cause %q hides %v", cause, tc.err)
			}
		})
	}
}

func TestHasRange(t *testing.T) {
	content := "# comment\nann:100000:65536\n1001:200000:10\nbob:300000:0\n"
	for _, tc := range []struct {
		name string
		uid  int
		want bool
	}{{"ann", 1, true}, {"x", 1001, true}, {"bob", 2, false}, {"eve", 3, false}} {
		if got := hasRange([]byte(content), tc.name, tc.uid); got != tc.want {
			t.Errorf("hasRange(%s, %d) = %v, want %v", tc.name, tc.uid, got, tc.want)
		}
	}
}

func TestKernelProbe(t *testing.T) {
	cfg := good(t)
	if err := os.Mkdir(cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	results := examineKernel(context.Background(), cfg)
	if r := find(t, results, namespacesID); r.State != OK {
		t.Skipf("needs user namespaces: %s", r.Cause)
	}
	for _, id := range []string{overlayID, nftablesID} {
		r := find(t, results, id)
		if r.State == Unknown {
			t.Errorf("%s was not examined", id)
		}
		if r.State == Failed && (r.Cause == "" || r.Cure == "") {
			t.Errorf("%+v lacks a cause or cure", r)
		}
		t.Logf("%s: %s %s", id, r.State, r.Cause)
	}
	if left, _ := os.ReadDir(cfg.StateDir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
