package tui

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/policies/lint"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/flow"
)

// updating says whether golden frames are to be written anew: teatest has the flag.
func updating() bool { return flag.Lookup("update").Value.(flag.Getter).Get().(bool) }

// fake is a Backend without a cluster.
type fake struct {
	labs    []*labs.Lab
	course  *labs.Course
	missing []backend.Missing
	noShell error
	starts  chan struct{} // the shell waits for it, unless nil
	dir     string        // of the answers
	editor  string
	noFile  error
	marks   bool // the prompt is marked, as a learner's is
	copied  string

	mu       sync.Mutex // guards what follows
	running  bool
	silent   error // what asking for the cluster ends with
	solved   bool
	fail     error         // what entering ends with
	hold     chan struct{} // entering waits for it, unless nil
	checking chan struct{} // checking waits for it, unless nil
	calls    []string
	changed  func(string)
	flow     func(flow.Flow)
	saved    func()
	// judgement is what is said of the files, or unjudged why nothing is.
	judgement backend.Judgement
	refused   []lint.Problem // what the policy engine finds besides
	engine    chan struct{}  // holds its answer back until it is closed, nil for not
	unjudged  error
	// preview is what the files would do, or unforeseen why nobody knows.
	preview    backend.Preview
	unforeseen error
	hangUp     chan struct{} // closed when the cluster goes away
	ail        func([]backend.Ailment)

	choice     string // the ID of the one in use
	agreed     bool
	noContexts error                       // beside the choices
	findings   map[string]backend.Findings // by the choice
	examining  chan struct{}               // a look waits for it, unless nil
	stuck      error                       // what taking the cluster down ends with
}

func newFake() *fake {
	return &fake{labs: []*labs.Lab{testLab()}, choice: "embedded", hangUp: make(chan struct{})}
}

func testLab() *labs.Lab {
	check := func(id, to string, after checks.Expect) checks.Check {
		return checks.Check{
			ID: id, Title: "The backend and " + id, From: checks.From{Namespace: "default", App: "backend"}, To: to,
			Before: checks.ExpectAllowed, After: after,
		}
	}
	return &labs.Lab{
		ID: "04", Title: "Cilium network policies", Summary: "Let the backend talk to one name of the outside world.",
		Namespace: "default",
		Tasks: []labs.Task{
			{
				ID: "4.1", Title: "A policy that knows DNS names", Page: "page.md", Solution: []string{"solution/p.yaml"},
				Checks: []checks.Check{check("kubernetes-io", "https://kubernetes.io", "allowed"), check("cilium-io", "https://cilium.io", "denied")},
				Hints:  labs.Hints{Question: "What must it ask first?", Concept: "Names need DNS.", Field: "spec.egress", Diff: "spec:\n  egress:\n    - toFQDNs:"},
			},
			{ID: "4.2", Title: "Nothing but that", Page: "page.md", Checks: []checks.Check{check("other", "https://example.com", "denied")}},
		},
		FS: fstest.MapFS{"page.md": {Data: []byte(`# Cilium network policies

A page with “typography” – and a 日本語 line, which is wide.

` + "```bash\nkubectl get pods\n```\n\nThen:\n\n```bash\nkubectl get cnp\n```\n" + strings.Repeat("\nMore text, so that there is something to scroll.\n", 30))}},
	}
}

func (f *fake) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

func (f *fake) Labs() ([]*labs.Lab, error) { return f.labs, nil }

func (f *fake) Course() (*labs.Course, error) { return f.course, nil }

func (f *fake) Cluster(context.Context) (backend.ClusterState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.silent != nil {
		return backend.ClusterState{}, f.silent
	}
	what := map[string]string{"kind": "kind with netdojo's datapath", "kind-cilium": "kind with real Cilium", "context:prod": "your context prod"}[f.choice]
	return backend.ClusterState{Name: "netdojo", What: cmp.Or(what, f.choice), Running: f.running, Ready: f.running}, nil
}

