//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netdojo/netdojo/cluster"
)

// TestProgramsInTheShell: what learners use works in the shell pane, whatever
// netdojo itself runs in.
func TestProgramsInTheShell(t *testing.T) {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge") })
	for _, program := range []string{"vi", "less", "top", "screen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("needs " + program)
		}
	}
	netdojo := filepath.Join(binDir, "netdojo")
	sockets, err := os.MkdirTemp("", "netdojo-screen-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Screen outlives its terminal: a test that failed would leave it behind.
		quit := exec.Command("screen", "-S", "netdojo-e2e", "-X", "quit")
		quit.Env = append(os.Environ(), "SCREENDIR="+sockets)
		_ = quit.Run() // it has ended where the test passed
		if err := os.RemoveAll(sockets); err != nil {
			t.Error(err)
		}
	})
	for _, tc := range []struct {
		name, command string
		atOnce        int // lines of a paste
	}{
		{"in tmux", netdojo, 500},
		// Screen itself drops what comes faster than its buffer of 4 kB is emptied.
		{"in screen", "SCREENDIR=" + sockets + " screen -S netdojo-e2e -c /dev/null -U " + netdojo, 50},
		{"on the Linux console", "TERM=linux " + netdojo, 500},
		{"without a locale", "LANG=C LC_ALL=C " + netdojo, 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.t = t
			w := h.openWindow(t, "120", "40", tc.command)
			w.sees(20*time.Second, "Cilium network policies")
			w.choose("04")
			w.keys("Enter")
			w.either(90*time.Second, "Now it is your turn.", "of 2 checks as expected.")
			w.sees(20*time.Second, "(netdojo-netdojo|default)")
			w.keys("2")
			w.sees(5*time.Second, "All keys are the shell's.")
			work := filepath.Join(state, "work", cluster.DefaultName, "04")

			w.keys("size=$(stty size)", "Enter")
			w.prompt()
			w.keys("vi notes.txt", "Enter")
			w.sees(10*time.Second, "~  ", `"notes.txt"`)
			w.keys("ihello from vi", "Escape")
			w.resize(110, 36) // in the middle of it
			// vi forgets what is typed while it is told of a size: its ruler is at the edge
			// of the new one when it has drawn.
			w.either(10*time.Second, "All │", "All |")
			w.keys(":wq", "Enter")
			w.prompt() // vi eats what is typed too soon, and so does kubectl
			w.resize(120, 40)
			// tmux tells of a size up to 250 ms later, and less forgets what is typed then.
			w.keys("until [ \"$(stty size)\" = \"$size\" ]; do sleep 0.05; done; tr a-z A-Z <notes.txt; rm notes.txt", "Enter")
			w.sees(10*time.Second, "HELLO FROM VI")

			w.keys("clear; seq 1 5000 | less", "Enter")
			w.either(10*time.Second, "│12 ", "|12 ")
			w.either(10*time.Second, "│:  ", "|:  ") // it takes keys from now on
			w.keys("/4321", "Enter")
			w.sees(10*time.Second, "4321 ", "4325 ")
			w.keys("q")
			w.prompt()

			w.keys("clear; top -d 60", "Enter")
			w.sees(10*time.Second, "load average", "PID")
			w.keys("q")
			w.prompt()

			w.keys("kubectl exec -ti deploy/backend -- sh", "Enter")
			w.keys("echo host=$(hostname)", "Enter")
			w.sees(20*time.Second, "host=backend-")
			w.keys("clear; exit", "Enter")
			w.prompt()

			w.keys("clear; echo now; cat >paste.txt; echo pasted $(wc -l <paste.txt)", "Enter")
			w.either(10*time.Second, "│now ", "|now ") // the terminal is the program's
			var long string
			for i := range 500 {
				long += fmt.Sprintf("line %d of a long paste, with words enough to be wrapped\n", i)
			}
			sofar := ""
			for lines := range slices.Chunk(slices.Collect(strings.Lines(long)), tc.atOnce) {
				text := strings.Join(lines, "")
				w.paste(text)
				sofar += text
				// Not what the terminal echoes, of which the kernel drops some in a hurry.
				eventually(t, fmt.Sprintf("a paste of %d lines arrives", len(lines)), 20*time.Second, func() bool {
					got, err := os.ReadFile(filepath.Join(work, "paste.txt"))
					return err == nil && string(got) == sofar
				})
			}
			w.keys("C-d")
			w.sees(20*time.Second, "pasted 500")

			// The terminal itself, and back.
			w.keys("C-l", "echo $((40+2)) lines", "Enter")
			w.sees(10*time.Second, "42 lines")
			w.keys("C-g", "z")
			w.sees(10*time.Second, "netdojo: the terminal is the shell's.")
			w.keys("echo size $(stty size)", "Enter")
			w.either(10*time.Second, "size 40 120", "size 39 120") // tmux may have a status line
			w.keys("vi notes.txt", "Enter")
			w.sees(10*time.Second, "~\n", `"notes.txt"`)
			w.keys("ifull screen", "Escape")
			w.sees(10*time.Second, "full screen\n") // vi forgets a new size that it is told while it draws
			w.keys("C-g", "z")
			w.sees(10*time.Second, "Task 4.1", "full screen", "vi has the keys: Esc, then :wq and Enter")
			w.keys(":q!", "Enter")
			w.prompt()
			w.keys("rm paste.txt", "Enter")
			w.prompt()

			w.keys("C-g", "q")
			w.sees(20*time.Second, "left with 0")
		})
	}
}

