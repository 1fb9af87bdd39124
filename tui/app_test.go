package tui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/flow"
	"github.com/netdojo/netdojo/tui/pane/flows"
	"github.com/netdojo/netdojo/tui/progress"
)

var sizes = []struct{ w, h int }{{80, 24}, {120, 40}, {60, 20}}

// entered drives to the lab page.
func entered(t *testing.T, f *fake, o Options, w, h int) *driver {
	t.Helper()
	d := drive(t, f, o, w, h)
	d.keys("enter")
	d.idle()
	if d.m.page != page(d.m.lab) {
		t.Fatalf("the lab page is not shown:\n%s", d.text())
	}
	return d
}

func TestGoldenFrames(t *testing.T) {
	for _, size := range sizes {
		for name, plain := range map[string]bool{"": false, "-ascii": true} {
			label := fmt.Sprintf("%dx%d%s", size.w, size.h, name)
			t.Run(label, func(t *testing.T) {
				f := newFake()
				f.missing = []backend.Missing{{Cause: "newuidmap is not installed", Cure: "apt install uidmap"}}
				f.hold = make(chan struct{})
				d := drive(t, f, Options{ASCII: plain}, size.w, size.h)
				d.until("what is missing", func() bool { return d.m.start.missing != nil })
				d.golden("start-" + label)
				d.keys("enter")
				d.until("the steps", func() bool { return d.m.lab != nil && len(d.m.lab.steps) == 2 })
				d.golden("provision-" + label)
				close(f.hold)
				d.idle()
				if size.w >= wideFrom {
					d.until("the shell's prompt", func() bool { return strings.Contains(d.text(), "ready>") })
				}
				d.golden("lab-" + label)
				d.keys("3", "down", "d", "c")
				d.idle()
				d.golden("checks-" + label)
				d.keys("6")
				d.until("the engine's word", d.seen("What the policy engine says now"))
				d.golden("explanation-" + label)
				d.keys("M")
				d.golden("network-" + label)
				d.keys("8", "y")
				d.until("the solution", d.seen("CiliumNetworkPolicy allow-fqdn: yours"))
				d.golden("solution-" + label)
				d.keys(":", "r", "e", "s")
				d.golden("palette-" + label)
				d.keys("esc", "?")
				d.golden("help-" + label)
			})
		}
	}
}

func TestTooSmall(t *testing.T) {
	d := entered(t, newFake(), Options{}, 40, 10)
	d.sees("This window is 40x10.", "60x20")
}

// TestResizeStorm: every frame fits, whatever the window is.
func TestResizeStorm(t *testing.T) {
	d := entered(t, newFake(), Options{}, 80, 24)
	for w := 1; w < 200; w += 7 {
		for h := 1; h < 60; h += 5 {
			d.send(tea.WindowSizeMsg{Width: w, Height: h})
			d.keys("tab")
		}
	}
}

func TestLabFromStartToDone(t *testing.T) {
	state := t.TempDir()
	f := newFake()
	d := entered(t, f, Options{StateDir: state}, 120, 40)
	d.sees("Task 4.1  A policy that knows DNS names", "not judged yet; without a policy: allowed", "cluster netdojo ready")

	d.keys("3", "down", "d")
	d.sees("you predict denied")
	d.keys("c")
	d.idle()
	d.sees("allowed, expected denied; you predicted denied: wrong", "1 of 2 checks as expected")

	d.keys("s")
	d.sees("Apply the solution of task 4.1")
	d.keys("n")
	if f.count("solve") != 0 {
		t.Error("the solution was applied without a yes")
	}
	d.keys("a", "d", "s", "y")
	d.until("the checks after the solution", func() bool { return f.count("check") == 2 && d.m.busy() == nil })
	d.sees("denied, as expected; you predicted denied: right",
		"default deny since CiliumNetworkPolicy default/allow-fqdn selects this pod", "All 2 checks as expected: task 4.1 is done. n goes to the next task.")

	d.keys("5")
	d.sees("Who reaches whom", "✓ denied")
	d.keys("M")
	d.sees("Map of the network", "✗ denied  443/TCP HEAD /", "╭ name ")
	d.keys("n")
	d.idle()
	d.sees("Task 4.2  Nothing but that")
	d.keys("q")
	d.until("the end", func() bool { return d.quit })

	// Another netdojo finds the progress.
	again := drive(t, f, Options{StateDir: state}, 120, 40)
	again.sees("● in progress", "task 4.1: done, 2 of 2 checks as expected, solution seen")
	again.keys("enter")
	again.idle()
	again.sees("Task 4.2")
	if f.count("enter") != 1 || f.count("resume") != 1 {
		t.Errorf("calls %v, want one enter and one resume", f.calls)
	}
}

