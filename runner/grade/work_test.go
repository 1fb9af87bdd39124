package grade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/grade/evidence"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
)

// passes is a session of a lab in which each check brings what is expected.
func passes(l *labs.Lab) record.Run {
	run := record.Run{Schema: record.Schema, Lab: l.ID, Provider: "embedded"}
	for _, t := range l.Tasks {
		task := record.Task{ID: t.ID, Title: t.Title, Checks: []record.Check{}}
		for _, c := range t.Checks {
			for _, phase := range []checks.Phase{checks.Before, checks.After} {
				if c.Expect(phase) == "" {
					continue
				}
				cause := checks.CauseOK
				if c.Expect(phase) == checks.ExpectDenied {
					cause = checks.CausePolicyDrop
				}
				task.Checks = append(task.Checks, record.Check{ID: c.ID, Phase: phase, Verdict: checks.Kind(c.Expect(phase)), Cause: cause, HTTPStatus: c.Status})
			}
		}
		run.Tasks = append(run.Tasks, task)
	}
	return run
}

func passed(l *labs.Lab) Outcome {
	return Outcome{Schema: WorkSchema, Netdojo: "v1", Status: result.Graded, Run: passes(l)}
}

// An outcome is held against the lab, and of what the grader knows itself nothing is taken
// from it.
func TestBelieve(t *testing.T) {
	l := lab(t, "02")
	good := passed(l)
	good.Run.Lab, good.Run.Passed, good.Run.Tasks[0].Title = "another", 99, "mine"
	if err := believe(&good, l, "v1"); err != nil {
		t.Fatal(err)
	}
	if _, points, most := result.Score(l, good.Run); points != most || good.Run.Lab != "02" || good.Run.Failed != 0 || good.Run.Tasks[0].Title != l.Tasks[0].Title {
		t.Errorf("%d of %d points, %+v", points, most, good.Run)
	}
	claimed := passed(l)
	for i := range claimed.Run.Tasks[0].Checks {
		claimed.Run.Tasks[0].Checks[i].Passed, claimed.Run.Tasks[0].Checks[i].Expect = true, "broken"
		claimed.Run.Tasks[0].Checks[i].Verdict, claimed.Run.Tasks[0].Checks[i].Cause = checks.Broken, checks.CauseReset
	}
	if err := believe(&claimed, l, "v1"); err != nil {
		t.Fatal(err)
	}
	if _, points, _ := result.Score(l, claimed.Run); points != 0 {
		t.Errorf("who claims to have passed has %d points", points)
	}
	failed := Failure("v1", strings.Repeat("é", 4000))
	if err := believe(&failed, l, "v1"); err != nil {
		t.Errorf("a failure is not believed: %v", err)
	}
	for name, change := range map[string]func(*Outcome){
		"another schema":      func(o *Outcome) { o.Schema = "x" },
		"another version":     func(o *Outcome) { o.Netdojo = "v2" },
		"a status of none":    func(o *Outcome) { o.Status = "graded!" },
		"refused":             func(o *Outcome) { o.Status = result.Refused },
		"a long cause":        func(o *Outcome) { o.Cause = strings.Repeat("x", maxCause+1) },
		"a long recording":    func(o *Outcome) { o.Tape = make([]byte, maxRecording+1) },
		"a long session":      func(o *Outcome) { o.Run.Error = strings.Repeat("x", maxRun) },
		"no session":          func(o *Outcome) { o.Run = record.Run{} },
		"a task of another":   func(o *Outcome) { o.Run.Tasks[0].ID = "9.9" },
		"a task twice":        func(o *Outcome) { o.Run.Tasks = append(o.Run.Tasks, o.Run.Tasks[0]) },
		"a check of another":  func(o *Outcome) { o.Run.Tasks[0].Checks[0].ID = "mine" },
		"a check twice":       func(o *Outcome) { c := &o.Run.Tasks[0].Checks; *c = append(*c, (*c)[0]) },
		"a phase of none":     func(o *Outcome) { o.Run.Tasks[0].Checks[0].Phase = "later" },
		"a verdict of none":   func(o *Outcome) { o.Run.Tasks[0].Checks[0].Verdict = "perfect" },
		"a cause of none":     func(o *Outcome) { o.Run.Tasks[0].Checks[0].Cause = "love" },
		"a cause that is not": func(o *Outcome) { o.Cause = "\xff" },
	} {
		out := passed(l)
		change(&out)
		var forged *ForgedError
		if err := believe(&out, l, "v1"); !errors.As(err, &forged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// afield grades a class by a fake of what judges elsewhere.
func afield(t *testing.T, files map[string]string, elsewhere Elsewhere) (dir string, class result.Class, err error) {
	t.Helper()
	handed := t.TempDir()
	for name, text := range files {
		path := filepath.Join(handed, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read, err := submission.Read(t.Context(), handed, submission.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := evidence.OwnKey(filepath.Join(t.TempDir(), "keys", "key"))
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "results")
	class, err = Run(t.Context(), Options{
		Elsewhere: elsewhere, Spec: cluster.Spec{Name: "grade"}, Jobs: 2, Lab: lab(t, "02"), Class: read, Results: dir, Signer: key, Version: "v1",
		Providers: func() (cluster.Provider, error) {
			t.Error("a cluster is made on this machine")
			return nil, errors.New("none")
		},
	})
	return dir, class, err
}

const deny = "# by Jane Doe\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: vault}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n"

// What goes to whoever judges is one submission's objects and the lab; what comes back
// makes its record, and nobody else's.
func TestElsewhere(t *testing.T) {
	files := map[string]string{
		"jane/Jane Doe.yaml": deny, "joe/policy.yaml": deny + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "eve/saved.json": "{\n\"schema\": \"netdojo.dev/saved/v1\", broken",
	}
	var sent [][]byte
	dir, class, err := afield(t, files, func(ctx context.Context, b Batch) error {
		if b.Size != 2 || b.Jobs != 2 || b.TimeLimit != defaultLimit || b.Version != "v1" {
			t.Errorf("the batch is %+v", b)
		}
		for n := range b.Size {
			w, err := b.Work(ctx, n)
			if err != nil {
				return err
			}
			text, err := json.Marshal(w)
			if err != nil {
				return err
			}
			sent = append(sent, text)
			out := passed(lab(t, "02"))
			out.Run.Tasks[0].ID = "9.9"
			var forged *ForgedError
			if err := b.Done(ctx, n, out); !errors.As(err, &forged) {
				t.Errorf("a forged outcome is taken: %v", err)
			}
			if err := b.Done(ctx, n, passed(lab(t, "02"))); err != nil {
				return err
			}
			if err := b.Done(ctx, n, Failure("v1", "late")); err != nil { // of a pod that was given up
				return err
			}
			if w, err := b.Work(ctx, n); w != nil || err != nil {
				t.Errorf("what is done is given out: %v", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	status := map[result.Status]int{}
	for _, m := range class.Marks {
		status[m.Status]++
		if m.Status == result.Graded && m.Points != 4 {
			t.Errorf("%+v", m)
		}
	}
	if status[result.Graded] != 2 || status[result.Refused] != 1 {
		t.Errorf("statuses are %v", status)
	}
	people, err := roster.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range sent {
		for _, e := range people.Entries {
			for _, secret := range []string{"Jane", "jane", "joe", e.ID, "Secret"} {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("a worker is told %s: %s", secret, text)
				}
			}
		}
		if !bytes.Contains(text, []byte(`"policyTypes"`)) {
			t.Errorf("a worker is not told what to judge: %s", text)
		}
	}
	results, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range people.Entries {
		r, err := results.Record(e.ID)
		if err != nil || r.ID != e.ID || r.Lab.ID != "02" || r.Submission.Digest == "" || r.OnCluster != (r.Status == result.Graded) {
			t.Errorf("%s: %+v, %v", e.Key, r, err)
		}
		if e.Key == "joe" && len(r.Submission.Problems) != 1 {
			t.Errorf("joe's problems are %v", r.Submission.Problems)
		}
		if r.Status == result.Graded && (time.Since(r.Started) > time.Hour || r.TookMs < 0) {
			t.Errorf("begun at %s, took %d ms", r.Started, r.TookMs)
		}
	}
}

// A run whose judges leave something out has not come to its end.
func TestElsewhereLeavesOut(t *testing.T) {
	_, _, err := afield(t, map[string]string{"a/p.yaml": deny, "b/p.yaml": deny}, func(ctx context.Context, b Batch) error {
		return b.Done(ctx, 1, passed(lab(t, "02")))
	})
	if err == nil || !strings.Contains(err.Error(), "not every submission") {
		t.Errorf("it ends with %v", err)
	}
}

// A worker judges for a grader of its own version alone: both decide by the same rules
// then.
func TestWorkerRefuses(t *testing.T) {
	var asked *Error
	for _, w := range []Work{{Schema: WorkSchema, Netdojo: "v2"}, {Schema: "x", Netdojo: "v1"}} {
		if _, err := (Worker{Version: "v1"}).Judge(t.Context(), w); !errors.As(err, &asked) {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

// A seed may be somebody's login: the words that it chose go along, it does not.
func TestWithoutSeed(t *testing.T) {
	own, err := lab(t, "e1").Seeded("jane.doe")
	if err != nil {
		t.Fatal(err)
	}
	by, err := rulesOf(own)
	if err != nil {
		t.Fatal(err)
	}
	e := entered{in: handed{lab: own, rules: by, objects: parse(t, deny)}}
	e.admit()
	w, err := e.work(Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range w.Lab {
		if bytes.Contains(text, []byte("jane.doe")) {
			t.Errorf("%s has the seed", name)
		}
	}
	if !bytes.Contains(w.Lab[labs.FileName], []byte(own.Namespace)) {
		t.Error("lab.yaml is without the words of the seed")
	}
}
