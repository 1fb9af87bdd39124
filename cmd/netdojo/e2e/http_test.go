//go:build linux

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
)

const (
	httpLab    = "../../../labs/catalogue/05/"
	httpPolicy = "backend-ingress-http.yaml"
)

// TestHTTPAwareness is lab 05 with the page's own commands: what is allowed is
// answered, what no HTTP rule allows is answered by the proxy, and who is not
// named gets no answer.
func TestHTTPAwareness(t *testing.T) {
	h := newHome(t, t.TempDir())
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	run, r := h.session("run", "05", "--keep")
	if r.code != 0 || run.Failed != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	found := map[string]record.Check{}
	for _, c := range run.Tasks[0].Checks {
		if c.Phase == checks.After {
			found[c.ID] = c
		}
	}
	for id, want := range map[string]struct {
		verdict checks.Kind
		cause   checks.Cause
		status  int
	}{
		"read-public":  {checks.Allowed, checks.CauseOK, 200},
		"write-public": {checks.DeniedL7, checks.CausePolicyL7, 403},
		"read-private": {checks.DeniedL7, checks.CausePolicyL7, 403},
		"read-entry":   {checks.DeniedL7, checks.CausePolicyL7, 403},
		"other-public": {checks.Denied, checks.CausePolicyDrop, 0},
	} {
		c := found[id]
		if c.Verdict != want.verdict || c.Cause != want.cause || c.HTTPStatus != want.status {
			t.Errorf("%s: %s, cause %s, status %d (%s)", id, c.Verdict, c.Cause, c.HTTPStatus, c.Detail)
		}
		if want.verdict == checks.Allowed {
			continue
		}
		if c.Evidence.Control == nil || c.Evidence.Drop == nil || len(c.Evidence.Drop.Policies) != 1 ||
			c.Evidence.Drop.Policies[0].Name != "backend-ingress-http" {
			t.Errorf("%s: evidence %+v", id, c.Evidence)
		}
	}

	d := &desk{h, t}
	frontend := d.kubectl("get", "pods", "-l", "app=frontend", "-o", "jsonpath={.items[0].metadata.name}")
	other := d.kubectl("get", "pods", "-l", "app=other", "-o", "jsonpath={.items[0].metadata.name}")
	curl := func(pod string, args ...string) result {
		return h.run(append([]string{"kubectl", "exec", pod, "--", "curl", "-s"}, args...)...)
	}
	if r := curl(frontend, "http://backend:8080/public"); r.code != 0 || !strings.Contains(r.stdout, "public information") {
		t.Errorf("the read: %+v", r)
	}
	denied := curl(frontend, "-i", "-X", "POST", "http://backend:8080/public")
	if head, body, _ := strings.Cut(denied.stdout, "\r\n\r\n"); !strings.HasPrefix(head, "HTTP/1.1 403 Forbidden") ||
		!strings.Contains(strings.ToLower(head), "server: envoy") || body != "Access denied\r\n" {
		t.Errorf("the write: %q", denied.stdout)
	}
	if r := curl(other, "-i", "--connect-timeout", "5", "http://backend:8080/public"); r.code != 28 || r.stdout != "" {
		t.Errorf("another pod: %+v", r)
	}
	// Forms of a path that a careless proxy takes for an allowed one.
	for _, path := range []string{"/public/../private", "/public/%2e%2e/private", "//private", "/public%2f..%2fprivate", "/%70rivate"} {
		r := curl(frontend, "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", "http://backend:8080"+path)
		if r.stdout != "403" && r.stdout != "307" {
			t.Errorf("GET %s: %s", path, r.stdout)
		}
	}
	eventually(t, "netdojo flows tells of the refused request", 5*time.Second, func() bool {
		out := h.must("flows", "--last", "200")
		return strings.Contains(out, "dropped") && strings.Contains(out, "HTTP/1.1 POST http://backend:8080/public") &&
			strings.Contains(out, "by CiliumNetworkPolicy default/backend-ingress-http")
	})
	knownWrongAnswers(d)
	headerFromSecret(d, frontend)
}

// headerFromSecret lets requests through that carry what a Secret holds, at once
// after it changed.
func headerFromSecret(d *desk, frontend string) {
	d.kubectl("create", "secret", "generic", "token", "--from-literal=token=one")
	d.kubectl("apply", "-f", "testdata/header-secret.yaml")
	status := func(token string) string {
		return d.run("kubectl", "exec", frontend, "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
			"-H", "X-Token: "+token, "http://backend:8080/public").stdout
	}
	eventually(d.t, "the Secret's value opens, another does not", 10*time.Second, func() bool {
		return status("one") == "200" && status("two") == "403"
	})
	d.kubectl("patch", "secret", "token", "-p", `{"stringData": {"token": "two"}}`)
	eventually(d.t, "the Secret's new value opens, the old one does not", 10*time.Second, func() bool {
		return status("one") == "403" && status("two") == "200"
	})
}

// knownWrongAnswers gives each wrong answer of the lab, and wants its own hint.
func knownWrongAnswers(d *desk) {
	dirs, err := os.ReadDir(httpLab + "wrong")
	if err != nil || len(dirs) == 0 {
		d.t.Fatalf("no wrong answers: %v", err)
	}
	hints := map[string]string{
		"ports-only": "it has no rules for HTTP", "any-method": "a rule without a method",
		"path-as-prefix": "A path is not a prefix", "path-below": "the path and no more", "second-policy": "Rules add up", "wrong-peer": "fromEndpoints names do not exist",
	}
	for _, dir := range dirs {
		d.t.Run(dir.Name(), func(t *testing.T) {
			here := &desk{d.home, t}
			here.kubectl("delete", "cnp", "--all") // the answer before may have had one more
			here.kubectl("apply", "-f", httpLab+"wrong/"+dir.Name()+"/"+httpPolicy)
			run, r := here.session("check", "05")
			if r.code != 1 || len(run.Tasks) != 1 {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			if hints[dir.Name()] == "" {
				t.Fatal("the test knows no hint of it")
			}
			here.wantHint(run.Tasks[0], hints[dir.Name()])
		})
	}
}