func TestHintsClimb(t *testing.T) {
	d := entered(t, newFake(), Options{}, 80, 24)
	for i, want := range []string{"What must it ask first?", "Names need DNS.", "spec.egress", "- toFQDNs:"} {
		d.seesNot(want)
		d.keys("h")
		d.sees(want, fmt.Sprintf("Hint %d of 4", i+1))
	}
	d.keys("h")
	d.sees("Hint is off: there are no more hints.")
}

func TestChecksFollowChanges(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.until("the watch", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.changed != nil })
	f.mu.Lock()
	f.solved = true
	f.changed("CiliumNetworkPolicy allow-fqdn")
	f.changed("CiliumNetworkPolicy allow-fqdn")
	f.mu.Unlock()
	d.until("the check", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.sees("denied, as expected")

	d.keys("w")
	f.changed("Pod backend")
	d.until("what is stale", func() bool { return d.m.lab.lesson.Rows[0].Stale })
	d.sees("(before the last change)")
	d.keys("w")
	d.until("the check", func() bool { return f.count("check") == 2 && d.m.busy() == nil })
}

// seeFlows enters a lab, shows its flows, and gives some.
func seeFlows(t *testing.T, f *fake, w, h int, some ...flow.Flow) *driver {
	t.Helper()
	d := entered(t, f, Options{}, w, h)
	d.keys("4")
	d.sees("No connection yet.")
	d.until("the flows", func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.flow != nil })
	for _, one := range some {
		f.flow(one)
	}
	return d
}

var (
	flowAt  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	backing = flow.End{Namespace: "default", Name: "backend"}
	refusal = flow.Flow{At: flowAt, Verdict: "denied", From: backing, To: flow.End{Name: "cilium.io", Port: 443}, What: "TCP",
		Reason: "policy denied at egress", By: []string{"CiliumNetworkPolicy default/allow-a-name-\x1b[31mor-two\x07"}}
	noise   = flow.Flow{At: flowAt, Verdict: "allowed", From: flow.End{Namespace: "kube-system", Name: "coredns"}, To: flow.End{Name: "host", Port: 6443}, What: "TCP"}
	request = flow.Flow{At: flowAt, Verdict: "allowed", From: backing, To: flow.End{Name: "kubernetes.io", Port: 80}, What: "GET /", L7: true}
)

// TestFlows: each connection once, its policy and its verdict whole, and nothing
// that is not the lab's.
func TestFlows(t *testing.T) {
	answer := request
	answer.Answer, answer.Code = true, 403
	var some []flow.Flow
	for range 12 {
		some = append(some, refusal, noise)
	}
	f := newFake()
	d := seeFlows(t, f, 140, 40, append(some, request, answer)...)
	d.until("the last", d.seen("HTTP 403"))
	d.sees("✗ denied    allow-a-name-or-two  backend → cilium.io:443 TCP  ×12  policy denied at egress", "✗ HTTP 403", "03:04:05", "(1 hidden)")
	d.seesNot("coredns")
	if n := strings.Count(d.text(), "cilium.io:443"); n != 1 {
		t.Errorf("a connection that came 12 times has %d lines:\n%s", n, d.text())
	}
	d.keys("o")
	d.sees("kube-system/coredns → host:6443")
	d.keys("f", "f")
	d.sees("Flows, allowed", "coredns")
	d.seesNot("cilium.io:443")
	d.keys("f", "/", "c", "i", "l", "i", "u", "m", ".")
	d.sees("Flows /cilium._", "cilium.io:443")
	d.seesNot("coredns")
	d.keys("esc")
	d.sees("coredns")
}

