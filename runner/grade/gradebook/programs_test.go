//go:build consumers

package gradebook

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
)

// The programs that other people read our formats with: make grade-formats installs them.

// python runs a script of testdata.
func python(t *testing.T, in []byte, args ...string) string {
	t.Helper()
	program := os.Getenv("NETDOJO_CONSUMERS")
	if program == "" {
		t.Fatal("NETDOJO_CONSUMERS names no folder: run make grade-formats")
	}
	args[0] = filepath.Join("testdata", args[0])
	cmd := exec.Command(filepath.Join(program, "bin", "python"), args...)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(program, "bin")+":"+os.Getenv("PATH")) // nbgrader calls alembic
	cmd.Stdin = bytes.NewReader(in)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args[0], err, errOut.String())
	}
	return string(out)
}

// What nbgrader's own exporter writes of the same marks has the same columns and, in
// those, the same values.
func TestNBGraderExports(t *testing.T) {
	b := book(t, plainList)
	ours := table(t, written(t, NBGrader, b))
	type student struct {
		ID        string  `json:"id"`
		First     string  `json:"first"`
		Last      string  `json:"last"`
		Email     string  `json:"email"`
		Timestamp string  `json:"timestamp"`
		Handed    bool    `json:"handed"`
		Score     float64 `json:"score"`
		Penalty   float64 `json:"penalty"`
	}
	in := struct {
		Assignment string    `json:"assignment"`
		Duedate    string    `json:"duedate"`
		Max        int       `json:"max"`
		Students   []student `json:"students"`
	}{Assignment: "02", Duedate: ours[1][1], Max: 4}
	value := func(text string) float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, row := range ours[1:] {
		in.Students = append(in.Students, student{row[3], row[5], row[4], row[6], row[2], row[3] != "7", value(row[7]), value(row[8])})
	}
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "grades.csv")
	python(t, data, "nbgrader_export.py", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ours[0], theirs[0]) {
		t.Fatalf("our columns are %q, nbgrader's %q", ours[0], theirs[0])
	}
	if len(ours) != len(theirs) {
		t.Fatalf("%d rows, nbgrader has %d:\n%s", len(ours), len(theirs), text)
	}
	byID := map[string][]string{}
	for _, row := range theirs[1:] {
		byID[row[3]] = row
	}
	for _, row := range ours[1:] {
		other := byID[row[3]]
		if len(other) != len(row) {
			t.Errorf("nbgrader has no %q", row[3])
			continue
		}
		for i, name := range ours[0] {
			same := row[i] == other[i]
			if i >= 7 {
				same = value(row[i]) == value(other[i])
			}
			if !same {
				t.Errorf("%s of %s is %q, nbgrader writes %q", name, row[3], row[i], other[i])
			}
		}
	}
}

