package existing

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster"
)

// kubeadm's, with and without a block.
const (
	corefile = `.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30
}
`
	corefileLine = ".:53 {\n\tforward . 10.0.0.1 10.0.0.2\n\tcache 30\n}\n"
)

// TestRedirect: one thing changes, and giving it back gives the file back.
func TestRedirect(t *testing.T) {
	world := netip.MustParseAddr("172.18.0.9")
	for name, text := range map[string]string{"a block": corefile, "a line": corefileLine} {
		c, err := redirect(text, world)
		if err != nil {
			t.Fatal(err)
		}
		now := strings.Replace(text, c.Was, c.Now, 1)
		if !strings.Contains(now, "forward . 172.18.0.9") || strings.Contains(now, "resolv.conf") || strings.Contains(now, "10.0.0.1") || strings.Contains(now, "max_concurrent") {
			t.Errorf("%s becomes\n%s", name, now)
		}
		if strings.Count(now, "{") != strings.Count(now, "}") || !strings.Contains(now, "cache 30") {
			t.Errorf("%s is broken:\n%s", name, now)
		}
		if back := strings.Replace(now, c.Now, c.Was, 1); back != text {
			t.Errorf("%s comes back as\n%s", name, back)
		}
	}
	for name, text := range map[string]string{"none": ".:53 {\n}\n", "two": corefileLine + corefile} {
		if c, err := redirect(text, world); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestUpper(t *testing.T) {
	for network, want := range map[string]string{
		"172.18.0.0/16": "172.18.128.0/17", "172.31.0.0/20": "172.31.8.0/21", "10.0.0.0/8": "10.128.0.0/9",
		"192.168.1.0/24": "", "fc00::/16": "", "x": "",
	} {
		half, ok := upper(network)
		if ok != (want != "") || ok && half.String() != want {
			t.Errorf("%s: %v, %v", network, half, ok)
		}
	}
}

const userConfig = `apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: a, cluster: {server: "https://127.0.0.1:1"}}
contexts:
- {name: one, context: {cluster: a, user: u}}
- {name: two, context: {cluster: a, user: u}}
users:
- {name: u, user: {token: secret}}
`

// TestFind names what there is where a context is not.
func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", path)
	problem := func(err error, words ...string) {
		t.Helper()
		var p *cluster.Problem
		if !errors.As(err, &p) || p.Cure() == "" {
			t.Fatalf("got %v, want a problem with a cure", err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error()+p.Cure(), w) {
				t.Errorf("%q is not in %v (%s)", w, err, p.Cure())
			}
		}
	}
	_, err := Find(t.Context(), "")
	problem(err, "no context")
	if err := os.WriteFile(path, []byte("nonsense: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Find(t.Context(), "")
	problem(err, "kubeconfig")
	if err := os.WriteFile(path, []byte(userConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Find(t.Context(), "three")
	problem(err, `"three"`, "one, two")
	for given, want := range map[string]string{"": "one", "two": "two"} {
		if target, err := Find(t.Context(), given); err != nil || target.Context != want || target.Server != "https://127.0.0.1:1" {
			t.Errorf("%q: %+v, %v", given, target, err)
		}
	}
}

// TestConsent: nothing is touched without it, and a cluster that does not answer
// leaves no state.
func TestConsent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", path)
	if err := os.WriteFile(path, []byte(userConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	p := New(Config{StateDir: t.TempDir()})
	spec := cluster.Spec{Name: "mine", Provider: Name, World: "internet"}
	var problem *cluster.Problem
	if _, err := p.Up(t.Context(), spec, nil); !errors.As(err, &problem) || !strings.Contains(problem.Cure(), "--yes") {
		t.Errorf("without consent: %v", err)
	}
	spec.Consent = true
	if _, err := p.Up(t.Context(), spec, nil); !errors.As(err, &problem) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a server that is not there: %v", err)
	}
	if names, err := p.List(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("state is left: %v, %v", names, err)
	}
}

// TestForget: what cannot be given back is said, and forgotten only when told so.
func TestForget(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "config"))
	if err := os.WriteFile(os.Getenv("KUBECONFIG"), []byte(userConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	p := New(Config{StateDir: t.TempDir()})
	r := record{Spec: cluster.Spec{Name: "mine", Provider: Name}}
	target, err := Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.write(r), p.writeKubeconfig("mine", target)); err != nil {
		t.Fatal(err)
	}
	if other, err := p.sameCluster(target, "yours"); err != nil || other != "mine" {
		t.Errorf("the same server: %q, %v", other, err)
	}
	if st, err := p.Status(t.Context(), "mine"); err != nil || st.Running || !strings.Contains(st.Detail, "does not answer") {
		t.Errorf("status: %+v, %v", st, err)
	}
	var problem *cluster.Problem
	if err := p.Down(t.Context(), "mine", false, nil); !errors.As(err, &problem) || !strings.Contains(problem.Cure(), "--purge") {
		t.Errorf("down: %v", err)
	}
	if err := p.Down(t.Context(), "mine", true, nil); err != nil {
		t.Errorf("down --purge: %v", err)
	}
	if names, _ := p.List(t.Context()); len(names) != 0 {
		t.Errorf("state is left: %v", names)
	}
}