// TestTerminalIsRestored: however netdojo ends or is stopped, the terminal is as
// it was, and the shell of the lab has ended.
func TestTerminalIsRestored(t *testing.T) {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge") })
	h.must("up")
	w := h.openWindow(t, "120", "40", "PS1='outside> ' bash --norc -i")
	w.sees(10*time.Second, "outside>")

	open := func() {
		t.Helper()
		w.keys("clear; "+filepath.Join(binDir, "netdojo")+"; echo left with $?", "Enter")
		w.sees(20*time.Second, "Cilium network policies")
		w.choose("04")
		w.keys("Enter")
		w.either(90*time.Second, "Now it is your turn.", "of 2 checks as expected.")
		w.sees(20*time.Second, "(netdojo-netdojo|default)")
		w.keys("m") // the mouse is netdojo's
		w.sees(5*time.Second, "The mouse is netdojo's")
	}
	restored := func(what string) {
		t.Helper()
		eventually(t, what+": the terminal's modes are restored", 10*time.Second, func() bool {
			return w.format("#{alternate_on}#{mouse_any_flag}#{mouse_standard_flag}#{mouse_button_flag}#{cursor_flag}") == "00001"
		})
		w.keys("clear", "Enter", "stty -a | tr ' ' '\\n' | grep -cE '^(icanon|echo|isig);?$'", "Enter")
		w.sees(10*time.Second, "\n3\n")
	}

	open()
	w.keys("C-z")
	w.sees(10*time.Second, "Stopped")
	restored("suspended")
	w.keys("fg", "Enter")
	w.sees(10*time.Second, "checks ", "Task 4.1")
	w.keys("q")
	w.sees(10*time.Second, "outside>")
	restored("left")

	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		open()
		pid := w.running("netdojo")
		shell := w.childOf(pid)
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		w.sees(20*time.Second, "left with 130")
		restored(sig.String())
		eventually(t, "the lab's shell ends", 5*time.Second, func() bool { return stat(shell) == nil })
	}

	// Even while the shell has the terminal itself.
	open()
	w.keys("2")
	w.sees(5*time.Second, "All keys are the shell's.")
	w.keys("vi", "Enter")
	w.sees(10*time.Second, "~  ")
	w.keys("C-g", "z")
	eventually(t, "vi has the whole window", 10*time.Second, func() bool { return !strings.Contains(w.screen(), "Task 4.1") })
	if err := syscall.Kill(w.running("netdojo"), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.sees(20*time.Second, "left with 130")
	restored("ended while it was handed over")

	// A window that is closed takes netdojo and its shell with it.
	open()
	pid := w.running("netdojo")
	shell := w.childOf(pid)
	if out, err := w.tmux("kill-server").CombinedOutput(); err != nil {
		t.Fatalf("close the window: %v\n%s", err, out)
	}
	eventually(t, "netdojo and the lab's shell end", 10*time.Second, func() bool { return stat(pid) == nil && stat(shell) == nil })
}

