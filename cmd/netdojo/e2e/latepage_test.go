//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
)

const denyWeb = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-web}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
`

// latePage begins with its policies in force. What one of its denies needs it shows
// later, of another it never does, and a third dials where nobody ever answers.
const latePage = `# Denied first

~~~yaml
# all.yaml
` + webPod + `---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: web, port: 80, targetPort: 8080}, {name: shut, port: 81, targetPort: 8081}]}
` + askerPod + denyWeb + `~~~

~~~
kubectl apply -f all.yaml
~~~

~~~
kubectl exec asker -- curl -s -m 2 http://web/private
~~~

~~~
command terminated with exit code 28
~~~
`

// TestPageLateControls: a deny whose control comes later holds once that is there, or
// once netdojo has tried it itself without the page's policies.
func TestPageLateControls(t *testing.T) {
	h, _ := sharedCluster(t)
	run := func(t *testing.T, text string) (checks.Kind, checks.ControlKind, string, bool) {
		h.t = t
		file := filepath.Join(t.TempDir(), "page.md")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, r := h.runPage(file)
		if len(p.Commands) < 2 {
			t.Fatalf("exit code %d: %s", r.code, r.stdout)
		}
		denied := p.Commands[1]
		if len(denied.Claims) != 1 || p.Broken != 0 || denied.Claims[0].Evidence.Drop == nil {
			t.Fatalf("exit code %d: %s", r.code, r.stdout)
		}
		c := denied.Claims[0]
		var kind checks.ControlKind
		if c.Evidence.Control != nil {
			kind = c.Evidence.Control.Kind
		}
		return c.Verdict, kind, c.Observed + "; " + c.Should, c.Passed
	}
	later := latePage + "\nThe policy is removed:\n\n```\nkubectl delete networkpolicy deny-web\nkubectl exec asker -- curl -s -o /dev/null -m 2 http://web/private\n```\n"
	t.Run("shown later", func(t *testing.T) {
		verdict, control, told, passed := run(t, later)
		if !passed || verdict != checks.Denied || control != checks.ControlAfter || strings.Contains(told, "netdojo tried") {
			t.Errorf("it is %s by %q: %s", verdict, control, told)
		}
	})
	t.Run("never shown", func(t *testing.T) {
		verdict, control, told, passed := run(t, latePage)
		if !passed || verdict != checks.Denied || control != checks.ControlAfter || !strings.Contains(told, "netdojo tried it at the page's end") {
			t.Errorf("it is %s by %q: %s", verdict, control, told)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		verdict, control, told, passed := run(t, strings.ReplaceAll(latePage, "http://web/private", "http://web:81/private"))
		if passed || verdict != checks.Inconclusive || control != "" || !strings.Contains(told, "without the policy") {
			t.Errorf("it is %s by %q: %s", verdict, control, told)
		}
	})
	t.Run("by a policy that is not the page's", func(t *testing.T) {
		h.t = t
		file := filepath.Join(t.TempDir(), "own.yaml")
		if err := os.WriteFile(file, []byte(denyWeb), 0o644); err != nil {
			t.Fatal(err)
		}
		h.must("kubectl", "apply", "-f", file)
		verdict, control, told, passed := run(t, strings.Replace(latePage, denyWeb, "", 1))
		if passed || verdict != checks.Inconclusive || control != "" || strings.Contains(told, "netdojo tried") {
			t.Errorf("it is %s by %q: %s", verdict, control, told)
		}
		h.must("kubectl", "delete", "-f", file) // and fails where it is gone
	})
}
