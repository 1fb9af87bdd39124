//go:build linux

package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/runner/record"
)

const (
	catalogue = "../../../labs/catalogue/04"
	solution  = catalogue + "/solution/backend-egress-allow-fqdn.yaml"
	kubeIO    = "https://kubernetes.io"
	ciliumIO  = "https://cilium.io"
)

// session runs a lab's command and reads its record.
func (h *home) session(args ...string) (record.Run, result) {
	h.t.Helper()
	r := h.run(append(args, "--output", "json")...)
	var run record.Run
	if err := json.Unmarshal([]byte(r.stdout), &run); err != nil {
		h.t.Fatalf("netdojo %s: exit code %d, %v\n%s%s", strings.Join(args, " "), r.code, err, r.stdout, r.stderr)
	}
	return run, r
}

// verdict is what a check of a phase must have found.
type verdict struct {
	to    string
	kind  checks.Kind
	cause checks.Cause
}

// wantVerdicts holds a record against the verdicts of one phase, each once, and
// the exit code against them.
func wantVerdicts(t *testing.T, run record.Run, r result, code int, phase checks.Phase, want ...verdict) record.Task {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s", r.code, code, r.stderr)
	}
	if len(run.Tasks) != 1 {
		t.Fatalf("%d tasks", len(run.Tasks))
	}
	for _, w := range want {
		found := false
		for _, c := range run.Tasks[0].Checks {
			if c.Phase != phase || c.To != w.to {
				continue
			}
			found = true
			if c.Verdict != w.kind || c.Cause != w.cause {
				t.Errorf("%s %s: %s, cause %s (%s), want %s, cause %s", phase, w.to, c.Verdict, c.Cause, c.Detail, w.kind, w.cause)
			}
		}
		if !found {
			t.Errorf("no check %s the policy of %s", phase, w.to)
		}
	}
	return run.Tasks[0]
}

// desk is the shared cluster with lab 04 entered, as a learner has it.
type desk struct {
	*home
	t *testing.T
}

// kubectl runs netdojo's kubectl, which must succeed.
func (d *desk) kubectl(args ...string) string {
	d.t.Helper()
	return d.must(append([]string{"kubectl"}, args...)...)
}

// enter deploys the lab and takes controls; no policy is left out of it.
func (d *desk) enter() (record.Run, result) {
	d.t.Helper()
	run, r := d.session("run", "04", "--solve=false", "--keep")
	wantVerdicts(d.t, run, r, 1, checks.Before, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Allowed, checks.CauseOK})
	return run, r
}

// check judges what the cluster is now.
func (d *desk) check(code int, want ...verdict) record.Task {
	d.t.Helper()
	run, r := d.session("check", "04")
	return wantVerdicts(d.t, run, r, code, checks.After, want...)
}

func (d *desk) wantHint(task record.Task, part string) {
	d.t.Helper()
	if !strings.Contains(task.Hint, part) {
		d.t.Errorf("hint is %q, want %q in it", task.Hint, part)
	}
}

// TestWrongOutcomesAreCaught makes the cluster another one than the lab means,
// each in its own way, and wants the true cause.
func TestWrongOutcomesAreCaught(t *testing.T) {
	h, _ := sharedCluster(t)
	t.Cleanup(func() {
		h.t = t
		h.must("kubectl", "delete", "cnp", "--all")
		h.must("kubectl", "delete", "deployment,service", "backend", "--ignore-not-found")
		h.must("kubectl", "delete", "pod", "client", "--ignore-not-found")
		h.must("kubectl", "delete", "-n", "kube-system", "pod", "outsider", "--ignore-not-found")
	})
	(&desk{h, t}).enter()
	for _, c := range []struct {
		name string
		test func(*desk)
	}{
		{"the policy left out", policyLeftOut},
		{"the right policy by hand", rightPolicyByHand},
		{"a wrong selector", wrongSelector},
		{"a route that refuses", refusingRoute},
		{"a reset in the policy's place", resetInstead},
		{"a rule that is not served", tlsRule},
		{"kube-dns down", dnsDown},
		{"another image", anotherImage},
		{"no pod", noPod},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.t = t
			d := &desk{h, t}
			defer func() { h.must("kubectl", "delete", "cnp", "--all") }()
			c.test(d)
		})
	}
}

func policyLeftOut(d *desk) {
	run, r := d.enter()
	wantVerdicts(d.t, run, r, 1, checks.After, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Allowed, checks.CauseOK})
	task := d.check(1, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Allowed, checks.CauseOK})
	d.wantHint(task, "What does the backend have to ask")
}