func (f *fake) Choices(context.Context) ([]backend.Choice, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []backend.Choice{
		{ID: "embedded", Title: "embedded", Good: "Every lab, at once.", Takes: "It took 2.1 s when it last came up here.", Leave: "its objects are kept, and come back when it is chosen again"},
		{ID: "kind", Title: "kind with netdojo's datapath", Good: "Every lab on the real kubelet.", Takes: "It takes some 20 s on a machine with 2 processors; here it never came up.", Leave: "it is deleted with its objects"},
		{ID: "kind-cilium", Title: "kind with real Cilium", Good: "To see that real Cilium says the same.", Takes: "It takes some 30 s on a machine with 2 processors; here it never came up.", Leave: "it is deleted with its objects", Partial: true},
		{ID: "context:prod", Title: "your context prod", Good: "Your own cluster, as it is.", Leave: "netdojo's namespaces and its change of cluster DNS are taken back", Foreign: true, Partial: true},
	}
	for i := range all {
		all[i].Chosen = all[i].ID == f.choice
		if all[i].Foreign && !f.agreed {
			all[i].Asks = "Work on the cluster of context prod, which netdojo did not make?"
		}
	}
	return all, f.noContexts
}

func (f *fake) Examine(ctx context.Context, id string) backend.Findings {
	f.note("examine " + id)
	f.mu.Lock()
	wait, found := f.examining, f.findings[id]
	f.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
	return found
}

func (f *fake) Choose(_ context.Context, id string, listen event.Listener) error {
	f.note("choose " + id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running && f.choice != id {
		listen(event.StepUpdate{Update: step.Update{Name: "Stop the cluster", State: step.Failed, Err: f.stuck}})
		if f.stuck != nil {
			return f.stuck
		}
		f.running = false
	}
	f.choice = id
	return nil
}

func (f *fake) Agree(id string) {
	f.note("agree " + id)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.agreed = true
}

func (f *fake) Missing(context.Context) []backend.Missing { return f.missing }

func (f *fake) TakeDown(context.Context, event.Listener) error {
	f.note("down")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
	return nil
}

func (f *fake) BeginEmpty(ctx context.Context, listen event.Listener) error {
	f.note("begin empty")
	return f.TakeDown(ctx, listen)
}

func (f *fake) Log(int) []string { return []string{"level=INFO msg=\"a line of the log\""} }

// up is what entering and resuming begin with.
func (f *fake) up(ctx context.Context, listen event.Listener) error {
	listen(event.RunStarted{Lab: "04"})
	listen(event.StepUpdate{Update: step.Update{Name: "Provision the cluster", State: step.Started}})
	listen(event.StepUpdate{Update: step.Update{Name: "Start Kubernetes", State: step.Progress, Detail: "waiting for apiserver"}, Depth: 1})
	f.mu.Lock()
	hold, fail := f.hold, f.fail
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail != nil {
		listen(event.StepUpdate{Update: step.Update{Name: "Provision the cluster", State: step.Failed, Err: fail}})
		return fail
	}
	listen(event.StepUpdate{Update: step.Update{Name: "Provision the cluster", State: step.Done, Elapsed: 3 * time.Second}})
	f.mu.Lock()
	f.running = true
	f.mu.Unlock()
	return nil
}

// judge runs the checks of a task.
func (f *fake) judge(lab *labs.Lab, id string, phase checks.Phase, listen event.Listener) record.Run {
	f.mu.Lock()
	solved := f.solved
	f.mu.Unlock()
	task := lab.Task(id)
	run := record.Run{Tasks: []record.Task{{ID: id}}}
	if solved && phase == checks.After {
		run.Tasks[0].Policies = []record.Applied{{Kind: "CiliumNetworkPolicy", Name: "allow-fqdn"}}
	}
	listen(event.TaskStarted{ID: id})
	listen(event.PhaseStarted{Task: id, Phase: phase})
	for _, c := range task.Checks {
		listen(event.CheckStarted{Task: id, Check: c.ID, Phase: phase})
		out := record.Check{
			ID: c.ID, Phase: phase, Expect: c.Expect(phase), Verdict: checks.Allowed, HTTPStatus: 200, LatencyMs: 31,
			To: c.To, From: c.From.String(),
		}
		if solved && phase == checks.After && c.After == checks.ExpectDenied {
			out.Verdict, out.HTTPStatus, out.Cause = checks.Denied, 0, checks.CausePolicyDrop
			out.Evidence.Drop = &checks.Drop{
				Direction: "egress", Protocol: "TCP", Source: "default/backend-1", Destination: "203.0.113.9:443",
				Names: []string{"cilium.io"}, Reason: "POLICY_DENIED",
				Policies: []checks.PolicyName{{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "allow-fqdn"}},
			}
		}
		out.Passed = string(out.Verdict) == string(out.Expect)
		run.Tasks[0].Checks = append(run.Tasks[0].Checks, out)
		listen(event.CheckVerdict{Task: id, Check: out})
	}
	listen(event.Finished{})
	return run
}

func (f *fake) Enter(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	f.note("enter")
	if err := f.up(ctx, listen); err != nil {
		return record.Run{}, err
	}
	f.mu.Lock()
	f.solved = false
	f.mu.Unlock()
	return f.judge(lab, task, checks.Before, listen), nil
}

func (f *fake) Resume(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	f.note("resume")
	if err := f.up(ctx, listen); err != nil {
		return record.Run{}, err
	}
	return f.judge(lab, task, checks.After, listen), nil
}

func (f *fake) Baseline(_ context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	f.note("baseline")
	return f.judge(lab, task, checks.Before, listen), nil
}

func (f *fake) Check(ctx context.Context, lab *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	f.note("check")
	f.mu.Lock()
	wait := f.checking
	f.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return record.Run{}, ctx.Err()
		}
	}
	return f.judge(lab, task, checks.After, listen), nil
}

