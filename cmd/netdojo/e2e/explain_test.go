//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/datapath/explain"
)

// TestExplain is the command as a learner uses it on a running cluster: a typo in
// a policy is named, with the verdict of the pod's own curl beside it, and the
// same files give the same answer without a cluster.
func TestExplain(t *testing.T) {
	home, h := sharedCluster(t)
	l := newLab(t, h)
	t.Cleanup(func() { removePods(t, l) })
	typo := cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchLabels: {app: clinet}}]}]}`)
	remove := l.policies(typo)
	l.check(probe{client, server, false})
	out := home.must("explain", "client", "svc/server")
	for _, want := range []string{
		"default/client → svc default/server:80 → default/server:8080/TCP is denied: CiliumNetworkPolicy default/under-test selects default/server for ingress, and no rule allows it\n",
		"      spec.ingress[0]: does not match (allow)\n",
		"hint: app=clinet: no pod has it; did you mean app=client?\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	// The ends as `netdojo run` prints them.
	if same := home.must("explain", "default/app=client", "http://server", "--expect", "denied"); !strings.Contains(same, "default/client → svc default/server:80") {
		t.Errorf("by labels and URL:\n%s", same)
	}

	r := home.run("explain", "client", "server", "--port", "8080", "-o", "json", "--expect", "allowed")
	if r.code != 1 {
		t.Errorf("exit code %d where the verdict differs from --expect", r.code)
	}
	var online explain.Answer
	if err := json.Unmarshal([]byte(r.stdout), &online); err != nil {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	if online.Schema != explain.Schema || online.Outcome != explain.Denied || len(online.Connections) != 1 {
		t.Errorf("%+v", online)
	}

	// The same from files.
	dir := t.TempDir()
	pods, err := os.ReadFile("testdata/policy-pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"pods.yaml": string(pods), "policy.yaml": typo} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var offline explain.Answer
	if err := json.Unmarshal([]byte(home.must("explain", "client", "server", "--port", "8080", "-o", "json", "-f", dir)), &offline); err != nil {
		t.Fatal(err)
	}
	if got, want := offline.Connections[0], online.Connections[0]; got.Summary != want.Summary || got.Reason != want.Reason {
		t.Errorf("files say %s (%s), the cluster %s (%s)", got.Summary, got.Reason, want.Summary, want.Reason)
	}

	// The matrix says the same, and what a learner mistypes is named.
	var m explain.Matrix
	if err := json.Unmarshal([]byte(home.must("matrix", "--namespace", "default", "-o", "json")), &m); err != nil {
		t.Fatal(err)
	}
	outcome := map[string]explain.Outcome{}
	for _, c := range m.Cells {
		outcome[c.From+" "+c.To] = c.Outcome
	}
	if outcome["default/client default/server"] != explain.Denied || outcome["default/server default/client"] != explain.Allowed {
		t.Errorf("matrix: %v", outcome)
	}
	if r := home.run("explain", "clinet", "server"); r.code != 2 || !strings.Contains(r.stderr, "cure: did you mean client?") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	remove()

	// A name: first without DNS in the policy, then with the rule that is missing.
	names := `{toFQDNs: [{matchName: kubernetes.io}]}`
	remove = l.policies(cnp(`{` + onClient + `, egress: [` + names + `]}`))
	out = home.must("explain", "client", "kubernetes.io", "--expect", "denied")
	if !strings.Contains(out, "may not ask the cluster's DNS") {
		t.Errorf("no word of DNS in\n%s", out)
	}
	if _, code, err := l.exec(t.Context(), client, "timeout", "3", "getent", "ahostsv4", "kubernetes.io"); err != nil || code == 0 {
		t.Errorf("the pod resolves the name: exit code %d, %v", code, err)
	}
	remove()
	remove = l.policies(cnp(`{` + onClient + `, egress: [` + names + `, ` + dnsRule + `]}`))
	defer remove()
	home.must("explain", "client", "kubernetes.io", "--expect", "allowed")
	home.must("explain", "client", "cilium.io", "--expect", "denied")
	l.check(probe{client, k8sio, true})
	l.check(probe{client, cilium, false})
	// Now that it was asked for, the answer is the same.
	home.must("explain", "client", "kubernetes.io", "--expect", "allowed")
}