// TestFlowIsExplained: by the check that it is of, else by all that is known.
func TestFlowIsExplained(t *testing.T) {
	d := seeFlows(t, newFake(), 120, 40, noise, refusal)
	d.until("the flow", d.seen("cilium.io:443"))
	d.keys("enter")
	d.sees("Explanation of cilium-io")
	d.keys("4", "o", "home", "enter")
	d.sees("seen      1 times since 03:04:05")
	d.keys("enter")
	d.seesNot("1 times since")
}

// TestManyFlows: they are bounded, and the one that was chosen stays in view.
func TestManyFlows(t *testing.T) {
	f := newFake()
	d := seeFlows(t, f, 120, 40)
	for i := range 3000 {
		one := refusal
		one.To.Port = uint16(i + 1)
		f.flow(one)
	}
	d.until("the last", d.seen("cilium.io:3000"))
	d.keys("pgup", "pgup")
	d.seesNot("cilium.io:3000")
	chosen := strings.Index(d.text(), "│▸ ✗ denied")
	if chosen < 0 {
		t.Fatalf("no connection is chosen:\n%s", d.text())
	}
	_, was, _ := strings.Cut(d.text()[chosen:], "cilium.io:")
	f.flow(request)
	f.flow(noise)
	d.until("more of them", d.seen("hidden"))
	_, rest, _ := strings.Cut(d.text(), "│▸ ✗ denied")
	_, is, _ := strings.Cut(rest, "cilium.io:")
	if was[:4] != is[:4] {
		t.Errorf("port %s was chosen, and after more flows %s", was[:4], is[:4])
	}
	d.keys("end")
	d.sees("GET /")
}

type curable struct{ error }

func (curable) Cure() string { return "start the machine" }

func TestProvisioningFails(t *testing.T) {
	f := newFake()
	f.fail = curable{errors.New("the daemon ended: no memory")}
	d := drive(t, f, Options{}, 80, 24)
	d.keys("enter")
	d.idle()
	d.sees("✗ failed", "cause", "no memory", "cure", "start the machine", "r retry")
	d.keys("d")
	d.sees("a line of the log")
	f.fail = nil
	d.keys("r")
	d.idle()
	d.sees("Task 4.1")
}

// TestBeginEmpty: where the cluster was made otherwise than a lab needs, one key makes an
// empty one, after a question; trying again does not.
func TestBeginEmpty(t *testing.T) {
	f := newFake()
	f.fail = fmt.Errorf("lab 20 needs IPv6: %w", cluster.ErrMadeOtherwise)
	d := drive(t, f, Options{}, 80, 24)
	d.keys("enter")
	d.idle()
	d.sees("lab 20 needs IPv6", "D begin empty", "Here: D begins the cluster empty, as the lab needs it.")
	d.keys("D")
	d.sees("Begin empty? The cluster's objects go, your files stay. y yes, any other key no")
	d.keys("n", "r")
	d.idle()
	d.sees("D begin empty")
	if slices.Contains(f.calls, "begin empty") {
		t.Error("the objects went without a yes")
	}
	d.keys("D", "y")
	d.idle()
	if !slices.Contains(f.calls, "begin empty") {
		t.Error("the cluster did not begin empty")
	}
	f.mu.Lock()
	f.fail, f.calls = nil, nil
	f.mu.Unlock()
	d.keys("r")
	d.idle()
	d.sees("Task 4.1")
	if slices.Contains(f.calls, "begin empty") {
		t.Error("trying again emptied the cluster a second time")
	}

	f = newFake()
	f.fail = errors.New("no memory")
	d = drive(t, f, Options{}, 80, 24)
	d.keys("enter")
	d.idle()
	d.sees("no memory", "r retry")
	d.seesNot("begin empty")
	d.seesNot("begins the cluster empty")
}

