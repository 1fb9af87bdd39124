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
	return exec.Command("echo", "in the shell"), func() error { f.calls = append(f.calls, "cleanup"); return nil }, nil
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
	f := &fake{}
	said := talk(t, f, state,
		"1", "text", "hint", "hint", "hint", "predict cilium-io denied", "check", "predict", "predict cilium-io denied",
		"shell", "solution", "next", "solution", "next", "what", "quit")
	wants(t, said, "1. Lab 04, Cilium network policies: new. One name.", "Task 4.1, First.",
		"# The page", "with colour", "Hint 1 of 2: Why?", "Hint 2 of 2: Because.", "There are no more hints.",
		"You predict denied for cilium-io.", "You predicted denied for cilium-io: wrong. It was allowed, because no policy selects the pod",
		"cilium-io: from default/app=backend to https://cilium.io",
		"A shell in", "The shell has ended.",
		"You predicted denied for cilium-io: right. It was denied, because the egress was dropped: default deny since CiliumNetworkPolicy p",
		"Task 4.1 is done.", "Task 4.2, Second.", "This task has no solution to apply.", "There is no next task.",
		`There is no command "what".`, "Your progress is kept.")

	said = talk(t, f, state, "04", "labs", "quit")
	wants(t, said, "in progress", "Task 4.2, Second.", "Which lab?")
	want := "enter 4.1,check 4.1,cleanup,solve 4.1,check 4.1,baseline 4.2,resume 4.2"
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

func TestFailuresAndEnds(t *testing.T) {
	f := &fake{fail: errors.New("no memory")}
	wants(t, talk(t, f, t.TempDir(), "nothing", "1", "quit"), `There is no lab "nothing".`, "This failed: no memory.", "Which lab?")
	wants(t, talk(t, &fake{}, t.TempDir(), "1"), "Command:", "Your progress is kept.") // the input ends
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
