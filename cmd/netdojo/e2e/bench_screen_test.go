//go:build linux && bench

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/netdojo/netdojo/labs"
)

// watchedTerminal is a pseudo-terminal that keeps what a program draws.
type watchedTerminal struct {
	*os.File
	cmd     *exec.Cmd
	reading sync.WaitGroup

	mu    sync.Mutex // guards drawn
	drawn bytes.Buffer
}

func openTerminal(t *testing.T, h *home) *watchedTerminal {
	t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "netdojo"))
	cmd.Env = slices.Concat(h.env, []string{"HOME=" + h.state, "TERM=xterm-256color", "LANG=C.UTF-8"})
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 120, Rows: 40})
	if err != nil {
		t.Fatal(err)
	}
	term := &watchedTerminal{File: file, cmd: cmd}
	term.reading.Go(func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := file.Read(buf)
			term.mu.Lock()
			term.drawn.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	return term
}

// sees waits until a text was drawn.
func (term *watchedTerminal) sees(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(time.Millisecond) {
		term.mu.Lock()
		ok := bytes.Contains(term.drawn.Bytes(), []byte(text))
		term.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q was not drawn", text)
		}
	}
}

func (term *watchedTerminal) quit(t *testing.T) {
	t.Helper()
	if _, err := term.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := term.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	term.Close()
	term.reading.Wait()
}

// forget forgets what was drawn.
func (term *watchedTerminal) forget() {
	term.mu.Lock()
	defer term.mu.Unlock()
	term.drawn.Reset()
}

// benchScreen measures the start of the screen in milliseconds, the CPU that it takes
// in percent of one core while nothing happens, and the milliseconds from a save to the
// problems on the screen.
func benchScreen(t *testing.T) (first, idle, saved figures) {
	h := newHome(t, t.TempDir())
	for range runs {
		start := time.Now()
		term := openTerminal(t, h)
		term.sees(t, "Labs")
		first = append(first, float64(time.Since(start).Microseconds())/1000)
		term.quit(t)
	}
	defer h.must("down", "--purge")
	term := openTerminal(t, h)
	term.sees(t, "network policies")
	// Down to lab 04, whose summary is drawn when the cursor is there.
	lab, err := labs.Open("04")
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(catalogue, func(l *labs.Lab) bool { return l.ID == lab.ID })
	if _, err := term.WriteString(strings.Repeat("\x1b[B", at)); err != nil {
		t.Fatal(err)
	}
	term.sees(t, lab.Summary)
	if _, err := term.WriteString("\r"); err != nil {
		t.Fatal(err)
	}
	term.sees(t, "your turn")
	time.Sleep(3 * time.Second) // what starting left to do
	for range runs {
		before, start := cpu(t, term.cmd.Process.Pid), time.Now()
		time.Sleep(3 * time.Second) // nothing happens
		idle = append(idle, 100*(cpu(t, term.cmd.Process.Pid)-before).Seconds()/time.Since(start).Seconds())
	}
	saved = benchSaved(t, h, term)
	term.quit(t)
	return first, idle, saved
}

// benchSaved saves a policy that selects no pod, each time for another reason, and waits
// until that is drawn.
func benchSaved(t *testing.T, h *home, term *watchedTerminal) (out figures) {
	t.Helper()
	policy, err := os.ReadFile("../../../labs/catalogue/04/solution/backend-egress-allow-fqdn.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.state, "work", "netdojo", "04", "4.1.yaml")
	for i := range runs {
		// All letters are others than those before, so that they are drawn in one piece.
		typo := strings.Repeat(string(rune('a'+i)), 12)
		text := bytes.Replace(policy, []byte("app: backend"), []byte("app: "+typo), 1)
		term.forget()
		start := time.Now()
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		term.sees(t, typo)
		out = append(out, float64(time.Since(start).Microseconds())/1000)
	}
	return out
}

// cpu is the time that a process's threads have run, by the scheduler's clock in
// nanoseconds: the ticks of /proc/PID/stat are too coarse.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/schedstat")
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// benchFrame runs the screen's own benchmark, in milliseconds.
func benchFrame(t *testing.T) (update, frame figures) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkFrame$", "-count", strconv.Itoa(runs), "./tui")
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != "ns/op" {
			continue
		}
		ns, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fields[0], "/update") {
			update = append(update, ns/1e6)
		} else {
			frame = append(frame, ns/1e6)
		}
	}
	return update, frame
}
