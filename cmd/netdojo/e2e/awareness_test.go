//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// typed is a line of a page as a user types it, its exit code, and what it shows.
type typed struct {
	line string
	code int
	want string // a regular expression
}

const (
	landing = "kubectl exec tiefighter -- curl -s -XPOST deathstar.default.svc.cluster.local/v1/request-landing"
	alien   = "kubectl exec xwing -- curl -s --connect-timeout 5 -XPOST deathstar.default.svc.cluster.local/v1/request-landing"
	exhaust = "kubectl exec tiefighter -- curl -s -XPUT deathstar.default.svc.cluster.local/v1/exhaust-port"
	// What a shell shows of a command in a pod that gave up connecting.
	timedOut = `^command terminated with exit code 28\n$`
)

// TestAwareness types the commands of the pages on Cilium's three kinds of
// awareness, in a shell with a stock kubectl: its own demo for labels and HTTP,
// with its own files, and the page on DNS-aware policies for names.
func TestAwareness(t *testing.T) {
	h, _ := sharedCluster(t)
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium").Output()
	if err != nil {
		t.Fatal(err)
	}
	demo := filepath.Join(strings.TrimSpace(string(out)), "examples", "minikube")
	lab, err := filepath.Abs("../../../labs/catalogue/04")
	if err != nil {
		t.Fatal(err)
	}
	env := append(slices.Clone(h.env), "PATH="+stockKubectl(t)+":"+os.Getenv("PATH"), "DEMO="+demo, "LAB="+lab)
	shell := func(t *testing.T, line string) (string, int) {
		cmd := exec.Command("bash", "-c", line)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	must := func(line string) {
		t.Helper()
		if out, code := shell(t, line); code != 0 {
			t.Fatalf("$ %s\nexit code %d\n%s%s", line, code, out, h.log())
		}
	}
	t.Cleanup(func() {
		must("kubectl delete cnp --all && kubectl delete --now -f $DEMO/http-sw-app.yaml -f $LAB/manifests")
	})
	must("kubectl apply -f $DEMO/http-sw-app.yaml -f $LAB/manifests")
	must("kubectl wait --for=condition=Available deployment --all --timeout=120s")
	must("kubectl wait --for=condition=Ready pod --all --timeout=120s")

	backend := "BACKEND=$(kubectl get pods -l app=backend -o jsonpath='{.items[0].metadata.name}'); set -o pipefail; "
	kubernetesIO := backend + "kubectl exec ${BACKEND} -- curl -Ik --connect-timeout 5 https://kubernetes.io | head -1"
	ciliumIO := backend + "kubectl exec ${BACKEND} -- curl -sSIk --connect-timeout 5 https://cilium.io | head -1"
	for _, kind := range []struct {
		name  string
		lines []typed
	}{
		{"labels", []typed{
			{alien, 0, "^Ship landed\n$"},
			{"kubectl apply -f $DEMO/sw_l3_l4_policy.yaml", 0, "rule1 created"},
			{landing, 0, "^Ship landed\n$"},
			{alien, 28, timedOut},
			{"kubectl get cnp", 0, `(?m)^NAME +AGE.*\nrule1 +\d+s`},
		}},
		{"HTTP methods and paths", []typed{
			{exhaust, 0, "^Panic: deathstar exploded\n"},
			{"kubectl apply -f $DEMO/sw_l3_l4_l7_policy.yaml", 0, "rule1 configured"},
			{landing + ` -w '%{http_code}\n'`, 0, "^Ship landed\n200\n$"},
			{exhaust + ` -w '%{http_code}\n'`, 0, "^Access denied\r\n403\n$"},
			{alien, 28, timedOut},
		}},
		{"names", []typed{
			{ciliumIO, 0, "HTTP/2 200"},
			{"cd $LAB/solution && kubectl apply -f backend-egress-allow-fqdn.yaml", 0, "backend-egress-allow-fqdn created"},
			{kubernetesIO, 0, "HTTP/2 200"},
			{ciliumIO, 28, `(?s)^curl: \(28\) .*command terminated with exit code 28\n$`},
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for _, l := range kind.lines {
				out, code := shell(t, l.line)
				if code != l.code || !regexp.MustCompile(l.want).MatchString(out) {
					t.Errorf("$ %s\nexit code %d, want %d; want %q in:\n%s", l.line, code, l.code, l.want, out)
				}
			}
		})
	}
}
