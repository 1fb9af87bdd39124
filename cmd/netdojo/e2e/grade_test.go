//go:build linux

package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
	graded "github.com/netdojo/netdojo/runner/grade/result"
)

// handedIn is a submission of the test class and what it must bring.
type handedIn struct {
	name  string // of its folder or file
	files map[string]string
	id    string // in the list of marks; "" is name
	// points are those of the pairs, mark what is left of them for being late; -1 is
	// the same.
	points int
	mark   float64
	// problem has to be among what was not taken; "" for none at all.
	problem string
	cause   string // of a check that failed; "" for any
}

const (
	closed = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: NAME, namespace: vault}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n"
	asCNP  = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: closed, namespace: vault}\nspec: {endpointSelector: {}, ingress: [{}]}\n"
	asJSON = `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"closed","namespace":"vault"},"spec":{"podSelector":{},"policyTypes":["Ingress"]}}`
	noKind = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: typo, namespace: vault}\nspec: {podSelector: {}, policyType: [Ingress]}\n"
	// everywhere is a policy of both namespaces.
	everywhere = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: all, namespace: vault}\nspec: SPEC\n---\n" +
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: all, namespace: lobby}\nspec: SPEC\n"
	// takesNode is a pod that would be its node's.
	takesNode = `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: attacker, namespace: vault}
spec:
  selector: {matchLabels: {app: attacker}}
  template:
    metadata: {labels: {app: attacker}}
    spec:
      hostPID: true
      hostNetwork: true
      containers:
        - {name: c, image: "docker.io/curlimages/curl:8.10.1", command: [sleep, infinity], securityContext: {privileged: true}, volumeMounts: [{name: host, mountPath: /host}]}
      volumes: [{name: host, hostPath: {path: /}}]
`
	// othersThings are objects that would outlive their submission or reach beyond it.
	othersThings = `
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: evil}
webhooks: []
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: evils.evil.test}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: evil}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
---
apiVersion: v1
kind: Service
metadata: {name: evil, namespace: vault}
spec: {externalIPs: [192.0.2.1], ports: [{port: 80}]}
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: evil}
spec: {endpointSelector: {}, ingress: [{}], egress: [{}]}
`
)

func policy(name string) string { return strings.ReplaceAll(closed, "NAME", name) }

func both(spec string) string { return strings.ReplaceAll(everywhere, "SPEC", spec) }

