package linear

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/progress"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/flow"
)

// fake is the part of a Backend that the face asks.
type fake struct {
	backend.Backend
	calls  []string
	solved bool
	fail   error
	change func(*labs.Lab) // of the lab
	// judgements are what is said of the files, one after another and then the last again;
	// unjudged is why nothing is.
	judgements []backend.Judgement
	asked      backend.Judgement // after the policy engine was asked
	unjudged   error
	// preview is what the files would do, or unforeseen why nobody knows.
	preview    backend.Preview
	unforeseen error
	editor     string
	does       string // what a command in the shell does
	watched    bool   // the first such command is seen to change something

	choices  []backend.Choice
	findings map[string]backend.Findings // by the choice
	running  bool                        // where there are choices
	ailing   []backend.Ailment           // told when a lab is followed
	// healthTold is closed when that was told; in a lab, Cluster waits for it.
	healthTold chan struct{}
	once       sync.Once

	// What changes something asks the watch and the flows to tell something, and waits for both.
	shelled, following chan struct{}
}

func newFake() *fake {
	return &fake{shelled: make(chan struct{}), following: make(chan struct{}, 2), healthTold: make(chan struct{})}
}

// happen has the watch and the flows tell something, once.
func (f *fake) happen() {
	close(f.shelled)
	<-f.following
	<-f.following
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

func (f *fake) Flows(ctx context.Context, each func(flow.Flow)) error {
	return f.afterShell(ctx, func() {
		for range 2 {
			each(flow.Flow{
				Verdict: "denied", From: flow.End{Namespace: "default", Name: "backend"}, To: flow.End{Name: "cilium.io", Port: 443}, What: "TCP",
				Reason: "policy denied at egress", By: []string{"CiliumNetworkPolicy default/p"},
			})
			each(flow.Flow{Verdict: "allowed", From: flow.End{Namespace: "kube-system", Name: "coredns"}, To: flow.End{Name: "host", Port: 6443}, What: "TCP"})
		}
	})
}

// Health tells what ails, and waits.
func (f *fake) Health(ctx context.Context, _ *labs.Lab, told func([]backend.Ailment)) error {
	told(f.ailing)
	f.once.Do(func() { close(f.healthTold) })
	<-ctx.Done()
	return nil
}

func (f *fake) Namespace(context.Context, *labs.Lab) (string, error) { return "default", nil }

func (f *fake) Compare(_ context.Context, _ *labs.Lab, task string) ([]record.Difference, error) {
	f.calls = append(f.calls, "compare "+task)
	return []record.Difference{{Kind: "CiliumNetworkPolicy", Name: "p", Diff: "--- yours\n+++ the solution\n@@ -0,0 +1 @@\n+spec: {}\n"}}, nil
}

func (f *fake) Missing(context.Context) []backend.Missing { return nil }

func (f *fake) Labs() ([]*labs.Lab, error) {
	check := checks.Check{ID: "cilium-io", From: checks.From{Namespace: "default", App: "backend"}, To: "https://cilium.io", Before: "allowed", After: "denied"}
	lab := &labs.Lab{
		ID: "04", Title: "Cilium network policies", Summary: "One name.",
		Tasks: []labs.Task{
			{ID: "4.1", Title: "First", Page: "p.md", Checks: []checks.Check{check}, Solution: []string{"s.yaml"}, Hints: labs.Hints{Question: "Why?", Concept: "Because."}},
			{ID: "4.2", Title: "Second", Page: "p.md", Checks: []checks.Check{check}},
		},
		FS: fstest.MapFS{"p.md": {Data: []byte("# The page\n\nwith \x1b[31mcolour\n\n- one\n- two\n\n```bash\nkubectl get pods -n vault --show-labels -o wide --sort-by=.metadata.creationTimestamp\n```\n")}},
	}
	if f.change != nil {
		f.change(lab)
	}
	return []*labs.Lab{lab}, nil
}

func (f *fake) Cluster(context.Context) (backend.ClusterState, error) {
	if f.choices != nil && len(f.calls) > 0 && f.calls[0] == "enter 4.1" {
		<-f.healthTold
	}
	if f.choices != nil {
		return backend.ClusterState{Name: "plain", What: f.inUse(), Running: f.running, Ready: f.running}, nil
	}
	return backend.ClusterState{Name: "plain", Running: len(f.calls) > 0, Ready: true, Down: "netdojo down --name plain"}, nil
}

func (f *fake) inUse() string {
	for _, c := range f.choices {
		if c.Chosen {
			return c.Title
		}
	}
	return ""
}

func (f *fake) Choices(context.Context) ([]backend.Choice, error) {
	return slices.Clone(f.choices), nil
}

func (f *fake) Examine(_ context.Context, id string) backend.Findings { return f.findings[id] }

func (f *fake) Choose(_ context.Context, id string, listen event.Listener) error {
	f.calls = append(f.calls, "choose "+id)
	if f.running {
		listen(event.StepUpdate{Update: step.Update{Name: "Stop the cluster", State: step.Done}})
	}
	f.running = false
	for i := range f.choices {
		f.choices[i].Chosen = f.choices[i].ID == id
	}
	return nil
}

func (f *fake) Agree(id string) {
	f.calls = append(f.calls, "agree "+id)
	for i := range f.choices {
		f.choices[i].Asks = ""
	}
}

func (f *fake) TakeDown(context.Context, event.Listener) error {
	f.calls = append(f.calls, "down")
	f.running = false
	return nil
}

func (f *fake) BeginEmpty(context.Context, event.Listener) error {
	f.calls = append(f.calls, "begin empty")
	f.running, f.fail = false, nil
	return nil
}

func (f *fake) Course() (*labs.Course, error) {
	return &labs.Course{Title: "A course", Labs: []labs.Entry{{Lab: "04", Level: labs.Beginner, Minutes: 15}}}, nil
}

func (f *fake) run(name string, phase checks.Phase) func(context.Context, *labs.Lab, string, event.Listener) (record.Run, error) {
	return func(_ context.Context, lab *labs.Lab, id string, listen event.Listener) (record.Run, error) {
		f.calls = append(f.calls, name+" "+id)
		if f.fail != nil {
			return record.Run{}, f.fail
		}
		if len(lab.Tasks[0].Checks) == 0 {
			return record.Run{Tasks: []record.Task{{ID: id}}}, nil
		}
		c := record.Check{ID: "cilium-io", To: "https://cilium.io", Phase: phase, Expect: lab.Tasks[0].Checks[0].Expect(phase), Verdict: checks.Allowed}
		if f.solved && phase == checks.After {
			c.Verdict, c.Evidence.Drop = checks.Denied, &checks.Drop{Direction: "egress", Policies: []checks.PolicyName{{Kind: "CiliumNetworkPolicy", Name: "p"}}}
		}
		c.Passed = string(c.Verdict) == string(c.Expect)
		listen(event.CheckVerdict{Task: id, Check: c})
		out := record.Run{Tasks: []record.Task{{ID: id, Checks: []record.Check{c}}}}
		if f.solved {
			out.Tasks[0].Policies = []record.Applied{{Kind: "CiliumNetworkPolicy", Name: "p"}}
		}
		if out.Passed = 1; !c.Passed {
			out.Passed, out.Failed = 0, 1
		}
		listen(event.Finished{Run: out})
		return out, nil
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
	f.happen()
	return exec.Command("echo", "in the shell"), func() error { f.calls = append(f.calls, "cleanup"); return nil }, nil
}

func (f *fake) Explain(context.Context, *labs.Lab, checks.Check) ([]string, error) {
	return []string{"denied: no rule of p allows it"}, nil
}

func (f *fake) Answer(_ *labs.Lab, task string) (backend.Answer, error) {
	return backend.Answer{Dir: "/work", File: task + ".yaml", Editor: f.editor}, nil
}

func (f *fake) Judge(context.Context, *labs.Lab, string) (backend.Judgement, error) {
	if len(f.judgements) == 0 {
		return backend.Judgement{}, f.unjudged
	}
	said := f.judgements[0]
	if len(f.judgements) > 1 {
		f.judgements = f.judgements[1:]
	}
	return said, f.unjudged
}

func (f *fake) AskEngine(context.Context, *labs.Lab, string) (backend.Judgement, error) {
	return f.asked, f.unjudged
}

func (f *fake) Preview(context.Context, *labs.Lab, string) (backend.Preview, error) {
	return f.preview, f.unforeseen
}

func (f *fake) Command(_ context.Context, _ *labs.Lab, line string) (*exec.Cmd, func() error, error) {
	f.calls = append(f.calls, line)
	if f.watched {
		f.happen()
	}
	return exec.Command("sh", "-c", f.does), func() error { return nil }, nil
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
		"4", "text", "hint", "hint", "hint", "predict cilium-io denied", "check", "predict", "predict cilium-io denied",
		"shell", "flows", "flows", "explain", "matrix", "map", "compare", "no", "compare", "yes", "solution", "yes", "explain cilium-io", "matrix", "map",
		"next", "solution", "compare", "next", "what", "quit")
	wants(t, said, "A course: 1 lab, 15 min; 0 done.",
		"Lab 04, Cilium network policies: next, beginner, 15 minutes, 0 of 2 tasks done.", "Which lab? Its name, nothing for lab 04,",
		"Lab 04, Cilium network policies: One name.", "Task 4.1, First.",
		"The page", "with colour", "one", "two", "kubectl get pods -n vault --show-labels -o wide --sort-by=.metadata.creationTimestamp", "Hint 1 of 2: Why?", "Hint 2 of 2: Because.", "There are no more hints.",
		"You predict denied for cilium-io.", "You predicted denied for cilium-io: wrong. It was allowed, because no policy selects the pod",
		"cilium-io: from default/app=backend to https://cilium.io",
		"A shell in", "The shell has ended.", "Changed: CiliumNetworkPolicy default/p.\n",
		"denied, 2 times: from backend to cilium.io:443, TCP, reason policy denied at egress, by CiliumNetworkPolicy default/p.",
		"No connection since you last asked.", "Say: explain CHECK.",
		"From default/app=backend to https://cilium.io: without the policy allowed, expected denied, now allowed.",
		"From backend to cilium.io, port 443, HEAD /: allowed, and something changed since.",
		"The solution of task 4.1 is shown. Yes or no?", "Nothing was changed.",
		"CiliumNetworkPolicy p: you have none yet", "+spec: {}", "The solution of task 4.1 is applied to the cluster. Yes or no?",
		"You predicted denied for cilium-io: right. It was denied, because the egress was dropped: default deny since CiliumNetworkPolicy p",
		"Task 4.1 is done.", "because: the egress was dropped", "The policy engine says now:", "denied: no rule of p allows it", "expected denied, now denied.", "From backend to cilium.io, port 443, HEAD /: denied.",
		"Task 4.2, Second.", "This task has no solution to apply.", "This task has no solution.", "There is no next task.",
		`There is no command "what".`, "Your progress is kept.")
	if strings.Count(said, "Changed:") != 1 {
		t.Errorf("a change is told more than once:\n%s", said)
	}

	f.solved = false // somebody took the policy away since
	said = talk(t, f, state, "04", "labs", "quit")
	wants(t, said, "in progress", "0 of 1 checks as expected.", "Task 4.2, Second.", "Which lab?")
	if strings.Contains(said, "Failed in") {
		t.Errorf("going on with a lab is told as a failure:\n%s", said)
	}
	want := "enter 4.1,check 4.1,cleanup,compare 4.1,solve 4.1,check 4.1,baseline 4.2,resume 4.2"
	if got := strings.Join(f.calls, ","); got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
}

// TestEditAndApply: the way out is said before the editor opens, and the file is
// applied as in the shell.
func TestEditAndApply(t *testing.T) {
	f := newFake()
	said := talk(t, f, t.TempDir(), "4", "edit", "quit")
	wants(t, said, "No editor was found.")
	f.editor, f.does = "/usr/bin/nano -w", "echo ran"
	said = talk(t, f, t.TempDir(), "4", "edit", "apply", "quit")
	wants(t, said, "4.1.yaml opens in nano. The way out: ctrl-o and Enter saves, ctrl-x leaves.", "ran", "nano has ended. apply applies 4.1.yaml",
		"kubectl apply -f 4.1.yaml", "ran", "check judges the cluster as it is now.")
	f = newFake()
	f.does, f.watched = "echo ran", true
	said = talk(t, f, t.TempDir(), "4", "apply", "quit")
	wants(t, said, "ran", "check judges the cluster as it is now.", "Changed: CiliumNetworkPolicy default/p.\n")
	if strings.Count(said, "check judges") != 1 {
		t.Errorf("what comes next is said more than once:\n%s", said)
	}

	f = newFake()
	f.editor, f.does = "/usr/bin/nano -w", "exit 3"
	said = talk(t, f, t.TempDir(), "4", "edit", "apply", "quit")
	wants(t, said, "nano did not end well: exit status 3.", "It was not applied: exit status 3.")
	if want := "/usr/bin/nano -w 4.1.yaml"; f.calls[1] != want {
		t.Errorf("the editor was called by %q, want %q", f.calls[1], want)
	}
}

// TestTasksAndResets: what removes policies asks first.
func TestTasksAndResets(t *testing.T) {
	state := t.TempDir()
	f := newFake()
	said := talk(t, f, state, "", "next", "no", "task", "task 4.2", "yes", "reset", "yes", "reset lab", "y", "quit")
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
	wants(t, talk(t, f, t.TempDir(), "nothing", "4", "quit"), `There is no lab "nothing".`, "This failed: no memory.", "Which lab?")
	wants(t, talk(t, newFake(), t.TempDir(), "04"), "Command:", "Your progress is kept.") // the input ends
}

// TestBeginEmpty: where the cluster was made otherwise than a lab needs, an empty one is
// offered, and made only after a yes.
func TestBeginEmpty(t *testing.T) {
	f := newFake()
	f.fail = fmt.Errorf("lab 04 needs two nodes: %w", cluster.ErrMadeOtherwise)
	said := talk(t, f, t.TempDir(), "", "no", "04", "yes", "quit")
	wants(t, said, "This failed: lab 04 needs two nodes", "Or the cluster begins empty, as the lab needs it: its objects go, your files and your progress stay. Yes or no?", "Nothing was changed.", "Task 4.1, First.")
	if got, want := strings.Join(f.calls, ","), "enter 4.1,enter 4.1,begin empty,enter 4.1"; got != want {
		t.Errorf("calls %s, want %s", got, want)
	}
	f = newFake()
	f.fail = errors.New("no memory")
	if said := talk(t, f, t.TempDir(), "04", "quit"); strings.Contains(said, "begins empty") {
		t.Errorf("an empty cluster does not cure this:\n%s", said)
	}
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

// TestAfterAnExam: a lab that was only taken as an exam begins from its beginning.
func TestAfterAnExam(t *testing.T) {
	f, state := newFake(), t.TempDir()
	store, err := progress.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	store.SetExam("04", progress.Begin("pack", "v1", 60, 0, 1, progress.Reading{Wall: now}))
	if err := store.Save("04", now); err != nil {
		t.Fatal(err)
	}
	talk(t, f, state, "4", "quit")
	if len(f.calls) == 0 || f.calls[0] != "enter 4.1" {
		t.Errorf("calls %v, want the lab entered", f.calls)
	}
}