func (f *fake) Solve(_ context.Context, _ *labs.Lab, task string, listen event.Listener) (record.Run, error) {
	f.note("solve")
	f.mu.Lock()
	f.solved = true
	f.mu.Unlock()
	ms := 12.0
	listen(event.Applied{Task: task, Object: record.Applied{Kind: "CiliumNetworkPolicy", Name: "allow-fqdn", EnforcedMs: &ms}})
	return record.Run{Tasks: []record.Task{{ID: task}}}, nil
}

func (f *fake) Compare(_ context.Context, _ *labs.Lab, _ string) ([]record.Difference, error) {
	f.note("compare")
	d := record.Difference{Kind: "CiliumNetworkPolicy", Namespace: "default", Name: "allow-fqdn", Yours: "mine"}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.solved {
		d.Diff = "--- yours\n+++ the solution\n@@ -1,3 +1,3 @@\n spec:\n-  egress: []\n+  egress:\n+  - toFQDNs:\n"
	}
	return []record.Difference{d}, nil
}

func (f *fake) Explain(_ context.Context, _ *labs.Lab, c checks.Check) ([]string, error) {
	f.note("explain " + c.ID)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.solved {
		return []string{"allowed: no policy selects default/backend-1"}, nil
	}
	return []string{"denied: no rule allows it", "  egress of default/backend-1", "    CiliumNetworkPolicy default/allow-fqdn", "      spec.egress[0] misses " + c.To}, nil
}

func (f *fake) Watch(ctx context.Context, _ *labs.Lab, changed func(string)) error {
	f.mu.Lock()
	f.changed = changed
	f.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (f *fake) Health(ctx context.Context, _ *labs.Lab, told func([]backend.Ailment)) error {
	f.mu.Lock()
	f.ail = told
	f.mu.Unlock()
	told(nil)
	<-ctx.Done()
	return nil
}

func (f *fake) Flows(ctx context.Context, each func(flow.Flow)) error {
	f.mu.Lock()
	f.flow = each
	hangUp := f.hangUp
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil
	case <-hangUp:
		return errors.New("connection reset")
	}
}