func TestProvisioningIsStoppedOnce(t *testing.T) {
	f := newFake()
	f.hold = make(chan struct{})
	d := drive(t, f, Options{}, 80, 24)
	d.keys("enter")
	d.until("a step", func() bool { return d.m.lab != nil && len(d.m.lab.steps) > 0 })
	d.keys("ctrl+c")
	d.sees("Stop, and clean up what was begun?")
	d.keys("n")
	if d.m.busy() == nil {
		t.Fatal("it was stopped without a yes")
	}
	d.keys("ctrl+c", "ctrl+c")
	d.until("the labs", func() bool { return d.m.page == page(d.m.start) })
	d.sees("Stopped. Nothing half-made was left.")
}

func TestClusterGone(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 80, 24)
	f.mu.Lock()
	f.running = false
	f.mu.Unlock()
	close(f.hangUp)
	d.until("the news", func() bool { return d.m.lab.lesson.Gone })
	d.sees("The cluster is gone.", "not running")
	d.keys("c")
	d.sees("Check is off: the cluster is gone.")
	f.mu.Lock()
	f.hangUp = make(chan struct{})
	f.mu.Unlock()
	d.sees(" r mend ")
	d.keys("r")
	d.idle()
	d.sees("cluster netdojo ready")
	if f.count("resume") != 1 {
		t.Errorf("calls %v, want the lab resumed", f.calls)
	}
}

func TestShell(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("tab")
	d.until("the prompt", func() bool { return strings.Contains(d.text(), "ready>") })
	d.sees("All keys are the shell's.")
	for _, k := range "echo $((6*7))q?" {
		d.keys(string(k))
	}
	d.keys("backspace", "backspace", "enter")
	d.until("what it printed", func() bool { return strings.Contains(d.text(), "\n") && strings.Contains(d.text(), "│42 ") })
	if d.m.View().Cursor == nil {
		t.Error("the shell has the focus and the cursor is hidden")
	}
	// Ctrl-c and ctrl-z are the shell's.
	line := func(text string) {
		for _, k := range text {
			d.keys(string(k))
		}
		d.keys("enter")
	}
	line("echo on; cat")
	d.until("the cat's terminal", func() bool { return strings.Contains(d.text(), "│on ") })
	line("meow")
	d.until("the cat", func() bool { return strings.Count(d.text(), "meow") == 2 })
	d.keys("ctrl+z")
	d.until("the stopped job", func() bool { return strings.Contains(d.text(), "Stopped") })
	line("fg")
	d.until("the foreground", func() bool { return strings.Count(d.text(), "cat ") >= 3 })
	line("purr")
	d.until("the cat again", func() bool { return strings.Count(d.text(), "purr") == 2 })
	d.keys("ctrl+c")
	d.until("the interrupt", func() bool { return strings.Contains(d.text(), "^C") && strings.Count(d.text(), "ready>") == 4 })

	d.keys("ctrl+g")
	d.sees("ctrl-g and then:")
	d.keys("esc")
	d.send(tea.WindowSizeMsg{Width: 140, Height: 44})
	d.send(tea.PasteMsg{Content: "stty size"})
	d.keys("enter")
	d.until("the new size", func() bool { return strings.Contains(d.text(), "23 75") && strings.Count(d.text(), "ready>") == 5 })
	d.keys("ctrl+g", "tab")
	if d.focus() != "checks" {
		t.Errorf("ctrl-g tab leads to pane %s", d.focus())
	}
	if d.m.View().Cursor != nil {
		t.Error("the cursor is in a shell without the focus")
	}

	d.keys("x")
	d.sees("Run is off: no block is chosen")
	d.keys("]", "x")
	d.sees("A program runs in the shell; the block was not typed.") // this shell marks no prompts

	d.keys("2", "ctrl+d")
	d.until("its end", d.seen("the shell has ended"))
	d.sees("the shell has ended", "Press 2 for another")
	d.keys("2")
	d.until("another", d.seen("ready>"))
	if f.count("shell") != 2 {
		t.Errorf("%d shells were started, want 2", f.count("shell"))
	}
	d.stop()
	d.m.Close()
	if f.count("cleanup") != 2 {
		t.Errorf("%d shells were cleaned up after, want 2", f.count("cleanup"))
	}
}