// changed is one of the lab's clients as a submission changes it.
func changed(namespace, app, replicas, labels string) string {
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}}
spec:
  replicas: %[3]s
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s%[4]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {name: client, image: "docker.io/curlimages/curl:8.10.1", imagePullPolicy: IfNotPresent, command: [sleep, infinity]}
`, namespace, app, replicas, labels)
}

func packed(t *testing.T, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// testClass are thirty submissions of lab 02, which is worth 4 points.
func testClass(t *testing.T, lab *labs.Lab) []handedIn {
	wrong := func(name string) map[string]string {
		data, err := fs.ReadFile(lab.FS, "wrong/"+name+"/default-deny-ingress.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"policy.yaml": string(data)}
	}
	one := func(text string) map[string]string { return map[string]string{"policy.yaml": text} }
	return []handedIn{
		{name: "right1", files: one(policy("a")), points: 4},
		{name: "right2", files: one(policy("b")), points: 4},
		{name: "right3", files: one(policy("a")), points: 4}, // identical with right1
		{name: "cilium", files: one(asCNP), points: 4},
		{name: "json", files: map[string]string{"deep/er/policy.json": asJSON}, points: 4},
		{name: "windows", files: map[string]string{"My Policy (final).yaml": "\xef\xbb\xbf" + strings.ReplaceAll(policy("a"), "\n", "\r\n")}, points: 4},
		{name: "packed.zip", id: "packed", files: map[string]string{"": packed(t, map[string]string{"work/policy.yaml": policy("a")})}, points: 4},
		{name: "Änn Müller_1234_assignsubmission_file_", id: "1234", files: one(policy("a")), points: 4},
		{name: "other-namespace", files: wrong("other-namespace"), points: 0},
		{name: "empty-rule", files: wrong("empty-rule"), points: 0},
		{name: "egress-too", files: wrong("egress-too"), points: 2, cause: "dns-failure"},
		{name: "one-pod", files: wrong("one-pod"), points: 2},
		{name: "broken", files: one("kind: [\n"), points: 0, problem: "file1.yaml:2: not YAML"},
		{name: "broken-and-right", files: one("a: [\n---\n" + policy("a")), points: 4, problem: "not YAML"},
		{name: "typo-and-right", files: one(policy("a") + noKind), points: 4, problem: "NetworkPolicy typo is not in force"},
		{name: "nothing", files: map[string]string{"README.txt": "I did not get to it."}, points: 0, problem: "it is no manifest"},
		{name: "deny-all", files: one(both("{podSelector: {}, policyTypes: [Ingress, Egress]}")), points: 0},
		{name: "allow-all", files: one(both("{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}")), points: 0},
		{name: "Lab 02_late1_attempt_2026-11-22-00-30-00", id: "late1", files: one(policy("a")), points: 4, mark: 3.2},
		{name: "Lab 02_late2_attempt_2026-11-22-00-30-00", id: "late2", files: one(policy("a")), points: 4}, // with an extension
		{name: "Lab 02_again_attempt_2026-11-18-00-00-00", id: "", files: one("kind: [\n")},
		{name: "Lab 02_again_attempt_2026-11-19-00-00-00", id: "again", files: one(policy("a")), points: 4},
		{name: "bea-two", files: one(policy("a")), points: 4}, // with cy3
		{name: "deleted", files: one(policy("a") + changed("vault", "clerk", "0", "") + changed("lobby", "guest", "0", "")), points: 0, cause: "no-such-pod"},
		{name: "relabelled", files: one(policy("a") + changed("vault", "clerk", "1", ", new: label") + changed("lobby", "guest", "1", ", new: label")), points: 0, cause: "tampered"},
		{name: "takes-node", files: one(policy("a") + takesNode), points: 4},
		{name: "others-things", files: one(policy("a") + othersThings), points: 4, problem: "the lab takes no such kind"},
		{name: "finalizer", files: one(strings.Replace(policy("a"), "namespace: vault", "namespace: vault, finalizers: [evil/stay]", 1)), points: 0, problem: "finalizers"},
		{name: "kube-system", files: one(strings.Replace(policy("a"), "namespace: vault", "namespace: kube-system", 1)), points: 0, problem: "namespace kube-system is not the lab's"},
		{name: "hidden", files: one(strings.Replace(both("{podSelector: {}, policyTypes: [Egress]}"), "name: all", "name: all, labels: {netdojo.dev/marker: x}", 2)), points: 0, problem: "its label netdojo.dev/marker is netdojo's own"},
		{name: "bomb", files: map[string]string{"w.zip": packed(t, map[string]string{"p.yaml": strings.Repeat("#", 2<<20), "../../right1/policy.yaml": policy("evil")}), "run.sh": "touch /tmp/pwned"}, points: 0, problem: "longer than 1 MiB"},
	}
}

// writeClass writes submissions, and the list of people.
func writeClass(t *testing.T, class []handedIn) (dir, list string) {
	t.Helper()
	dir = t.TempDir()
	var people strings.Builder
	people.WriteString("id,name,email,group,due\n")
	for _, s := range class {
		for name, text := range s.files {
			path := filepath.Join(dir, s.name, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		id := s.key()
		if id == "" {
			continue
		}
		group, due := "", ""
		switch id {
		case "bea-two":
			group = "red"
		case "late2":
			due = "2026-11-23 00:00"
		}
		fmt.Fprintf(&people, "%s,Person %s,%s@example.org,%s,%s\n", id, id, id, group, due)
	}
	people.WriteString("cy3,Cy Dee,cy@example.org,red,\nabsent,Nobody Here,,,\n")
	list = filepath.Join(t.TempDir(), "roster.csv")
	if err := os.WriteFile(list, []byte(people.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, list
}

// key is how the list of marks calls who handed it in; "" for an earlier attempt.
func (s handedIn) key() string {
	if s.id == "" && strings.Contains(s.name, "_attempt_") {
		return ""
	}
	if s.id != "" {
		return s.id
	}
	return s.name
}

// gradedLab is lab 02 in a folder, where answers may hold workloads too.
func gradedLab(t *testing.T) (string, *labs.Lab) {
	t.Helper()
	lab, err := labs.Open("02")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "lab")
	if err := os.CopyFS(dir, lab.FS); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, labs.FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("namespace: vault\n"), []byte("namespace: vault\naccepts: [NetworkPolicy, CiliumNetworkPolicy, Deployment]\n"), 1)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, lab
}

// shows runs netdojo grade show.
func (h *home) shows(results, format string) string {
	return h.must("grade", "show", results, "-o", format)
}

// marksOf are the marks of a class by who they are of.
func marksOf(t *testing.T, h *home, results string) map[string][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(h.shows(results, "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	marks := map[string][]string{}
	for _, row := range rows[1:] {
		marks[row[0]] = row
	}
	return marks
}

// TestGrade grades a class of thirty twice, the second time killed half-way and
// continued, and checks the points, the causes, and what the results tell of whom.
func TestGrade(t *testing.T) {
	h := newHome(t, t.TempDir())
	labDir, lab := gradedLab(t)
	class := testClass(t, lab)
	dir, list := writeClass(t, class)
	args := func(results string) []string {
		return []string{"grade", dir, "--lab", labDir, "--roster", list, "--due", "2026-11-20 23:59", "--late-penalty", "10", "--jobs", "2", "--results", results}
	}
	first := filepath.Join(t.TempDir(), "first")
	began := time.Now()
	h.must(args(first)...)
	t.Logf("graded in %s", time.Since(began).Round(time.Second))
	judgeClass(t, h, class, first)
	if got := h.must("verify", first); !strings.Contains(got, "30 records are as they were signed") {
		t.Errorf("verify says %s", got)
	}
	namesNobody(t, first)

	second := filepath.Join(t.TempDir(), "second")
	killed := h.start(args(second)...)
	eventually(t, "ten submissions are judged", 5*time.Minute, func() bool {
		log, err := os.ReadFile(filepath.Join(second, "log.jsonl"))
		return err == nil && bytes.Count(log, []byte(`"kind":"graded"`)) >= 10
	})
	if err := killed.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed.wait()
	if r := h.run("verify", second); r.code == 0 {
		t.Error("results of a killed run verify")
	}
	told := h.must(args(second)...)
	if !strings.Contains(told, "of them are judged already") {
		t.Errorf("the run begins anew: %s", told)
	}
	h.must("verify", second)
	a, b := marksOf(t, h, first), marksOf(t, h, second)
	for id, row := range a {
		if other := b[id]; len(other) == 0 || !slices.Equal(row[5:], other[5:]) {
			t.Errorf("%s is %q, and %q the second time", id, row, other)
		}
	}
	if left := h.clusters(); left != "" {
		t.Errorf("clusters are left: %s", left)
	}
	again := h.must(args(second)...)
	if !strings.Contains(again, "30 of them are judged already") {
		t.Errorf("a third run judges again: %s", again)
	}
	appeal(t, h, first, labDir, dir)
}

// clusters are the names of those that have state.
func (h *home) clusters() string {
	entries, err := os.ReadDir(filepath.Join(h.state, "clusters"))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, ", ")
}

func judgeClass(t *testing.T, h *home, class []handedIn, results string) {
	t.Helper()
	marks := marksOf(t, h, results)
	var all graded.Class
	if err := json.Unmarshal([]byte(h.shows(results, "json")), &all); err != nil {
		t.Fatal(err)
	}
	byID := map[string]graded.Mark{}
	for _, m := range all.Marks {
		byID[m.Submission] = m
	}
	for _, s := range class {
		id := s.key()
		if id == "" {
			continue
		}
		row := marks[id]
		if len(row) == 0 {
			t.Errorf("%s has no mark", id)
			continue
		}
		m := byID[row[4]]
		want := s.mark
		if want == 0 {
			want = float64(s.points)
		}
		if m.Status != graded.Graded || m.Earned != s.points || m.Points != want || m.Max != 4 {
			t.Errorf("%s: %s %s, %d points earned, %v given of %d; want %d and %v\n%s", id, m.Status, m.Cause, m.Earned, m.Points, m.Max, s.points, want, failures(m))
		}
		problems := ""
		for _, p := range m.Problems {
			problems += p.String() + "\n"
		}
		if s.problem == "" && problems != "" || !strings.Contains(problems, s.problem) {
			t.Errorf("%s: problems are %q, want %q", id, problems, s.problem)
		}
		if s.cause != "" && !slices.ContainsFunc(m.Checks, func(c graded.Check) bool { return !c.Passed && string(c.Cause) == s.cause }) {
			t.Errorf("%s: no check fails by %s:\n%s", id, s.cause, failures(m))
		}
	}
	if a, b := marks["bea-two"], marks["cy3"]; len(b) == 0 || a[4] != b[4] || b[6] != "4" {
		t.Errorf("the pair has %q and %q", a, b)
	}
	if row := marks["absent"]; len(row) == 0 || row[5] != "missing" || row[6] != "0" {
		t.Errorf("who handed nothing in has %q", row)
	}
	if len(all.Groups) == 0 || len(all.Groups[0].Failed) != 0 || all.Groups[0].Same < 3 {
		t.Errorf("groups are %+v", all.Groups)
	}
}

func failures(m graded.Mark) string {
	text := ""
	for _, c := range m.Checks {
		if !c.Passed {
			text += fmt.Sprintf("  %s: %s, %s\n", c.Check, c.Verdict, c.Cause)
		}
	}
	return text
}

// namesNobody looks for people in everything but the map of people.
func namesNobody(t *testing.T, results string) {
	t.Helper()
	err := filepath.WalkDir(results, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "people.json" {
			return err
		}
		data, err := os.ReadFile(path)
		for _, name := range []string{"Müller", "example.org", "bea-two", "Person ", "right1", "Nobody Here", "My Policy"} {
			if bytes.Contains(data, []byte(name)) {
				t.Errorf("%s names %s", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// appeal is what becomes of a student's complaint: their page, a look at it, other
// points with a reason, and the gradebook anew. Then somebody is forgotten.
func appeal(t *testing.T, h *home, results, lab, submissions string) {
	t.Helper()
	feedback := h.shows(results, "feedback")
	if archive, err := zip.NewReader(strings.NewReader(feedback), int64(len(feedback))); err != nil || len(archive.File) != 31 {
		t.Errorf("pages: %v", err)
	}
	seen := h.must("grade", "replay", results, "one-pod", "--lab", lab, "--submissions", submissions)
	if !strings.Contains(seen, "has 2 of 4 points; this time it earns 2") {
		t.Errorf("replay says %s", seen)
	}
	if left := h.in("grade-replay").must("kubectl", "get", "networkpolicy", "-n", "vault", "-o", "name"); left != "networkpolicy.networking.k8s.io/default-deny-ingress\n" {
		t.Errorf("the state that is left has %s", left)
	}
	h.must("down", "--name", "grade-replay", "--purge")
	other := filepath.Join(t.TempDir(), "other")
	if err := os.CopyFS(other, os.DirFS(submissions)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "one-pod", "policy.yaml"), []byte(policy("a")), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := h.run("grade", "replay", results, "one-pod", "--lab", lab, "--submissions", other); r.code != 2 || !strings.Contains(r.stderr, "not the one that was graded") {
		t.Errorf("another submission is replayed: exit code %d, %s", r.code, r.stderr)
	}
	h.must("grade", "override", results, "one-pod", "--points", "3", "--reason", "the page was ambiguous")
	row := marksOf(t, h, results)["one-pod"]
	if row[6] != "3" || row[8] != "2" || !strings.Contains(row[11], "the page was ambiguous") {
		t.Errorf("after the override the line is %q", row)
	}
	h.must("verify", results)
	h.must("grade", "rescore", results, "--due", "2026-11-20 23:59", "--late-penalty", "50")
	if row := marksOf(t, h, results)["late1"]; row[6] != "0" {
		t.Errorf("after the rescore the line is %q", row)
	}
	h.must("grade", "forget", results, "right2")
	if row, there := marksOf(t, h, results)["right2"]; there {
		t.Errorf("forgotten, and there: %q", row)
	}
	if got := h.must("verify", results); !strings.Contains(got, "29 records") || !strings.Contains(got, "1 forgotten") {
		t.Errorf("verify says %s", got)
	}
	record, err := filepath.Glob(filepath.Join(results, "records", "*.json"))
	if err != nil || len(record) != 29 {
		t.Fatalf("%d records, %v", len(record), err)
	}
	text, err := os.ReadFile(record[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record[0], bytes.Replace(text, []byte(`"points"`), []byte(`"Points"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.run("verify", results); r.code != 1 || !strings.Contains(r.stderr, "not the one that was written") {
		t.Errorf("an altered record: exit code %d, %s", r.code, r.stderr)
	}
}

