//go:build linux && kind

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/kind"
)

// kubectl is the user's own, with the user's kubeconfig.
func kubectl(t *testing.T, h *home, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "netdojo-kubectl"), args...)
	cmd.Env = h.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// dnsOf is the configuration of a cluster's DNS.
func dnsOf(t *testing.T, h *home, context string) string {
	t.Helper()
	return kubectl(t, h, "--context", context, "-n", "kube-system", "get", "configmap", "coredns", "-o", "jsonpath={.data.Corefile}")
}

// TestKindExisting has labs run on clusters that others made: one with our datapath,
// and one as plain kind makes it, which enforces nothing. Each is left as it was.
func TestKindExisting(t *testing.T) {
	nothingLeft(t)
	t.Run("with netdojo's datapath", func(t *testing.T) {
		maker, h := newHome(t, t.TempDir()), newHome(t, t.TempDir())
		t.Cleanup(func() { maker.must("down", "--name", "e2e-made") })
		maker.must("up", "--provider", "kind", "--name", "e2e-made")
		h.env = append(h.env, "KUBECONFIG="+filepath.Join(maker.state, "kubeconfig"))
		proveGuest(t, h, "netdojo-e2e-made")
		out := h.must("run", "04", "--provider", "existing", "--context", "netdojo-e2e-made", "--name", "e2e-guest", "--yes", "--wait-timeout", "--output", "json")
		proveVerdicts(t, out)
		for _, f := range findings(t, out) {
			if f.Verdict == checks.Denied && (f.Drop == "" || !f.Control) {
				t.Errorf("a deny without its proof: %+v", f)
			}
		}
		h.must("run", "05", "--provider", "existing", "--context", "netdojo-e2e-made", "--name", "e2e-guest", "--yes")
		workAsGuest(t, h, "netdojo-e2e-made")
	})
	t.Run("plain kind", func(t *testing.T) {
		h := newHome(t, t.TempDir())
		kubeconfig := filepath.Join(h.state, "kubeconfig")
		program := filepath.Join(kindBin, "bin", "kind")
		t.Cleanup(func() {
			if out, err := exec.Command(program, "delete", "cluster", "--name", "e2e-plain", "--kubeconfig", kubeconfig).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			_ = exec.Command("docker", "network", "rm", "kind").Run() // kind leaves its own
		})
		if out, err := exec.Command(program, "create", "cluster", "--name", "e2e-plain", "--image", kind.LocalImage, "--kubeconfig", kubeconfig).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		kubectl(t, h, "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout", "2m")
		proveGuest(t, h, "kind-e2e-plain")
		if out := h.must("doctor", "--provider", "existing"); !strings.Contains(out, "dns, http, tls are not supported: nothing that enforces policies runs") {
			t.Errorf("the doctor says\n%s", out)
		}
		r := h.run("run", "04", "--provider", "existing", "--name", "e2e-guest", "--yes", "--output", "json")
		if r.code != 1 {
			t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		for _, f := range findings(t, r.stdout) {
			if f.Phase == checks.Before && f.Verdict != checks.Allowed || f.Phase == checks.After && f.Cause != checks.CauseUnsupported {
				t.Errorf("%+v", f)
			}
		}
		if !strings.Contains(r.stdout, "not supported here: CiliumNetworkPolicy: nothing that enforces policies runs") {
			t.Errorf("why is not said:\n%s", r.stdout)
		}
	})
}

// workAsGuest solves a lab in a shell, which means the lab's own namespace.
func workAsGuest(t *testing.T, h *home, context string) {
	t.Helper()
	if out := h.must("doctor", "--provider", "existing", "--context", context); strings.Contains(out, "cause") {
		t.Errorf("the doctor says\n%s", out)
	}
	h.must("up", "--provider", "existing", "--context", context, "--name", "e2e-guest", "--yes")
	defer h.must("down", "--name", "e2e-guest")
	answer, err := filepath.Abs(solution)
	if err != nil {
		t.Fatal(err)
	}
	mine := h.in("e2e-guest")
	wantTold(t, mine.script("kubectl apply -f "+answer+" && kubectl get deployments,cnp -o name && kubectl config view --minify -o 'jsonpath={..namespace}'", "04"), 0,
		"backend-egress-allow-fqdn created", "deployment.apps/backend", "netdojo-04")
	run, r := mine.session("check", "04")
	wantVerdicts(t, run, r, 0, checks.After, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Denied, checks.CausePolicyDrop})
	mine.must("explain", "deploy/backend", "kubernetes.io", "--namespace", "netdojo-04", "--expect", "allowed")
	if out := kubectl(t, h, "--context", context, "-n", "default", "get", "cnp,deployments", "-o", "name"); strings.Contains(out, "backend") {
		t.Errorf("the namespace default was worked in: %s", out)
	}
}

// proveGuest shows that a cluster is not touched without consent, and is left as it
// was.
func proveGuest(t *testing.T, h *home, context string) {
	t.Helper()
	before := dnsOf(t, h, context)
	namespaces := []string{"--context", context, "get", "namespaces", "-o", "name"}
	had := kubectl(t, h, namespaces...)
	up := []string{"up", "--provider", "existing", "--context", context, "--name", "e2e-guest"}
	if r := h.run(up...); r.code != 3 || !strings.Contains(r.stderr, "nobody can be asked") || !strings.Contains(r.stderr, "cure: agree with --yes") {
		t.Errorf("without consent: exit code %d\n%s", r.code, r.stderr)
	}
	if r := h.run("up", "--provider", "existing", "--context", "nowhere", "--name", "e2e-guest", "--yes"); r.code != 3 || !strings.Contains(r.stderr, context) {
		t.Errorf("a context that is not there: exit code %d\n%s", r.code, r.stderr)
	}
	if now := dnsOf(t, h, context); now != before {
		t.Errorf("it was touched:\n%s", now)
	}
	h.must(append(up, "--yes")...)
	if now := dnsOf(t, h, context); now == before || !strings.Contains(now, "# netdojo") {
		t.Errorf("cluster DNS does not ask the world:\n%s", now)
	}
	h.must("down", "--name", "e2e-guest")
	if now := dnsOf(t, h, context); now != before {
		t.Errorf("cluster DNS is not given back:\n%s\nwas\n%s", now, before)
	}
	if has := kubectl(t, h, namespaces...); has != had {
		t.Errorf("namespaces are left: %s\nbefore: %s", has, had)
	}
}