func rightPolicyByHand(d *desk) {
	d.kubectl("apply", "-f", solution)
	task := d.check(0, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Denied, checks.CausePolicyDrop})
	for _, c := range task.Checks {
		if c.To != ciliumIO {
			continue
		}
		if c.Evidence.Control == nil || c.Evidence.Control.Kind != checks.ControlBefore {
			d.t.Errorf("the control is %+v", c.Evidence.Control)
		}
		if drop := c.Evidence.Drop; drop == nil || len(drop.Policies) == 0 || drop.Policies[0].Name != "backend-egress-allow-fqdn" {
			d.t.Errorf("the drop is %+v", drop)
		}
	}
}

func wrongSelector(d *desk) {
	d.kubectl("apply", "-f", catalogue+"/wrong/wrong-selector/backend-egress-allow-fqdn.yaml")
	task := d.check(1, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Allowed, checks.CauseOK})
	d.wantHint(task, "selects no pod")
	for _, c := range task.Checks {
		if c.Phase == checks.After && !c.Passed && (len(c.Why) == 0 || !strings.Contains(c.Why[0], "app=back-end: no pod has it; did you mean app=backend?")) {
			d.t.Errorf("%s: the engine's first reason is not the label: %q", c.ID, c.Why)
		}
	}
}

// outsider runs a command in the node's own network namespace.
func (d *desk) outsider(command ...string) string {
	d.t.Helper()
	d.kubectl("apply", "-f", "testdata/faults/outsider.yaml")
	d.kubectl("wait", "-n", "kube-system", "--for=condition=Ready", "--timeout=120s", "pod/outsider")
	return d.kubectl(append([]string{"exec", "-n", "kube-system", "outsider", "--"}, command...)...)
}

func (d *desk) addressOf(name string) string {
	d.t.Helper()
	return strings.Fields(d.kubectl("exec", "deployment/backend", "--", "getent", "ahostsv4", name))[0]
}

// refusingRoute has the node's routing answer for cilium.io with ICMP, under a
// policy that allows it: refused, but by no policy.
func refusingRoute(d *desk) {
	if _, err := exec.LookPath("ip"); err != nil {
		d.t.Skip("needs ip (iproute2)")
	}
	addr := d.addressOf("cilium.io")
	d.outsider("ip", "route", "add", "unreachable", addr)
	defer d.outsider("ip", "route", "del", "unreachable", addr)
	d.kubectl("apply", "-f", catalogue+"/wrong/pattern-too-wide/backend-egress-allow-fqdn.yaml")
	task := d.check(1, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Broken, checks.CauseRefused})
	d.wantHint(task, "No policy answered")
}

// resetInstead answers before any policy is asked. The right policy is in
// force, and still the deny is not its own.
func resetInstead(d *desk) {
	if _, err := exec.LookPath("nft"); err != nil {
		d.t.Skip("needs nft")
	}
	d.outsider("nft", "add table ip outsider; add chain ip outsider early { type filter hook prerouting priority -400; }; "+
		"add rule ip outsider early ip daddr "+d.addressOf("cilium.io")+" tcp dport 443 reject with tcp reset")
	defer d.outsider("nft", "delete", "table", "ip", "outsider")
	d.kubectl("apply", "-f", solution)
	d.check(1, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Broken, checks.CauseRefused})
}

