//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/runner/record"
)

// runText runs a page's text.
func (h *home) runText(t *testing.T, text string, args ...string) (record.Page, result) {
	t.Helper()
	h.t = t
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return h.runPage(file, args...)
}

// What pages serve and ask with.
const (
	webPod = `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: web, image: "cilium/json-mock:1.2"}]}
`
	askerPod = `---
apiVersion: v1
kind: Pod
metadata: {name: asker, labels: {app: asker}}
spec: {containers: [{name: asker, image: "cilium/json-mock:1.2"}]}
`
)

// twoTerminals follows what changes in one terminal and changes it in another. What is
// interrupted in between is neither of them.
const twoTerminals = `# Two terminals

In a second terminal, follow what is made:

~~~
NAMES=configmaps
alias k=kubectl
k get $NAMES --watch -o name
~~~

~~~yaml
# web.yaml
` + webPod + `~~~

Back in the first terminal:

~~~
kubectl apply -f web.yaml
kubectl port-forward pod/web 8080:8080
kubectl get pods -w
kubectl create configmap made-later
curl -s -o /dev/null -w '%{http_code}' localhost:8080/private; echo
~~~

~~~
configmap/made-later created
200
~~~

In the second terminal you see:

~~~
configmap/SEEN
~~~
`

// TestPageBeside: what blocks runs in a terminal of its own, beside what follows, with
// the shell's variables and aliases; what it shows is judged at the page's end.
func TestPageBeside(t *testing.T) {
	h, _ := sharedCluster(t)
	p, r := h.runText(t, strings.ReplaceAll(twoTerminals, "SEEN", "made-later"))
	if r.code != 0 || p.Passed != 2 || p.Failed != 0 || p.Broken != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
	states := map[string]record.CommandState{}
	for _, c := range p.Commands {
		states[c.Text] = c.State
	}
	for text, want := range map[string]record.CommandState{
		"k get $NAMES --watch -o name": record.CommandBeside, "kubectl port-forward pod/web 8080:8080": record.CommandBeside,
		"kubectl get pods -w": record.CommandEnded,
	} {
		if states[text] != want {
			t.Errorf("%s is %s, want %s: %s", text, states[text], want, r.stdout)
		}
	}
	t.Run("flipped", func(t *testing.T) {
		p, r := h.runText(t, strings.ReplaceAll(twoTerminals, "SEEN", "never-made"))
		before, _, _ := strings.Cut(twoTerminals, "configmap/SEEN")
		if c := atLine(t, p, strings.Count(before, "\n")+1); r.code != 1 || p.Failed != 1 || c.Passed {
			t.Errorf("exit code %d, the claim is %+v", r.code, c)
		}
	})
	t.Run("it does not begin", func(t *testing.T) {
		p, r := h.runText(t, "# A page\n\nIn another terminal:\n\n~~~\nkubectl logs -f pod/nobody\n~~~\n")
		if r.code != 1 || p.Broken != 1 || !strings.Contains(p.Commands[0].Output, "not found") {
			t.Errorf("exit code %d: %s", r.code, r.stdout)
		}
	})
}

// askedFor has a pod that asks a server, and flows of that.
const askedFor = `# Flows

~~~yaml
# all.yaml
` + webPod + `---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
` + askerPod + `~~~

`

// hubblePage follows them in one terminal, and asks for those that were.
const hubblePage = `~~~
kubectl apply -f all.yaml
hubble observe --from-pod asker --to-pod web --follow -o dict
~~~

In another terminal:

~~~
kubectl exec asker -- curl -s -o /dev/null http://web/private
~~~

In the first terminal you see:

~~~
DESTINATION: default/web:8080
    VERDICT: FORWARDED
~~~

What was is there too:

~~~
hubble observe --pod asker --last 20 --protocol tcp -o dict | grep DESTINATION | sort -u
~~~

~~~
DESTINATION: default/web:8080
~~~
`

// TestPageHubble: hubble, typed on a page, shows the cluster's flows, those from before
// and those that come.
func TestPageHubble(t *testing.T) {
	h, _ := sharedCluster(t)
	p, r := h.runText(t, askedFor+hubblePage)
	if r.code != 0 || p.Failed != 0 || p.Broken != 0 || p.Passed != 2 {
		t.Fatalf("exit code %d: %s", r.code, r.stdout)
	}
}

// TestPageBlanks: what a page leaves to its reader is filled in where there is one thing
// that it can be, or by --fill, and told with the cure where not.
func TestPageBlanks(t *testing.T) {
	h, _ := sharedCluster(t)
	text := askedFor + `~~~
kubectl apply -f all.yaml
kubectl exec ASKER_POD_NAME -- curl -s -o /dev/null -m 5 http://<web-pod-ip>:8080/private && echo reached
kubectl get pods -l app=web
kubectl exec <pod-name> -- curl -s -o /dev/null -m 5 http://SERVICE_IP/private && echo reached
kubectl get pods
kubectl logs <your-other-pod>
kubectl get configmap YOUR_CONFIG
~~~
`
	p, r := h.runText(t, text, "--fill", "your-config=kube-root-ca.crt")
	told := map[int]string{}
	for i, c := range p.Commands {
		told[i] = string(c.State) + ": " + c.Why
		if (i == 1 || i == 3) && !strings.Contains(c.Output, "reached") {
			t.Errorf("%s shows %s", c.Text, c.Output)
		}
	}
	for i, want := range map[int][]string{
		1: {"done", "ASKER_POD_NAME is asker here", "<web-pod-ip> is "},
		3: {"done", "<pod-name> is web here, the only pod that is listed on line", "SERVICE_IP is ", "the only service"},
		5: {"skipped", "no pod has other in its name or labels", "--fill YOUR_OTHER_POD=VALUE"},
		6: {"done", "YOUR_CONFIG is kube-root-ca.crt here, as --fill says"},
	} {
		for _, w := range want {
			if !strings.Contains(told[i], w) {
				t.Errorf("command %d is %s, want %q", i+1, told[i], w)
			}
		}
	}
	if r.code != 0 || p.Skipped != 1 || p.Broken != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stdout)
	}
}
