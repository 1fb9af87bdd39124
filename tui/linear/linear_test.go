package linear

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui"
)

// fake is the part of a Backend that the face asks.
type fake struct {
	tui.Backend
	calls  []string
	solved bool
	fail   error
	// The shell asks the watch and the flows to tell something, and waits for both.
	shelled, following chan struct{}
}

func newFake() *fake {
	return &fake{shelled: make(chan struct{}), following: make(chan struct{}, 2)}
}

// afterShell tells something once the shell was opened, and then nothing more.
func (f *fake) afterShell(ctx context.Context, tell func()) error {
	select {
	case <-ctx.Done():
	case <-f.shelled:
		tell()
		f.following <- struct{}{}
		<-ctx.Done()
	}
	return nil
}

func (f *fake) Watch(ctx context.Context, _ *labs.Lab, changed func(string)) error {
	return f.afterShell(ctx, func() { changed("CiliumNetworkPolicy default/p") })
}

func (f *fake) Flows(ctx context.Context, flow func(tui.Flow)) error {
	return f.afterShell(ctx, func() {
		flow(tui.Flow{Verdict: "denied", From: "default/backend", To: "cilium.io:443", What: "TCP SYN", Reason: "policy denied", By: "CiliumNetworkPolicy default/p"})
	})
}

func (f *fake) Compare(_ context.Context, _ *labs.Lab, task string) ([]record.Difference, error) {
	f.calls = append(f.calls, "compare "+task)
	return []record.Difference{{Kind: "CiliumNetworkPolicy", Name: "p", Diff: "--- yours\n+++ the solution\n@@ -0,0 +1 @@\n+spec: {}\n"}}, nil
}

func (f *fake) Missing(context.Context) []tui.Missing { return nil }

func (f *fake) Labs() ([]*labs.Lab, error) {
	check := checks.Check{ID: "cilium-io", From: checks.From{Namespace: "default", App: "backend"}, To: "https://cilium.io", Before: "allowed", After: "denied"}
	return []*labs.Lab{{
		ID: "04", Title: "Cilium network policies", Summary: "One name.",
		Tasks: []labs.Task{
			{ID: "4.1", Title: "First", Page: "p.md", Checks: []checks.Check{check}, Solution: []string{"s.yaml"}, Hints: labs.Hints{Question: "Why?", Concept: "Because."}},
			{ID: "4.2", Title: "Second", Page: "p.md", Checks: []checks.Check{check}},
		},
		FS: fstest.MapFS{"p.md": {Data: []byte("# The page\n\nwith \x1b[31mcolour")}},
	}}, nil
}

func (f *fake) run(name string, phase checks.Phase) func(context.Context, *labs.Lab, string, event.Listener) (record.Run, error) {
	return func(_ context.Context, lab *labs.Lab, id string, listen event.Listener) (record.Run, error) {
		f.calls = append(f.calls, name+" "+id)
		if f.fail != nil {
			return record.Run{}, f.fail
		}
		c := record.Check{ID: "cilium-io", To: "https://cilium.io", Phase: phase, Expect: lab.Tasks[0].Checks[0].Expect(phase), Verdict: checks.Allowed}
		if f.solved && phase == checks.After {
			c.Verdict, c.Evidence.Drop = checks.Denied, &checks.Drop{Direction: "egress", Policies: []checks.PolicyName{{Kind: "CiliumNetworkPolicy", Name: "p"}}}
		}
		c.Passed = string(c.Verdict) == string(c.Expect)
		listen(event.CheckVerdict{Task: id, Check: c})
		return record.Run{Tasks: []record.Task{{ID: id, Checks: []record.Check{c}}}}, nil
	}
}

func (f *fake) Enter(ctx context.Context, lab *labs.Lab, task string, l event.Listener) (record.Run, error) {
	return f.run("enter", checks.Before)(ctx, lab, task, l)
}

func (f *fake) Resume(ctx context.Context, lab *labs.Lab, task string, l event.Listener) (record.Run, error) {
	return f.run("resume", checks.After)(ctx, lab, task, l)
}

func (f *fake) Baseline(ctx context.Context, lab *labs.Lab, task string, l event.Listener) (record.Run, error) {
	return f.run("baseline", checks.Before)(ctx, lab, task, l)
}

func (f *fake) Check(ctx context.Context, lab *labs.Lab, task string, l event.Listener) (record.Run, error) {
	return f.run("check", checks.After)(ctx, lab, task, l)
}

func (f *fake) Solve(_ context.Context, _ *labs.Lab, task string, _ event.Listener) (record.Run, error) {
	f.calls = append(f.calls, "solve "+task)
	f.solved = true
	return record.Run{}, nil
}