func TestSearch(t *testing.T) {
	f := newFake()
	other := testLab()
	other.ID, other.Title = "05", "Ingress by label"
	f.labs = append(f.labs, other)
	d := drive(t, f, Options{}, 80, 24)
	d.keys("/", "i", "n", "g", "r")
	d.sees("Ingress by label", "search ingr")
	d.seesNot("Cilium network policies")
	d.keys("enter", "enter")
	d.until("the lab", func() bool { return d.m.lab != nil })
	if d.m.lab.lesson.Lab.ID != "05" {
		t.Errorf("lab %s was opened", d.m.lab.lesson.Lab.ID)
	}
}

func TestTakeDown(t *testing.T) {
	f := newFake()
	d := drive(t, f, Options{}, 80, 24)
	d.keys("D")
	d.sees("Take down is off: no cluster runs.")
	d.keys("enter")
	d.idle()
	d.keys("esc")
	d.sees("in progress, open")
	d.until("the cluster", func() bool { return d.m.cluster.Running })
	d.keys("D", "y")
	d.idle()
	d.until("its end", func() bool { return !d.m.cluster.Running })
	d.sees("The cluster is down.")
}

func TestBrokenProgressIsPutAside(t *testing.T) {
	state := t.TempDir()
	file := filepath.Join(state, progress.FileName)
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := drive(t, newFake(), Options{StateDir: state}, 120, 40)
	d.sees("was put aside")
	if _, err := os.Stat(file + ".broken"); err != nil {
		t.Error(err)
	}
}

// TestEveryBindingIsDone: a page answers for each of its bindings, and says why
// those are off that are.
func TestEveryBindingIsDone(t *testing.T) {
	d := entered(t, newFake(), Options{}, 120, 40)
	seen := map[string]bool{}
	for _, scope := range bindings.Scopes() {
		for _, b := range bindings.In(scope) {
			for _, k := range b.Keys {
				if id := string(scope) + " " + k; seen[id] {
					t.Errorf("%s is bound twice", id)
				} else {
					seen[id] = true
				}
			}
		}
	}
	for _, b := range bindings.In(d.m.scopes()...) {
		d.keys("?")
		if !strings.Contains(strings.Join(d.m.helpLines(), "\n"), b.Long) {
			t.Errorf("the help does not tell %q", b.Long)
		}
		d.keys("esc")
	}
}

func TestEveryEventIsTaken(t *testing.T) {
	d := entered(t, newFake(), Options{}, 80, 24)
	for _, e := range event.All() {
		if !known(d.m.lab.lesson.Take(e)) {
			t.Errorf("%T is not known", e)
		}
	}
}

func TestWatchFailsIsTold(t *testing.T) {
	d := entered(t, newFake(), Options{}, 80, 24)
	d.send(watchEndedMsg{d.m.lab, errors.New("forbidden")})
	d.keys("3")
	d.sees("Changes are not seen by themselves, press c after one: forbidden")
}

func BenchmarkFrame(b *testing.B) {
	m := New(b.Context(), Options{Backend: newFake(), StateDir: b.TempDir()})
	lab := testLab()
	for range 198 {
		lab.Tasks[0].Checks = append(lab.Tasks[0].Checks, lab.Tasks[0].Checks[1])
	}
	m.enter(lab, "4.1", false)
	m.goTo(m.lab)
	m.lab.do(flows.Show)
	m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	second := make([]flow.Flow, 167) // of 10,000 a minute
	for i := range second {
		second[i] = refusal
	}
	b.Run("update", func(b *testing.B) {
		for b.Loop() {
			m.Update(flows.Arrived{To: m.lab.panes[m.lab.focus], Flows: second})
		}
	})
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			m.View()
		}
	})
}

func known(_ string, known bool) bool { return known }