// tlsRule is a policy whose rules are not served: it is refused in the open,
// and what it would have judged is closed.
func tlsRule(d *desk) {
	d.kubectl("apply", "-f", "testdata/faults/client.yaml")
	d.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "pod/client")
	addr := d.kubectl("get", "pods", "-l", "app=backend", "-o", "jsonpath={.items[0].status.podIP}")
	get := func(seconds string) result {
		return d.run("kubectl", "exec", "client", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", seconds, "http://"+addr+":8080/public")
	}
	if r := get("30"); r.stdout != "200" {
		d.t.Fatalf("the control: %+v", r)
	}
	d.kubectl("apply", "-f", "testdata/faults/tls-rule.yaml")
	d.kubectl("wait", "--for=condition=Valid=False", "--timeout=120s", "cnp/tls-rule")
	const field = "spec.ingress[0].toPorts[0].terminatingTLS"
	if out := d.kubectl("get", "cnp", "tls-rule"); !strings.Contains(out, "VALID") || !strings.Contains(out, "False") {
		d.t.Errorf("kubectl get cnp prints\n%s", out)
	}
	if out := d.kubectl("get", "cnp", "tls-rule", "-o", "jsonpath={.status.conditions[0].message}"); !strings.Contains(out, field) {
		d.t.Errorf("the condition says %q", out)
	}
	eventually(d.t, "an event tells of "+field, 5*time.Second, func() bool {
		return strings.Contains(d.kubectl("get", "events", "--field-selector", "involvedObject.name=tls-rule,type=Warning"), field)
	})
	if r := get("2"); r.code != 28 || r.stdout != "000" {
		d.t.Errorf("what the rule would allow is open: %+v", r)
	}
	r := d.run("check", "04")
	if !strings.Contains(r.stdout, "rejected CiliumNetworkPolicy default/tls-rule") || !strings.Contains(r.stdout, field) {
		d.t.Errorf("check does not tell of it:\n%s", r.stdout)
	}
	d.kubectl("delete", "pod", "client", "--wait=false")

	lab := labLike(d.t, edit{"solution/backend-egress-allow-fqdn.yaml", "      toPorts:\n        - ports:\n            - port: \"53\"", "      toPorts:\n        - ports: [{port: \"80\", protocol: TCP}]\n          terminatingTLS: {secret: {name: s}}\n        - ports:\n            - port: \"53\""})
	run, res := d.session("run", lab, "--keep")
	task := wantVerdicts(d.t, run, res, 1, checks.After,
		verdict{kubeIO, checks.Inconclusive, checks.CausePolicyRejected}, verdict{ciliumIO, checks.Inconclusive, checks.CausePolicyRejected})
	if len(task.Policies) != 1 || !strings.Contains(task.Policies[0].Rejected, "spec.egress[0].toPorts[0].terminatingTLS") {
		d.t.Errorf("the run's policies are %+v", task.Policies)
	}
}

func dnsDown(d *desk) {
	d.kubectl("apply", "-f", solution)
	d.kubectl("scale", "-n", "kube-system", "deployment/coredns", "--replicas=0")
	defer func() {
		d.kubectl("scale", "-n", "kube-system", "deployment/coredns", "--replicas=1")
		d.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", "--timeout=120s")
	}()
	d.kubectl("wait", "-n", "kube-system", "--for=delete", "pod", "-l", "k8s-app=kube-dns", "--timeout=120s")
	task := d.check(1, verdict{kubeIO, checks.Broken, checks.CauseDNS}, verdict{ciliumIO, checks.Broken, checks.CauseDNS})
	d.wantHint(task, "Cluster DNS does not answer")
}

// anotherImage replaces the backend between its control and its deny: the drop
// is there, but of another experiment.
func anotherImage(d *desk) {
	d.enter()
	d.kubectl("apply", "-f", solution)
	d.kubectl("set", "image", "deployment/backend", "backend=docker.io/cilium/starwars:latest")
	d.kubectl("rollout", "status", "deployment/backend", "--timeout=120s")
	task := d.check(1, verdict{kubeIO, checks.Allowed, checks.CauseOK}, verdict{ciliumIO, checks.Inconclusive, checks.CauseTampered})
	d.wantHint(task, "not the one that was allowed")
	for _, c := range task.Checks {
		if c.To == ciliumIO && !strings.Contains(c.Detail, "starwars") {
			d.t.Errorf("the detail does not name the image: %s", c.Detail)
		}
	}
}

func noPod(d *desk) {
	d.kubectl("apply", "-f", solution)
	d.kubectl("scale", "deployment/backend", "--replicas=0")
	task := d.check(1, verdict{kubeIO, checks.Broken, checks.CauseNoPod}, verdict{ciliumIO, checks.Broken, checks.CauseNoPod})
	d.wantHint(task, "netdojo run 04 --solve=false --keep")
}

// TestDaemonKilledDuringRun ends the cluster while a probe waits for its answer.
func TestDaemonKilledDuringRun(t *testing.T) {
	h := newHome(t, t.TempDir())
	h.must("up")
	t.Cleanup(func() { h.t = t; h.must("down", "--purge") })
	c := h.start("run", "04", "--wait-timeout")
	eventually(t, "the policy is applied", 30*time.Second, func() bool {
		return strings.Contains(h.run("kubectl", "get", "cnp", "-o", "name").stdout, "backend-egress-allow-fqdn")
	})
	_, launcher := clusterTree(t, h.state, cluster.DefaultName)
	if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	r := c.wait()
	if took := time.Since(killed); took > 20*time.Second {
		t.Errorf("the run ended %v after its cluster", took)
	}
	if r.code != 3 || !strings.Contains(r.stderr, "it is gone") || !strings.Contains(r.stderr, "cure: bring it back with its objects: netdojo up") {
		t.Errorf("exit code %d, want 3 and what became of the cluster:\n%s", r.code, r.stderr)
	}
}