func (f *fake) Namespace(context.Context, *labs.Lab) (string, error) { return "default", nil }

func (f *fake) Answer(_ *labs.Lab, task string) (backend.Answer, error) {
	return backend.Answer{Dir: f.dir, File: task + ".yaml", Editor: f.editor}, f.noFile
}

func (f *fake) Saves(ctx context.Context, _ *labs.Lab, saved func()) error {
	f.mu.Lock()
	f.saved = saved
	f.mu.Unlock()
	saved()
	<-ctx.Done()
	return nil
}

func (f *fake) Judge(_ context.Context, _ *labs.Lab, task string) (backend.Judgement, error) {
	f.note("judge " + task)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.judgement, f.unjudged
}

func (f *fake) AskEngine(_ context.Context, _ *labs.Lab, task string) (backend.Judgement, error) {
	f.note("ask the engine " + task)
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := f.engine; wait != nil {
		f.mu.Unlock()
		<-wait
		f.mu.Lock()
	}
	said := f.judgement
	said.Unasked, said.Problems = false, f.refused
	return said, nil
}

func (f *fake) Preview(_ context.Context, _ *labs.Lab, task string) (backend.Preview, error) {
	f.note("preview " + task)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.preview, f.unforeseen
}

func (f *fake) Command(context.Context, *labs.Lab, string) (*exec.Cmd, func() error, error) {
	return nil, nil, errors.New("the screens run commands in their shell")
}

func (f *fake) KeepCopy(text string) (string, error) {
	f.copied = text
	return "copied.txt", nil
}

// driver runs a model as Bubble Tea would, without a terminal.
type driver struct {
	*testing.T
	m    *Model
	f    *fake
	msgs chan tea.Msg
	stop context.CancelFunc
	quit bool
}

func drive(t *testing.T, f *fake, o Options, width, height int) *driver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if o.StateDir == "" {
		o.StateDir = t.TempDir()
	}
	o.Backend = f
	d := &driver{T: t, f: f, m: New(ctx, o), msgs: make(chan tea.Msg, 100), stop: cancel}
	d.m.now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	t.Cleanup(func() {
		cancel()
		d.m.Close()
	})
	d.do(d.m.Init())
	d.send(tea.WindowSizeMsg{Width: width, Height: height})
	d.until("the labs", func() bool { return d.m.start.loaded && d.m.cluster.Name != "" })
	return d
}

// do runs a command beside the test; its message comes to until.
func (d *driver) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		msg := cmd()
		if batch, ok := msg.(tea.BatchMsg); ok {
			for _, c := range batch {
				d.do(c)
			}
			return
		}
		if msg == nil {
			return
		}
		select {
		case d.msgs <- msg:
		case <-d.m.ctx.Done():
		}
	}()
}

func (d *driver) send(msg tea.Msg) {
	d.Helper()
	if _, ok := msg.(tea.QuitMsg); ok {
		d.quit = true
		return
	}
	_, cmd := d.m.Update(msg)
	d.do(cmd)
	d.fits()
}

// until takes messages until something is so.
func (d *driver) until(what string, ok func() bool) {
	d.Helper()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case msg := <-d.msgs:
			d.send(msg)
		case <-deadline:
			d.Fatalf("not within a minute: %s\n%s", what, d.text())
		}
	}
}

// idle takes messages until no session runs and no check waits for one.
func (d *driver) idle() {
	d.Helper()
	d.until("no session", func() bool {
		st, _ := d.f.Cluster(d.m.ctx)
		return d.m.busy() == nil && d.m.start.job == nil && d.m.cluster.Running == st.Running
	})
}

