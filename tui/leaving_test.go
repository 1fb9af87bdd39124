package tui

import (
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// running has a program in the shell's foreground, with the text in focus.
func running(t *testing.T, f *fake, command string) *driver {
	t.Helper()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("2")
	d.until("the prompt", d.seen("ready>"))
	d.send(tea.PasteMsg{Content: command})
	d.keys("enter")
	d.until("the program", d.sleeping)
	d.keys("ctrl+g", "1")
	return d
}

// TestInterruptFromAnyPane: ctrl-c is for the program in the shell, wherever it is
// pressed, and leaves nothing.
func TestInterruptFromAnyPane(t *testing.T) {
	d := running(t, newFake(), "sleep 1000")
	for i, k := range []string{"1", "3", "4"} {
		if d.m.program() == nil {
			d.keys("2")
			d.send(tea.PasteMsg{Content: "sleep 1000"})
			d.keys("enter")
			d.until("the program", d.sleeping)
			d.keys("ctrl+g")
		}
		d.keys(k, "ctrl+c")
		d.sees("ctrl-c went to sleep in the shell.")
		d.until("the end of the program", func() bool {
			return d.m.program() == nil && strings.Count(d.text(), "^C") == i+1 && strings.Count(d.text(), "ready>") == i+2
		})
		if d.quit || d.m.question != nil {
			t.Fatal("ctrl-c left netdojo, or asked")
		}
	}
}

// TestLeavingNamesWhatRuns: with a program in the shell it asks, without it goes.
func TestLeavingNamesWhatRuns(t *testing.T) {
	d := running(t, newFake(), "sleep 1000")
	d.keys("q")
	d.sees("Stop sleep in the shell and leave? y yes, any other key no")
	d.keys("n")
	if d.quit || d.m.program() == nil {
		t.Fatal("it left, or stopped the program, without a yes")
	}
	d.keys("esc", "q")
	d.sees("Stop sleep in the shell and leave?")
	d.keys("y")
	d.until("the end", func() bool { return d.quit })
}

// TestNothingEndsAProgramUnasked: neither another lab nor a new cluster takes the
// shell with what runs in it.
func TestNothingEndsAProgramUnasked(t *testing.T) {
	f := newFake()
	other := testLab()
	other.ID = "05"
	f.labs = append(f.labs, other)
	d := running(t, f, "sleep 1000")
	d.keys("esc", "down", "enter")
	d.sees("Stop sleep in the shell and open lab 05?")
	d.keys("n")
	if d.m.lab.lesson.Lab.ID != "04" || d.m.program() == nil {
		t.Fatal("the lab was left without a yes")
	}
	d.keys("up", "enter")
	f.mu.Lock()
	f.running = false
	f.mu.Unlock()
	d.until("the news", d.seen("The cluster is gone."))
	d.keys("r")
	d.sees("Stop sleep in the shell and bring the cluster up again?")
	d.keys("y")
	d.idle()
	d.sees("cluster netdojo ready")
}

// TestLeavingWhileACommandEnds: one that ends by itself at once is nothing to ask
// about; one that ends later leaves no question behind, and netdojo where it is.
func TestLeavingWhileACommandEnds(t *testing.T) {
	for _, late := range []bool{false, true} {
		d := running(t, newFake(), "sleep 1000")
		d.keys("q")
		d.sees("Stop sleep in the shell and leave?")
		if late {
			d.m.question.asked = d.m.now().Add(-2 * justNow)
		}
		d.m.program().Interrupt()
		d.until("the end of the question", func() bool { return d.m.question == nil })
		if late {
			d.idle()
		} else {
			d.until("the end", func() bool { return d.quit })
		}
		if d.quit == late {
			t.Errorf("ended late %v: left %v", late, d.quit)
		}
	}
}

func TestLeavingWithNothingRunning(t *testing.T) {
	d := entered(t, newFake(), Options{}, 120, 40)
	d.keys("ctrl+c")
	d.until("the end", func() bool { return d.quit })
	bye := strings.Join(d.m.farewell(), "\n")
	for _, want := range []string{"Lab 04, Cilium network policies: 0 of 2 tasks done.", "goes on at task 4.1", "netdojo down takes it down"} {
		if !strings.Contains(bye, want) {
			t.Errorf("the farewell lacks %q:\n%s", want, bye)
		}
	}
}

// TestQuestionEndsWithItsPage: one that is asked while a lab gets ready is not
// answered on the lab's page.
func TestQuestionEndsWithItsPage(t *testing.T) {
	f := newFake()
	f.hold = make(chan struct{})
	d := drive(t, f, Options{}, 80, 24)
	d.keys("enter")
	d.until("a step", func() bool { return d.m.lab != nil && len(d.m.lab.steps) > 0 })
	d.keys("ctrl+c")
	d.sees("Stop, and clean up what was begun?")
	close(f.hold)
	d.until("the lab", func() bool { return d.m.page == page(d.m.lab) && d.m.busy() == nil })
	d.seesNot("Stop, and clean up")
	d.keys("y")
	d.seesNot("Stopping")
}

// TestQuestionEndsWithItsSession: nothing is left to stop.
func TestQuestionEndsWithItsSession(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 80, 24)
	f.mu.Lock()
	f.checking = make(chan struct{})
	f.mu.Unlock()
	d.keys("c", "ctrl+c")
	d.sees("Stop the checks? y or ctrl-c yes")
	close(f.checking)
	d.until("the end of the checks", func() bool { return d.m.busy() == nil })
	d.seesNot("Stop the checks?")
}

// TestBaselineWithAPolicy: what the checks said before the policy is not
// overwritten by what they say with one.
func TestBaselineWithAPolicy(t *testing.T) {
	f := newFake()
	d := entered(t, f, Options{}, 120, 40)
	d.keys("s", "y")
	d.until("the task done", func() bool { return f.count("check") == 1 && d.m.busy() == nil })
	d.keys("b")
	d.sees("Baseline is off: CiliumNetworkPolicy allow-fqdn is applied")
	if f.count("baseline") != 0 {
		t.Error("the baseline was taken with a policy applied")
	}
	d.keys("R", "y")
	d.idle()
	d.keys("b")
	d.idle()
	if f.count("baseline") != 1 {
		t.Error("the baseline cannot be taken after a reset")
	}
}

// sleeping says whether sleep is what runs in the shell: until a shell's child is
// another program it is a shell.
func (d *driver) sleeping() bool {
	p := d.m.program()
	return p != nil && p.Job() == "sleep"
}
