package tui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"github.com/netdojo/netdojo/internal/cast"
)

// screenOf is what a terminal shows that was given bytes.
func screenOf(t *testing.T, w, h int, data []byte) string {
	t.Helper()
	emu := vt.NewEmulator(w, h)
	done := make(chan struct{})
	go func() { // what it answers is nobody's business
		defer close(done)
		buf := make([]byte, 1024)
		for {
			if _, err := emu.Read(buf); err != nil {
				return
			}
		}
	}()
	if _, err := emu.Write(data); err != nil {
		t.Fatal(err)
	}
	text := emu.String()
	// The emulator's own Close is not to be called while it is read.
	if err := emu.InputPipe().(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	return text
}

// played are the outputs of a recording, its markers and its sizes.
func played(t *testing.T, file []byte) (output []byte, markers, sizes []string) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, 1<<20)
	for first := true; lines.Scan(); first = false {
		if first {
			var header struct {
				Version int
				Term    struct{ Cols, Rows int }
			}
			if err := json.Unmarshal(lines.Bytes(), &header); err != nil || header.Version != 3 {
				t.Fatalf("header %s: %v", lines.Text(), err)
			}
			sizes = append(sizes, fmt.Sprintf("%dx%d", header.Term.Cols, header.Term.Rows))
			continue
		}
		var event [3]any
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		switch data := event[2].(string); event[1] {
		case "o":
			output = append(output, data...)
		case "m":
			markers = append(markers, data)
		case "r":
			sizes = append(sizes, data)
		}
	}
	return output, markers, sizes
}

// TestRecordingPlaysBack: a recording of the screen on a real terminal, played, ends at
// what that terminal showed, and has a marker for each verdict and apply.
func TestRecordingPlaysBack(t *testing.T) {
	const w, h = 80, 24
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	if err := pty.Setsize(slave, &pty.Winsize{Cols: w, Rows: h}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var shown []byte
	more := make(chan struct{}, 1)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := master.Read(buf)
			mu.Lock()
			shown = append(shown, buf[:n]...)
			mu.Unlock()
			select {
			case more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	wait := func(what string, met func(shown []byte) bool) {
		t.Helper()
		for deadline := time.After(2 * time.Minute); ; {
			mu.Lock()
			ok := met(shown)
			mu.Unlock()
			if ok {
				return
			}
			select {
			case <-more:
			case <-deadline:
				t.Fatalf("%q is not shown", what)
			}
		}
	}
	until := func(what string) {
		t.Helper()
		wait(what, func(shown []byte) bool { return strings.Contains(screenOf(t, w, h, shown), what) })
	}

	var file bytes.Buffer
	rec := cast.New(&file, cast.Header{Cols: w, Rows: h}, time.Now)
	ended := make(chan error, 1)
	go func() {
		ended <- Run(t.Context(), Options{
			Backend: newFake(), StateDir: t.TempDir(), In: slave, Out: slave, Recorder: rec,
			Env: append(os.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor", "NO_COLOR="),
		})
	}()
	until("Cilium network policies")
	if _, err := master.WriteString("\r"); err != nil {
		t.Fatal(err)
	}
	until("A policy that knows DNS names")
	until("checks before the policy are done")
	for _, keys := range []string{"M", "s", "y"} {
		if _, err := master.WriteString(keys); err != nil {
			t.Fatal(err)
		}
		if keys == "M" {
			until("Map of the network")
		}
		if keys == "s" {
			until("Apply the solution")
		}
	}
	until("task 4.1 is done")
	if _, err := master.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	rec.Close()
	wait("the end", func(shown []byte) bool { return bytes.Contains(shown, []byte(ansi.ResetModeAltScreenSaveCursor)) })

	output, markers, sizes := played(t, file.Bytes())
	if len(sizes) != 1 || sizes[0] != "80x24" {
		t.Errorf("sizes %q", sizes)
	}
	joined := strings.Join(markers, "\n")
	for _, want := range []string{"applied CiliumNetworkPolicy allow-fqdn", "kubernetes-io: allowed, as expected", "cilium-io: denied, as expected"} {
		if !strings.Contains(joined, want) {
			t.Errorf("no marker %q:\n%s", want, joined)
		}
	}
	// The last screen is what was there before it was given back.
	before := func(data []byte) []byte {
		i := bytes.LastIndex(data, []byte(ansi.ResetModeAltScreenSaveCursor))
		if i < 0 {
			t.Fatal("the screen was not given back")
		}
		return data[:i]
	}
	mu.Lock()
	defer mu.Unlock()
	real, again := screenOf(t, w, h, before(shown)), screenOf(t, w, h, before(output))
	if real != again || !strings.Contains(again, "✗ denied") {
		t.Errorf("the terminal showed\n%s\nthe recording ends at\n%s", real, again)
	}
}

// TestRecordingOfResizes: a new size comes before what is drawn in it.
func TestRecordingOfResizes(t *testing.T) {
	var file bytes.Buffer
	filter := resizes(cast.New(&file, cast.Header{Cols: 80, Rows: 24}, time.Now))
	for _, size := range []tea.WindowSizeMsg{{Width: 80, Height: 24}, {Width: 100, Height: 30}} {
		if filter(nil, size) != tea.Msg(size) {
			t.Error("a message is lost")
		}
	}
	if _, _, sizes := played(t, file.Bytes()); strings.Join(sizes, " ") != "80x24 100x30" {
		t.Errorf("sizes %q", sizes)
	}
}