// TestGradeForgetsNames: what one submission taught the datapath of names serves no
// other. The first lets the backend ask for and reach every name.
func TestGradeForgetsNames(t *testing.T) {
	h := newHome(t, t.TempDir())
	lab, err := labs.Open("04")
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) map[string]string {
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"policy.yaml": string(data)}
	}
	dir, _ := writeClass(t, []handedIn{
		{name: "a-wide", files: file("wrong/pattern-too-wide/backend-egress-allow-fqdn.yaml")},
		{name: "b-right", files: file("solution/backend-egress-allow-fqdn.yaml")},
		{name: "c-no-dns", files: file("wrong/dns-not-allowed/backend-egress-allow-fqdn.yaml")},
		{name: "d-nothing", files: map[string]string{"policy.yaml": "# nothing yet"}},
	})
	results := filepath.Join(t.TempDir(), "results")
	h.must("grade", dir, "--lab", "04", "--jobs", "1", "--results", results)
	marks := marksOf(t, h, results)
	for id, want := range map[string]string{"a-wide": "0", "b-right": "1", "c-no-dns": "0", "d-nothing": "0"} {
		if row := marks[id]; len(row) == 0 || row[6] != want || row[5] != "graded" {
			t.Errorf("%s is %q, want %s points", id, row, want)
		}
	}
}
