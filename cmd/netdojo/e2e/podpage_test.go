//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/checks"
)

// shellInPod is a page that opens a shell in a pod and goes on there, with prompts and
// without, applies what it shows, forwards a port, and says in prose what it expects.
const shellInPod = `# Shells in pods

` + "```yaml" + `
# web.yaml
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: web, image: cilium/json-mock:1.2}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
` + "```" + `

` + "```" + `
kubectl apply -f web.yaml
` + "```" + `

` + "```console" + `
$ kubectl run -it --rm box --image=busybox --restart=Never -- sh
` + "```" + `

` + "```" + `
/ # X=carried
/ # echo $X over
carried over
/ # wget -qO- -T 3 http://web/private >/dev/null && echo reached
reached
/ # exit
` + "```" + `

Its name is free again:

` + "```sh" + `
kubectl run -it --rm box --image=busybox -- sh
` + "```" + `

` + "```" + `
/ # echo once more
once more
` + "```" + `

` + "```sh" + `
kubectl port-forward pod/web 8080:8080
curl -s -o /dev/null -w '%{http_code}' localhost:8080/private; echo
` + "```" + `

` + "```" + `
200
` + "```" + `

` + "```sh" + `
cat <<E | kubectl apply -f -
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-web}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
E
kubectl run -it box --image=busybox --restart=Never -- sh
` + "```" + `

` + "```sh" + `
wget -qO- http://web/private
` + "```" + `

The request times out.

` + "```sh" + `
kubectl run --rm -i asker --image=busybox -- wget -qO- -T 2 http://web/private
` + "```" + `

This one times out, too.

` + "```sh" + `
kubectl delete pod box --now
` + "```" + `
`

func TestPageInPods(t *testing.T) {
	h, _ := sharedCluster(t)
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(shellInPod), 0o644); err != nil {
		t.Fatal(err)
	}
	p, r := h.runPage(file)
	if strings.Contains(r.stdout, "is not ready") {
		t.Errorf("pods that the page has removed are waited for: %s", r.stdout)
	}
	byText := map[string]int{}
	for i, c := range p.Commands {
		byText[c.Text] = i
	}
	for _, text := range []string{"echo $X over", "wget -qO- -T 3 http://web/private >/dev/null && echo reached"} {
		c := p.Commands[byText[text]]
		if c.State != "done" || len(c.Claims) != 1 || !c.Claims[0].Passed {
			t.Errorf("%s is %+v", text, c)
		}
	}
	denied := p.Commands[byText["wget -qO- http://web/private"]]
	if len(denied.Claims) != 1 || denied.State != "ended" {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	// Another pod of that name reached it before: a control of another client, and not of
	// this one, and the policies have changed since.
	if c := denied.Claims[0]; c.Evidence.Drop == nil || c.Verdict != checks.Inconclusive && c.Verdict != checks.Denied {
		t.Errorf("the deny is %+v", c)
	}
	// What kubectl is attached to ends well for it, and not for the program.
	asked := p.Commands[byText["kubectl run --rm -i asker --image=busybox -- wget -qO- -T 2 http://web/private"]]
	if len(asked.Claims) != 1 || asked.Claims[0].Evidence.Drop == nil || asked.Claims[0].Verdict == checks.Allowed {
		t.Errorf("the deny of a pod's own program is %+v", asked)
	}
	if p.Broken != 0 || p.Skipped != 0 || !strings.Contains(r.stdout, "deny-web") {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
}
