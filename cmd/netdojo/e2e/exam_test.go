//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/scaffold"
	graded "github.com/netdojo/netdojo/runner/grade/result"
)

// TestExam takes an exam from its pack to its mark. While it goes on kubectl shows what
// the cluster does, and netdojo tells no verdict of it; what was saved is judged by the
// lab that the instructor kept, and a file that was changed is not.
func TestExam(t *testing.T) {
	dir := t.TempDir()
	kept, given := filepath.Join(dir, "harbour"), filepath.Join(dir, "given")
	if err := scaffold.Write(kept, scaffold.Lab{ID: "harbour", Title: "Harbour", Namespace: "harbour"}); err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(kept, labs.FileName), "workloads:", "exam: {minutes: 30}\nworkloads:")
	h := newHome(t, filepath.Join(dir, "state"))
	t.Cleanup(func() { h.t = t; h.run("down", "--purge") })

	h.must("exam", "pack", kept, given)
	h.must("up")
	wantTold(t, h.run("exam", "start", given), 0, "exam harbour, Harbour: 30 minutes")
	solution, err := os.ReadFile(filepath.Join(kept, "solution", "web-ingress.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	shell := h.command("shell", "harbour")
	shell.Stdin = strings.NewReader(`ls
cat >web-ingress.yaml <<end
` + string(solution) + `end
kubectl apply -f web-ingress.yaml
kubectl wait -n harbour --for=condition=Ready pod --all --timeout=120s >/dev/null
kubectl exec -n harbour deploy/friend -- curl -s -o /dev/null -w 'friend %{http_code}\n' --connect-timeout 5 http://web:8080/public
kubectl exec -n harbour deploy/stranger -- curl -s -o /dev/null -w 'stranger %{http_code}\n' --connect-timeout 2 http://web:8080/public
true
`)
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	said := shell.wait()
	if said.code != 0 || !strings.Contains(said.stdout, "friend 200") || !strings.Contains(said.stdout, "stranger 000") || strings.Contains(said.stdout, labs.FileName) {
		t.Errorf("in the shell: %d\n%s%s", said.code, said.stdout, said.stderr)
	}
	tellsNothing(t, "shell", said)

	for _, args := range [][]string{
		{"check", kept}, {"check", "02", "-o", "json"}, {"run", kept}, {"run", given}, {"--accessible"}, {"explain", "friend", "web"}, {"matrix"}, {"flows"}, {"hubble", "observe"}, {"lab", "test", kept}, {"lab", "lint", kept}, {"grade", dir, "--lab", kept},
		{"page", "explain", filepath.Join(given, "page.md")}, {"shell", "02"},
	} {
		r := h.run(args...)
		if r.code != 3 || !strings.Contains(r.stderr, "is closed in the exam harbour") {
			t.Errorf("netdojo %s is not refused in an exam: %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
		}
		tellsNothing(t, strings.Join(args, " "), r)
	}
	class := filepath.Join(dir, "class")
	if err := os.MkdirAll(class, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(class, "jane.json")
	for _, args := range [][]string{{"status"}, {"labs"}, {"exam", "status"}, {"save", file}, {"exam", "end"}} {
		r := h.run(args...)
		if r.code != 0 {
			t.Fatalf("netdojo %s: %s%s", strings.Join(args, " "), r.stdout, r.stderr)
		}
		tellsNothing(t, strings.Join(args, " "), r)
	}
	h.must("lab", "lint", kept)
	h.must("down", "--purge")

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, class, map[string]string{
		"tom.json": strings.Replace(string(text), `"minutes": 30`, `"minutes": 300`, 1),
	})
	var c graded.Class
	out := h.must("grade", class, "--lab", kept, "--results", filepath.Join(dir, "results"), "-o", "json")
	if err := json.Unmarshal([]byte(out), &c); err != nil || len(c.Marks) != 2 {
		t.Fatalf("graded as %s (%v)", out, err)
	}
	for _, m := range c.Marks {
		switch {
		case m.Status == graded.Graded && m.Points == 4 && m.Max == 4 && m.Exam != nil && m.Exam.Minutes == 30 && m.Exam.OverSeconds == 0 && len(m.Problems) == 0:
		case m.Status == graded.Refused && m.Points == 0 && strings.Contains(m.Cause, "it was changed since it was saved"):
		default:
			t.Errorf("a mark of %+v", m)
		}
	}
	if c.Marks[0].Status == c.Marks[1].Status {
		t.Errorf("both are %s", c.Marks[0].Status)
	}
	wantTold(t, h.run("grade", "replay", filepath.Join(dir, "results"), "tom", "--lab", kept, "--submissions", class), 2, "was not judged")
}

// told are the verdicts and expectations that netdojo tells, and the names of the lab's
// checks.
var told = regexp.MustCompile(`reach\.|\b(allowed|denied|forwarded|dropped|FORWARDED|DROPPED|inconclusive|as expected|web-ingress allows)\b`)

func tellsNothing(t *testing.T, what string, r result) {
	t.Helper()
	if word := told.FindString(r.stdout + r.stderr); word != "" {
		t.Errorf("netdojo %s tells %q:\n%s%s", what, word, r.stdout, r.stderr)
	}
}

// rewrite replaces a text of a file, which has to be there.
func rewrite(t *testing.T, file, old, new string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte(old), []byte(new), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}
