//go:build linux

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/netdojo/netdojo/cluster/embedded"
)

// edit replaces a text in a file of a lab.
type edit struct{ file, from, to string }

// labLike makes a folder with lab 04, edited.
func labLike(t *testing.T, edits ...edit) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(catalogue)); err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		path := filepath.Join(dir, e.file)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), e.from) {
			t.Fatalf("%s does not contain %q", e.file, e.from)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(b), e.from, e.to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantTold holds what a command said against its exit code and parts of its
// message, wherever it is printed.
func wantTold(t *testing.T, r result, code int, parts ...string) {
	t.Helper()
	said := strings.Join(strings.Fields(r.stdout+r.stderr), " ")
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, p := range parts {
		if !strings.Contains(said, p) {
			t.Errorf("it does not say %q:\n%s%s", p, r.stdout, r.stderr)
		}
	}
}

// TestBadLabs runs labs that are wrong, each in one place, on a cluster that is
// well: what lint says without a cluster, what run says with one, and that
// nothing stays.
func TestBadLabs(t *testing.T) {
	const (
		manifest = "manifests/backend.yaml"
		answer   = "solution/backend-egress-allow-fqdn.yaml"
	)
	h, _ := sharedCluster(t)
	for _, c := range []struct {
		name string
		edit edit
		lint []string
		code int // of run
		run  []string
	}{
		{
			"manifest that is no YAML", edit{manifest, "  replicas: 1", "   replicas: 1"},
			[]string{manifest + ":8: ", "not YAML", "cure: indent it by 2, not by 3"},
			2, []string{manifest + ":8: ", "not YAML", "cure: indent it by 2, not by 3"},
		},
		{
			"solution that is no YAML", edit{answer, "- matchName: kubernetes.io", "- matchName: [kubernetes.io"},
			[]string{answer + ":", "not YAML", "cure: "},
			2, []string{answer + ":", "not YAML", "cure: "},
		},
		{
			"lab.yaml that is no YAML", edit{"lab.yaml", "title: Cilium", "title: [Cilium"},
			[]string{"lab.yaml:", "not YAML", "cure: "},
			2, []string{"lab.yaml:", "not YAML", "cure: "},
		},
		{
			"lab.yaml with an unknown field", edit{"lab.yaml", "summary:", "sumary:"},
			[]string{"lab.yaml:4:1: ", "sumary", "cure: "},
			2, []string{"lab.yaml:4:1: ", "sumary", "cure: "},
		},
		{
			"unknown kind", edit{manifest, "kind: Deployment", "kind: Deploiment"},
			[]string{manifest + ":2:1: unknown kind Deploiment", `cure: did you mean "Deployment"?`},
			3, []string{manifest + ":", "Deploiment", "cure: check apiVersion and kind"},
		},
		{
			"policy that the CRD refuses", edit{answer, `port: "53"`, `port: [53]`},
			[]string{answer + ":16:21: spec.egress[0].toPorts[0].ports[0].port"},
			1, []string{answer + ":16", "must be of type string", "policy-rejected", "Mend what the message names"},
		},
		{
			"policy with a field that is none", edit{answer, "toFQDNs", "toFQDN"},
			[]string{answer + ":21:7: ", `cure: did you mean "toFQDNs"?`},
			1, []string{answer + ":21", `unknown field "spec.egress[1].toFQDN"`, "policy-rejected"},
		},
		{
			"policy that the engine refuses", edit{answer, "    - toFQDNs:", "    - toEndpoints: [{}]\n      toFQDNs:"},
			[]string{answer + ":22:7: spec.egress[1].toFQDNs: stands beside toEndpoints", "cure: make a rule of its own of it"},
			1, []string{"rejected CiliumNetworkPolicy default/backend-egress-allow-fqdn (" + answer, "combining To", "is not supported yet", "policy-rejected"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			dir := labLike(t, c.edit)
			wantTold(t, h.run("lab", "lint", dir), 1, c.lint...)
			wantTold(t, h.run("run", dir), c.code, c.run...)
			if out := h.must("kubectl", "get", "deployments,services,cnp", "-l", "app=backend", "-o", "name"); out != "" {
				t.Errorf("left behind:\n%s", out)
			}
			if out := h.must("kubectl", "get", "cnp", "-o", "name"); out != "" {
				t.Errorf("left behind:\n%s", out)
			}
		})
	}
	h.t = t
	wantTold(t, h.run("run", "99"), 2, `no lab "99"`, "cure: ")
	wantTold(t, h.run("check", "99"), 2, `no lab "99"`, "cure: ")
	wantTold(t, h.run("lab", "lint", "testdata/nowhere"), 2, "no such file or directory")
}

// nothingStarted makes sure that a start which failed left no cluster, and of
// its folder at most the log that says why.
func nothingStarted(t *testing.T, h *home, name string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.state, "clusters", name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != embedded.LogFile {
			t.Errorf("left behind: %s", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(h.state, "kubeconfig")); !os.IsNotExist(err) && h != shared.home {
		t.Errorf("the kubeconfig was touched: %v", err)
	}
	if out := h.must("status"); h != shared.home && !strings.Contains(out, "no cluster") {
		t.Errorf("status tells of a cluster:\n%s", out)
	}
}

// TestUpRefused starts clusters that cannot come up.
func TestUpRefused(t *testing.T) {
	before := look(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		name  string
		start func(*home) result
		code  int
		parts []string
	}{
		{"API port in use", func(h *home) result { return h.run("up", "--api-port", port) }, 3,
			[]string{"port " + port, "address already in use", "cure: stop what listens there, or choose another port"}},
		{"published port in use", func(h *home) result { return h.run("up", "--publish", port+":default/web:80") }, 3,
			[]string{"port " + port, "address already in use", "cure: stop what listens there"}},
		{"no port at all", func(h *home) result { return h.run("up", "--api-port", "70000") }, 2, []string{"70000"}},
		{"no curl", func(h *home) result { return h.runWithout(noCurl, "up") }, 3,
			[]string{"there is no /usr/bin/curl", "cure: ", "curl"}},
		{"no user namespaces", func(h *home) result { return h.runWithout(noNamespaces, "up") }, 3,
			[]string{"user.max_user_namespaces is 0", "cure: as root: sysctl -w user.max_user_namespaces="}},
		{"no nftables", func(h *home) result { return h.runWithout(noNFTables, "up") }, 3,
			[]string{"nftables", "cure: as root: modprobe"}},
		{"no nftables, by run", func(h *home) result { return h.runWithout(noNFTables, "run", "04") }, 3,
			[]string{"nftables", "cure: as root: modprobe"}},
		{"no transparent proxies", func(h *home) result { return h.runWithout(noTProxy, "up") }, 3,
			[]string{"transparent sockets", "protocol not available", "cure: use a kernel with nftables"}},
		{"disk full", fullDisk, 3, []string{"MB are free", "cure: make room, or set NETDOJO_STATE_DIR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t, t.TempDir())
			wantTold(t, c.start(h), c.code, c.parts...)
			nothingStarted(t, h, "netdojo")
		})
	}
	look(t).compare(t, before)
}

// fullDisk runs `up` with its state on a disk of one MB.
func fullDisk(h *home) result {
	h.t.Helper()
	if os.Getuid() != 0 {
		h.t.Skip("needs root to mount a disk")
	}
	if err := syscall.Mount("full", h.state, "tmpfs", 0, "size=1m"); err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(h.state, 0); err != nil {
			h.t.Error(err)
		}
	}()
	r := h.run("up")
	nothingStarted(h.t.(*testing.T), h, "netdojo")
	return r
}

// TestUpTwice asks for a cluster that runs, as it is and otherwise.
func TestUpTwice(t *testing.T) {
	h, _ := sharedCluster(t)
	wantTold(t, h.run("up"), 0, "is already running")
	wantTold(t, h.run("up", "--api-port", "7"), 3, "already running, with another port", "not 7", "cure: take it down first (netdojo down)")
	wantTold(t, h.run("up", "--publish", "7:default/web:80"), 3, "already running, with another set of published ports", "cure: ")
	wantTold(t, h.run("up", "--fresh"), 3, "already running", "cure: ")
	if out := h.must("status"); !strings.Contains(out, "ready") {
		t.Errorf("the cluster is no longer ready:\n%s", out)
	}
}

// TestDownOfNothing takes down what never was.
func TestDownOfNothing(t *testing.T) {
	h := newHome(t, t.TempDir())
	wantTold(t, h.run("down"), 0, "was not running")
	wantTold(t, h.run("down", "--purge", "--name", "other"), 0, "was not running")
	wantTold(t, h.run("check", "04"), 3, "not running", "cure: ")
	if entries, err := os.ReadDir(filepath.Join(h.state, "clusters")); err == nil && len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}