var named = map[string]rune{
	"enter": tea.KeyEnter, "tab": tea.KeyTab, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown,
	"pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "end": tea.KeyEnd, "home": tea.KeyHome, "backspace": tea.KeyBackspace,
}

// press makes a key press of its spelling.
func press(key string) tea.KeyPressMsg {
	if letter, ok := strings.CutPrefix(key, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: []rune(letter)[0], Mod: tea.ModCtrl}
	}
	if code, ok := named[key]; ok {
		return tea.KeyPressMsg{Code: code}
	}
	return tea.KeyPressMsg{Code: []rune(key)[0], Text: key}
}

func (d *driver) keys(names ...string) {
	d.Helper()
	for _, k := range names {
		d.send(press(k))
	}
}

// text is the screen without styles.
func (d *driver) text() string { return ansi.Strip(d.m.View().Content) }

func (d *driver) sees(what ...string) {
	d.Helper()
	for _, w := range what {
		if !strings.Contains(d.text(), w) {
			d.Errorf("no %q on the screen:\n%s", w, d.text())
		}
	}
}

func (d *driver) seesNot(what string) {
	d.Helper()
	if strings.Contains(d.text(), what) {
		d.Errorf("%q is on the screen:\n%s", what, d.text())
	}
}

// fits says that the screen is as large as the window, and its borders close.
func (d *driver) fits() {
	d.Helper()
	lines := strings.Split(d.text(), "\n")
	if len(lines) != d.m.height {
		d.Fatalf("%d lines in a window of %d:\n%s", len(lines), d.m.height, d.text())
	}
	for i, line := range lines {
		if w := ansi.StringWidth(line); w != d.m.width {
			d.Fatalf("line %d is %d wide in a window of %d: %q", i, w, d.m.width, line)
		}
		line = strings.TrimRight(line, " ")
		for first, last := range map[string]string{"│": "│", "╭": "╮", "╰": "╯"} {
			if strings.HasPrefix(line, first) && !strings.HasSuffix(line, last) {
				d.Fatalf("the border of line %d does not close: %q", i, line)
			}
		}
		if d.m.theme.ASCII {
			for _, r := range line {
				if r >= 0x80 {
					d.Fatalf("line %d holds %q, which is not ASCII: %q", i, r, line)
				}
			}
		}
	}
}

// golden compares the screen with a file.
func (d *driver) golden(name string) {
	d.Helper()
	var lines []string
	for _, line := range strings.Split(d.text(), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	got := strings.Join(lines, "\n") + "\n"
	file := filepath.Join("testdata", name+".golden")
	if updating() {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			d.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			d.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		d.Fatal(err)
	}
	if got != string(want) {
		d.Errorf("%s differs (go test -update writes it anew):\n%s\nwant\n%s", file, got, want)
	}
}

func (f *fake) Shell(ctx context.Context, _ *labs.Lab) (*exec.Cmd, func() error, error) {
	f.note("shell")
	if f.starts != nil {
		select {
		case <-f.starts:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if f.noShell != nil {
		return nil, nil, f.noShell
	}
	cmd := exec.Command("bash", "--norc", "-i")
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "PS1=ready> ", "HISTFILE=")
	if f.marks {
		cmd.Env = append(cmd.Env, `PS1=\[\e]133;A\a\]ready> \[\e]133;B\a\]`, `PS0=\e]133;C\a`)
	}
	return cmd, func() error { f.note("cleanup"); return nil }, nil
}

// seen says whether a text is on the screen.
func (d *driver) seen(text string) func() bool {
	return func() bool { return strings.Contains(d.text(), text) }
}

// focus names the pane that has the keys.
func (d *driver) focus() string { return kinds[d.m.lab.focus].Name }

// shellFailed says whether the shell's pane was told that there is none.
func (d *driver) shellFailed() bool {
	for i, p := range d.m.lab.panes {
		if kinds[i].Name == "shell" {
			return strings.Contains(strings.Join(p.Lines(), "\n"), "2 starts another")
		}
	}
	return false
}