func (f *fake) Shell(context.Context, *labs.Lab) (*exec.Cmd, func() error, error) {
	close(f.shelled)
	<-f.following
	<-f.following
	return exec.Command("echo", "in the shell"), func() error { f.calls = append(f.calls, "cleanup"); return nil }, nil
}

func (f *fake) Explain(context.Context, *labs.Lab, checks.Check) ([]string, error) {
	return []string{"denied: no rule of p allows it"}, nil
}

// talk gives the face lines and returns what it said.
func talk(t *testing.T, f *fake, state string, lines ...string) string {
	t.Helper()
	var out bytes.Buffer
	err := Run(context.Background(), Options{
		Backend: f, StateDir: state, In: strings.NewReader(strings.Join(lines, "\n") + "\n"), Out: &out, Err: os.Stderr,
		Hold: func() func() { return func() {} },
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if strings.ContainsAny(out.String(), "\x1b\r") {
		t.Errorf("the cursor is moved, or a colour is set: %q", out.String())
	}
	return out.String()
}

func wants(t *testing.T, said string, texts ...string) {
	t.Helper()
	rest := said
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("%q is not said, or not in this order:\n%s", text, said)
		}
		rest = after
	}
}

func TestALabToItsEnd(t *testing.T) {
	state := t.TempDir()
	f := newFake()
	said := talk(t, f, state,
		"1", "text", "hint", "hint", "hint", "predict cilium-io denied", "check", "predict", "predict cilium-io denied",
		"shell", "flows", "flows", "explain", "matrix", "compare", "solution", "explain cilium-io", "matrix",
		"next", "solution", "compare", "next", "what", "quit")
	wants(t, said, "1. Lab 04, Cilium network policies: new. One name.", "Task 4.1, First.",
		"# The page", "with colour", "Hint 1 of 2: Why?", "Hint 2 of 2: Because.", "There are no more hints.",
		"You predict denied for cilium-io.", "You predicted denied for cilium-io: wrong. It was allowed, because no policy selects the pod",
		"cilium-io: from default/app=backend to https://cilium.io",
		"A shell in", "The shell has ended.", "Changed: CiliumNetworkPolicy default/p. check judges",
		"denied: from default/backend to cilium.io:443, TCP SYN, reason policy denied, by CiliumNetworkPolicy default/p.",
		"No connection since you last asked.", "Say: explain CHECK.",
		"From default/app=backend to https://cilium.io: without the policy allowed, expected denied, now allowed.",
		"CiliumNetworkPolicy p: you have none yet", "+spec: {}",
		"You predicted denied for cilium-io: right. It was denied, because the egress was dropped: default deny since CiliumNetworkPolicy p",
		"Task 4.1 is done.", "because: the egress was dropped", "The policy engine says now:", "denied: no rule of p allows it", "expected denied, now denied.",
		"Task 4.2, Second.", "This task has no solution to apply.", "This task has no solution.", "There is no next task.",
		`There is no command "what".`, "Your progress is kept.")
	if strings.Count(said, "Changed:") != 1 {
		t.Errorf("a change is told more than once:\n%s", said)
	}

	said = talk(t, f, state, "04", "labs", "quit")
	wants(t, said, "in progress", "Task 4.2, Second.", "Which lab?")
	want := "enter 4.1,check 4.1,cleanup,compare 4.1,solve 4.1,check 4.1,baseline 4.2,resume 4.2"
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

// TestTasksAndResets: what removes policies asks first.
func TestTasksAndResets(t *testing.T) {
	state := t.TempDir()
	f := newFake()
	said := talk(t, f, state, "1", "next", "no", "task", "task 4.2", "yes", "reset", "yes", "reset lab", "y", "quit")
	wants(t, said, "Task 4.2 begins anew: the lab's policies go, the solutions of the tasks before it are applied. Yes or no? Nothing was changed.",
		"Say: task ID.", "4.1, First", "4.2, Second", "Task 4.2, Second.", "Task 4.2 begins anew", "The lab begins anew", "Task 4.1, First.")
	want := "enter 4.1,enter 4.2,enter 4.2,enter 4.1"
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestFailuresAndEnds(t *testing.T) {
	f := newFake()
	f.fail = errors.New("no memory")
	wants(t, talk(t, f, t.TempDir(), "nothing", "1", "quit"), `There is no lab "nothing".`, "This failed: no memory.", "Which lab?")
	wants(t, talk(t, newFake(), t.TempDir(), "1"), "Command:", "Your progress is kept.") // the input ends
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer w.Close()
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{Backend: &fake{}, StateDir: t.TempDir(), In: in, Out: new(bytes.Buffer)})
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