// TestClusterEndsUnderTheScreen: a killed daemon is told at once, and the lab is
// brought up again as it was left.
func TestClusterEndsUnderTheScreen(t *testing.T) {
	state := t.TempDir()
	h := newHome(t, state)
	h.env = append(h.env, "HOME="+state)
	t.Cleanup(func() { h.must("down", "--purge") })
	w := h.openWindow(t, "120", "40", filepath.Join(binDir, "netdojo"))
	w.sees(20*time.Second, "Cilium network policies")
	w.choose("04")
	w.keys("Enter")
	w.sees(90*time.Second, "Now it is your turn.")
	w.keys("s", "y")
	w.sees(30*time.Second, "All 2 checks as expected")
	_, launcher := clusterTree(t, h.state, cluster.DefaultName)
	if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.sees(time.Second, "cluster netdojo not running", "The cluster is gone. r brings it and the lab up again", "checks 0/2", "allowed (old)")
	if screen := w.screen(); strings.Contains(screen, "✓") {
		t.Errorf("a verdict of a cluster that is gone is shown as good:\n%s", screen)
	}
	w.keys("r")
	w.sees(90*time.Second, "checks 2/2", "All 2 checks as expected", "cluster netdojo ready")

	// What the lab misses of a cluster that answers is named, and comes back with a key.
	h.must("kubectl", "delete", "deployment", "backend")
	w.sees(10*time.Second, "cluster netdojo without the lab's pods", "Deployment default/backend is gone. r mends it.", "checks 0/2", "(old)")
	h.must("kubectl", "-n", "kube-system", "delete", "service", "kube-dns")
	w.sees(10*time.Second, "cluster netdojo without DNS")
	w.keys("r")
	// Its deny is not proven any more: that is the former pod's.
	w.sees(60*time.Second, "cluster netdojo ready", "checks 1/2", "✓ kubernetes-io allowed")
	w.keys("q")
	w.sees(20*time.Second, "left with 0")
}

// either waits until one of the texts stands on the screen.
func (w *window) either(limit time.Duration, texts ...string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("one of %q", texts), limit, func() bool {
		screen := w.screen()
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(screen, text) })
	})
}

// prompt waits until the last line in the shell is its prompt.
func (w *window) prompt() {
	w.t.Helper()
	prompt := regexp.MustCompile(`/04 [#$]$`)
	eventually(w.t, "the shell's prompt", 10*time.Second, func() bool {
		_, screen, _ := strings.Cut(w.screen(), " Shell")
		lines := strings.Split(screen, "\n")
		last := ""
		for _, line := range lines[1:] {
			cells := strings.FieldsFunc(line, func(r rune) bool { return r == '│' || r == '|' })
			if len(cells) < 2 {
				break // below the pane
			}
			if text := strings.TrimSpace(cells[len(cells)-1]); text != "" {
				last = text
			}
		}
		return prompt.MatchString(last)
	})
}

func (w *window) resize(width, height int) {
	w.t.Helper()
	if out, err := w.tmux("resize-window", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height)).CombinedOutput(); err != nil {
		w.t.Fatalf("resize the window: %v\n%s", err, out)
	}
}

// paste pastes a text as a terminal does, which tells a program that asked for it.
func (w *window) paste(text string) {
	w.t.Helper()
	load := w.tmux("load-buffer", "-")
	load.Stdin = strings.NewReader(text)
	for _, cmd := range []*exec.Cmd{load, w.tmux("paste-buffer", "-p", "-r")} {
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Fatalf("paste: %v\n%s", err, out)
		}
	}
}

// format asks tmux about its pane.
func (w *window) format(format string) string {
	w.t.Helper()
	out, err := w.tmux("display-message", "-p", format).Output()
	if err != nil {
		w.t.Fatalf("ask the window: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// running is the process of a program below the window's.
func (w *window) running(program string) int {
	w.t.Helper()
	pane, err := strconv.Atoi(w.format("#{pane_pid}"))
	if err != nil {
		w.t.Fatal(err)
	}
	for queue := []int{pane}; len(queue) > 0; queue = queue[1:] {
		if name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", queue[0])); err == nil && filepath.Base(name) == program {
			return queue[0]
		}
		queue = append(queue, w.children(queue[0])...)
	}
	w.t.Fatalf("no %s runs in the window", program)
	return 0
}

func (w *window) childOf(pid int) int {
	w.t.Helper()
	all := w.children(pid)
	if len(all) == 0 {
		w.t.Fatalf("process %d has no children", pid)
	}
	return all[0]
}

func (w *window) children(pid int) []int {
	w.t.Helper()
	var found []int
	for _, p := range pids(w.t) {
		if f := stat(p); f != nil && f[1] == strconv.Itoa(pid) {
			found = append(found, p)
		}
	}
	return found
}
