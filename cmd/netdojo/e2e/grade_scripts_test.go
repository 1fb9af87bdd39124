//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	graded "github.com/netdojo/netdojo/runner/grade/result"
)

// TestGradeScripts: what a script leaves is judged as manifests are; what it tries
// beside is told, and harms nobody.
func TestGradeScripts(t *testing.T) {
	h := newHome(t, t.TempDir())
	top := filepath.Dir(h.state)
	letter := filepath.Join(top, "letter")
	if err := os.WriteFile(letter, []byte("dear"), 0o666); err != nil {
		t.Fatal(err)
	}
	victim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	class := t.TempDir()
	host := fmt.Sprintf(`
cat %[1]s && kubectl create configmap read-a-file
echo mine >%[1]s
(exec 9<>/dev/tcp/127.0.0.1/%[2]d) && kubectl create configmap reached-the-host
cat %[3]s/grading/key && kubectl create configmap read-the-key
kubectl exec -n vault deploy/clerk -- true
kubectl get secrets -A
`, letter, victim.Addr().(*net.TCPAddr).Port, h.state)
	for name, text := range map[string]string{
		"right/sub dir/it's mine.sh": "set -e\nkubectl apply -f ../p.yaml\nkubectl -n vault get netpol closed -o name\n",
		"right/p.yaml":               policy("closed"),
		"evil/1.sh":                  "kubectl apply -f - <<'E'\n" + policy("closed") + "E\n" + host,
		"evil/2.sh":                  "kubectl create deployment evil -n vault --image=alpine\nkubectl delete namespace kube-system --wait=false\nkubectl get --raw /debug/pprof/cmdline\n",
		"evil/3.sh":                  "bomb() { bomb | bomb & }; bomb\nyes | head -c 1G\n",
	} {
		path := filepath.Join(class, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	results := filepath.Join(t.TempDir(), "results")
	args := []string{"grade", class, "--lab", "02", "--allow-scripts", "--recordings", "--jobs", "2", "--results", results}
	h.must(args...)
	var got graded.Class
	if err := json.Unmarshal([]byte(h.shows(results, "json")), &got); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, row := range marksOf(t, h, results) {
		names[row[0]] = row[6]
	}
	if names["right"] != "4" || names["evil"] != "4" {
		t.Errorf("points are %v", names)
	}
	var told strings.Builder
	for _, m := range got.Marks {
		for _, p := range m.Problems {
			told.WriteString(p.String() + "\n")
		}
	}
	for _, want := range []string{
		"lets no submission enter a pod", "lets no submission read Secrets", "lets no submission change deployments", "lets no submission change namespaces",
		"lets no submission ask for /debug/pprof", "file2.sh: it ended with exit code 1", "file3.sh: it ",
	} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("no %q is told:\n%s", want, told.String())
		}
	}
	if strings.Contains(told.String(), "configmaps") {
		t.Errorf("a script got at the host:\n%s", told.String())
	}
	if b, err := os.ReadFile(letter); err != nil || string(b) != "dear" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if r := h.run("grade", class, "--lab", "02", "--results", results); r.code != 2 || !strings.Contains(r.stderr, "with or without --allow-scripts") {
		t.Errorf("continued without scripts: %d, %s", r.code, r.stderr)
	}
	if r := h.run("grade", "replay", results, "right", "--lab", "02", "--submissions", class); r.code != 2 || !strings.Contains(r.stderr, "with or without --allow-scripts") {
		t.Errorf("replayed without scripts: %d, %s", r.code, r.stderr)
	}
	if one := h.must("grade", "show", results, "right", "reach.clerk.keys"); !strings.Contains(one, "POLICY_DENIED") || !strings.Contains(one, "control") {
		t.Errorf("what a verdict rests on is %s", one)
	}
	if verified := h.must("verify", results); !strings.Contains(verified, "2 recordings are those that were made") {
		t.Errorf("verify says %s", verified)
	}
	if played := h.must("grade", "replay", results, "right", "--recording"); !strings.Contains(played, "Default deny") || !strings.Contains(played, "denied") {
		t.Errorf("played is %s", played)
	}
	if left := h.clusters(); left != "" {
		t.Errorf("clusters are left: %s", left)
	}
}
