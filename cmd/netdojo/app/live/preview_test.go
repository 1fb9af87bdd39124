package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/cluster/embedded/offline"
	"github.com/netdojo/netdojo/cmd/netdojo/app/lab"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/trial"
	"github.com/netdojo/netdojo/tui/backend"
)

// inProcess is the policy engine in this process, in place of a program. It remembers
// what it said, since what stands before an answer is asked about with each.
func inProcess() lab.Engine {
	known := map[string]control.Variant{}
	return func(ctx context.Context, base []control.File, v control.Variants) ([]control.Variant, error) {
		var out []control.Variant
		for _, set := range v.Sets {
			one := control.Offline{Files: base, Variants: &control.Variants{Namespace: v.Namespace, Sets: [][]control.File{set}, Ask: v.Ask}}
			key, err := json.Marshal(one)
			if err != nil {
				return nil, err
			}
			if _, ok := known[string(key)]; !ok {
				res, err := offline.Answer(ctx, one)
				if err != nil {
					return nil, err
				}
				if res.Fault != nil {
					return nil, errors.New(res.Fault.Message)
				}
				known[string(key)] = res.Variants[0]
			}
			out = append(out, known[string(key)])
		}
		return out, nil
	}
}

// policiesIn are the policies that files of a lab hold.
func policiesIn(t *testing.T, l *labs.Lab, names ...string) (found []unstructured.Unstructured) {
	t.Helper()
	for _, name := range names {
		objects, err := object.Parse(name, read(t, l, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if !policies.Is(o.GroupVersionKind().GroupKind()) {
				continue
			}
			if o.GetNamespace() == "" && o.GetKind() != policies.CiliumClusterwideNetworkPolicy && o.GetKind() != policies.ClusterNetworkPolicy {
				o.SetNamespace(l.Namespace)
			}
			found = append(found, *o.Unstructured)
		}
	}
	return found
}

func read(t *testing.T, l *labs.Lab, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(l.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// preview saves files of a lab as the learner's for a task, in place of those before, and
// foresees it.
func preview(t *testing.T, e lab.Engine, j *Judge, l *labs.Lab, task labs.Task, applied []unstructured.Unstructured, files []string) backend.Preview {
	t.Helper()
	dir := j.folder.Dir
	old, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range files {
		as := task.AnswerFile()
		if i > 0 {
			as = fmt.Sprintf("mine-%d.yaml", i)
		}
		// A remark makes it the learner's where the answer is what the lab gave.
		write(t, dir, as, string(read(t, l, name))+"\n# mine\n")
	}
	said, err := j.Preview(t.Context(), e, l, applied)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// envDual makes a process of tests one of both IP families, which the engine has by the
// process.
const envDual = "NETDOJO_TEST_DUAL"

// TestCatalogue: of every solution and every known wrong answer of the catalogue the
// preview says what the lab declares, and what is so before. Labs that need IPv6 are
// tried in a process of their own.
func TestCatalogue(t *testing.T) {
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	dual, least := os.Getenv(envDual) != "", 150
	if dual {
		least = 6
	} else {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestCatalogue$", "-test.v")
		cmd.Env = append(os.Environ(), envDual+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestCatalogue")) {
			t.Errorf("labs that need IPv6: %v\n%s", err, out)
		}
	}
	e, answers, agreed := inProcess(), 0, 0
	for _, l := range all {
		if l.NeedsIPv6() != dual {
			continue
		}
		applied := policiesIn(t, l, l.Workloads...)
		for _, task := range l.Tasks {
			j := newJudge(t, t.TempDir(), l, l, task.ID)
			try := func(name string, files []string, fails []labs.Fails) {
				answers++
				said := preview(t, e, j, l, task, applied, files)
				if said.Refused != "" {
					t.Errorf("%s %s: refused: %s", task.ID, name, said.Refused)
					return
				}
				ofNodes, err := trial.OfNodes(l, task)
				if err != nil {
					t.Fatal(err)
				}
				if l.NeedsNodes() != (len(ofNodes) > 0) {
					t.Errorf("%s: of nodes are %v", task.ID, ofNodes)
				}
				for _, c := range task.Checks {
					if !c.InPod() {
						continue // it reads an object, and no engine knows of that
					}
					if ofNodes[c.ID] {
						if said.Saved[c.ID] != "" || said.Now[c.ID] != "" {
							t.Errorf("%s %s: %s is foreseen as %q", task.ID, name, c.ID, said.Saved[c.ID])
						}
						continue
					}
					want := checks.Kind(c.After)
					for _, f := range fails {
						if f.Check == c.ID {
							want = f.Verdict
						}
					}
					if got := said.Saved[c.ID]; got != want {
						t.Errorf("%s %s: %s is foreseen as %q, want %s", task.ID, name, c.ID, got, want)
					}
					if c.Before != "" && said.Now[c.ID] != checks.Kind(c.Before) {
						t.Errorf("%s: %s is now %q, want %s", task.ID, c.ID, said.Now[c.ID], c.Before)
					}
					agreed++
				}
			}
			if len(task.Checks) == 0 {
				continue
			}
			try("the solution", task.Solution, nil)
			for _, w := range task.Wrong {
				try(w.Name, w.Files, w.Fails)
			}
			applied = append(applied, policiesIn(t, l, task.Solution...)...)
		}
	}
	if answers < least {
		t.Errorf("only %d answers were tried", answers)
	}
	t.Logf("%d verdicts of %d answers", agreed, answers)
}

// TestPreview: what is saved stands in place of what it replaces, beside what is applied
// and stays.
func TestPreview(t *testing.T) {
	l := shopLab()
	l.Tasks[0].Checks = []checks.Check{{
		ID: "in", From: checks.From{Namespace: "shop", App: "web"}, To: "tcp://db.shop:80", Probe: checks.Spec{Probe: &checks.TCP{}},
	}}
	l.FS.(fstest.MapFS)["shop.yaml"].Data = []byte(shop + "---\n{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {selector: {app: db}, ports: [{port: 80}]}}\n---\n" +
		"{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}}\n")
	dns := "\n  - to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]\n    ports: [{port: 53, protocol: UDP}]"
	egress := func(name, rules string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + ", namespace: shop}\nspec:\n  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Egress]\n  egress:" + rules + "\n"
	}
	toDB := "\n  - to: [{podSelector: {matchLabels: {app: db}}}]"
	parsed := func(text string) []unstructured.Unstructured {
		objects, err := object.Parse("applied.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return []unstructured.Unstructured{*objects[0].Unstructured}
	}
	for name, tc := range map[string]struct {
		applied, file, now, saved, refused string
	}{
		"nothing saved":         {"", "", "allowed", "allowed", ""},
		"a policy":              {"", egress("mine", dns), "allowed", "denied", ""},
		"DNS is closed":         {"", egress("mine", toDB), "allowed", "broken", ""},
		"beside one that stays": {egress("other", toDB), egress("mine", dns), "broken", "allowed", ""},
		"in place of one":       {egress("mine", toDB+dns), egress("mine", dns), "allowed", "denied", ""},
		"in place of a workload": {"", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  selector: {matchLabels: {app: web}}\n" +
			"  template: {metadata: {labels: {app: web, tier: front}}, spec: {containers: [{name: c, image: i}]}}\n---\n" +
			strings.Replace(egress("mine", dns), "app: web", "tier: front", 1), "allowed", "denied", ""},
		"a field that nobody knows":     {"", strings.Replace(egress("mine", dns), "egress:", "egres:", 1), "", "", "web.yaml:7:3: "},
		"no YAML":                       {"", "kind: [\n", "", "", "web.yaml:"},
		"what the engine does not take": {"", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: groups, namespace: shop}\nspec:\n  endpointSelector: {}\n  ingress: [{fromGroups: [{aws: {securityGroupsIds: [sg-1]}}]}]\n", "allowed", "", "not served by this datapath"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var applied []unstructured.Unstructured
			if tc.applied != "" {
				applied = parsed(tc.applied)
			}
			if tc.file != "" {
				write(t, dir, "web.yaml", tc.file)
			}
			said, err := newJudge(t, dir, l, l, "1").Preview(t.Context(), inProcess(), l, applied)
			if err != nil {
				t.Fatal(err)
			}
			if string(said.Now["in"]) != tc.now || string(said.Saved["in"]) != tc.saved || !strings.Contains(said.Refused, tc.refused) || tc.refused == "" && said.Refused != "" {
				t.Errorf("foreseen %+v", said)
			}
		})
	}
}

// TestPreviewElsewhere: where the lab has another namespace, its pods are there, and
// policies without one too.
func TestPreviewElsewhere(t *testing.T) {
	l := shopLab()
	l.Tasks[0].Checks = []checks.Check{{ID: "out", From: checks.From{Namespace: "shop", App: "web"}, To: "tcp://93.184.216.34:80", Probe: checks.Spec{Probe: &checks.TCP{}}}}
	dir := t.TempDir()
	write(t, dir, "web.yaml", strings.Replace(policy("", "web"), "Ingress", "Egress", 1))
	here := l.In("guest")
	said, err := newJudge(t, dir, l, here, "1").Preview(t.Context(), inProcess(), here, nil)
	if err != nil || said.Now["out"] != checks.Allowed || said.Saved["out"] != checks.Denied {
		t.Errorf("foreseen %+v, %v", said, err)
	}
}