// junitparser, which CI systems' reporters read JUnit's files with, finds each case and
// its result.
func TestJUnitParser(t *testing.T) {
	b := book(t, plainList, result.Record{Schema: result.RecordSchema, ID: "s-evil", Status: result.Failed, Cause: evil + "\x00\x1b"})
	file := filepath.Join(t.TempDir(), "junit.xml")
	if err := os.WriteFile(file, []byte(written(t, JUnit, b)), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	count := map[string]int{}
	for _, m := range b.Class.Marks {
		add := func(name, found string) {
			want = append(want, m.Submission+"\t"+name+"\t"+found)
			count[found]++
		}
		for _, c := range m.Checks {
			add(c.Check, map[bool]string{true: "passed", false: "failure"}[c.Passed])
		}
		if m.Status != result.Graded {
			add("submission", "error")
		}
	}
	want = append([]string{fmt.Sprintf("%d\t%d\t%d", len(want), count["failure"], count["error"])}, want...)
	if got := strings.Split(strings.TrimSpace(python(t, nil, "junit_read.py", file)), "\n"); !slices.Equal(got, want) {
		t.Errorf("it reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// ofEach is a class of thirty with evidence, mistakes and hostile text.
func ofEach(t *testing.T) *Book {
	var more []result.Record
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for n := range 30 {
		r := result.Record{
			Schema: result.RecordSchema, ID: fmt.Sprintf("s-%08d", n), Status: result.Graded, Points: n % 5, Max: 4, TookMs: 2000,
			Submission: result.Submission{Digest: fmt.Sprintf("sha256:%064d", n%7), At: at},
			Tasks:      []result.Task{{ID: "2.1", Title: "Default deny", Points: n % 5, Max: 4, Pairs: []result.Pair{{Allow: "reach.clerk.board", Deny: "reach.clerk.keys", Points: n % 5, Max: 4}}}},
		}
		task := record.Task{ID: "2.1", Title: "Default deny", Policies: []record.Applied{{Kind: "NetworkPolicy", Namespace: "vault", Name: "a-policy-with-a-name-that-is-rather-long-for-a-phone", File: "file1.yaml"}}}
		for i, name := range []string{"reach.clerk.board", "reach.clerk.keys", "reach.guest.board", "reach.guest.keys", "reach.dns.from-the-vault", "reach.internet"} {
			c := record.Check{
				ID: name, Title: "The clerk of the lobby and " + name, Phase: checks.After, From: "lobby/app=clerk", To: "http://keys.vault.svc.cluster.local:8080/a/long/path/of/a/destination",
				Command: []string{"curl", "-sS", "-m", "5", "http://keys.vault.svc.cluster.local:8080/a/long/path/of/a/destination"},
				Expect:  checks.ExpectDenied, Verdict: checks.Denied, Cause: checks.CausePolicyDrop, Passed: i < n%7,
			}
			c.Evidence.Control = &checks.Control{Kind: checks.ControlBefore, At: at, To: c.To, Command: c.Command, Subject: checks.Subject{Namespace: "lobby", Pod: "clerk-7d9f8c6b5-x2k4z"}}
			if c.Passed {
				c.Evidence.Drop = &checks.Drop{At: at, Direction: "ingress", Reason: "POLICY_DENIED", Source: "lobby/clerk-7d9f8c6b5-x2k4z", Destination: "vault/keys-7d9f8c6b5-x2k4z:8080", Protocol: "TCP", Policies: []checks.PolicyName{{Kind: "NetworkPolicy", Namespace: "vault", Name: "deny"}}}
			} else {
				c.Verdict, c.Cause, c.Why = checks.Allowed, checks.CauseOK, []string{"spec.ingress[0].from[0].namespaceSelector of NetworkPolicy vault/open allows it " + evil}
			}
			task.Checks = append(task.Checks, c)
		}
		if n%5 < 4 {
			task.Hint = "Look at the selector of your policy: which pods does it select?"
			r.Suspects = []result.Suspect{{Task: "2.1", Object: "NetworkPolicy vault/open", Path: "spec.ingress[0].from[0].namespaceSelector.matchLabels", File: "file1.yaml", Line: 12, Mends: []string{"reach.clerk.keys"}}}
		}
		r.Run = record.Run{Lab: "02", Tasks: []record.Task{task}}
		if n == 13 {
			r.Status, r.Cause = result.TimeLimit, "it was not judged within 3m0s"
		}
		more = append(more, r)
	}
	return book(t, plainList, more...)
}

// The class's page and a student's, in headless Chromium: make grade-report. Pictures are
// left in NETDOJO_PICTURES.
func TestReportInABrowser(t *testing.T) {
	folder := os.Getenv("NETDOJO_PICTURES")
	if folder == "" {
		folder = t.TempDir()
	}
	b := ofEach(t)
	student := func(id string) []byte {
		var out bytes.Buffer
		if err := Student(&out, b, markOf(b, id)); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for name, text := range map[string][]byte{
		"class.html": []byte(written(t, HTML, b)), "student.html": student("s-00000003"), "unjudged.html": student("s-00000013"),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("node", filepath.Join("testdata", "browser.cjs"), folder).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("what is found stands above: %v", err)
	}
}
