// Package shell runs a program in a pseudo-terminal and keeps its screen, for a
// pane to draw. It knows no page and no cluster.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// scrollback is how many lines are kept above the screen.
const scrollback = 5000

// grace is how long a program has to end after its terminal hung up, and whoever it
// left to let go of its terminal.
const grace = 2 * time.Second

// Shell is a program in a terminal of its own. Start it, and wait for Done
// before its surroundings are removed. Methods are safe for concurrent use.
type Shell struct {
	cmd    *exec.Cmd
	tty    *os.File
	dirty  chan struct{} // the screen changed
	done   chan struct{} // the program ended and nothing of ours runs
	input  *input
	inside sync.WaitGroup // what runs as long as the program
	// handed says that a real terminal has the screen. What reads the emulator's
	// answers asks it: the emulator waits for them to be read with mu held.
	handed atomic.Bool

	mu     sync.Mutex // guards what follows
	emu    *vt.Emulator
	prompt bool                  // a prompt waits (OSC 133)
	met    bool                  // a prompt has waited
	first  string                // what is to run at the first prompt
	typed  bool                  // something was typed at it
	tap    io.Writer             // the real terminal while it is handed over, else nil
	modes  map[ansi.DECMode]bool // that the program set
	err    error                 // how the program ended
	ended  bool
	width  int
	height int
}

// Start runs cmd in a terminal of a size. When ctx ends, the terminal hangs up.
func Start(ctx context.Context, cmd *exec.Cmd, width, height int) (*Shell, error) {
	width, height = max(width, 2), max(height, 1)
	// What the emulator understands.
	cmd.Env = append(cmd.Environ(), "TERM=xterm-256color", "NETDOJO_PANE=1")
	blocking, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)})
	if err != nil {
		return nil, fmt.Errorf("start the shell: %w", err)
	}
	tty := closable(blocking)
	s := &Shell{
		cmd: cmd, tty: tty, width: width, height: height,
		dirty: make(chan struct{}, 1), done: make(chan struct{}), input: newInput(),
	}
	s.emu = s.newEmulator()

	read := make(chan struct{})
	s.inside.Go(func() {
		defer close(read)
		s.readOutput()
	})
	s.replies(s.emu)
	s.inside.Go(func() { s.input.writeTo(tty) })
	exited := make(chan struct{})
	s.inside.Go(func() {
		select {
		case <-exited:
		case <-ctx.Done():
			s.hangUp(exited)
		}
	})
	go func() {
		err := cmd.Wait()
		close(exited)
		s.input.close()
		// What was printed last is read to its end, unless somebody whom the program left
		// holds the other end.
		select {
		case <-read:
		case <-time.After(grace):
		}
		_ = tty.Close()
		s.mu.Lock()
		_ = s.emu.InputPipe().(io.Closer).Close()
		s.mu.Unlock()
		s.awaitInside()
		s.mu.Lock()
		s.err, s.ended, s.prompt = err, true, false
		s.mu.Unlock()
		close(s.done)
		s.touch()
	}()
	return s, nil
}

// awaitInside waits for what runs as long as the program. Where a read stays in the
// kernel although its terminal is closed (see closable), it is left to itself: nobody's
// way out hangs on it.
func (s *Shell) awaitInside() {
	ended := make(chan struct{})
	go func() {
		s.inside.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(grace):
	}
}

// hangUp tells the program's session that its terminal is gone, and ends it
// when it does not listen.
func (s *Shell) hangUp(exited <-chan struct{}) {
	tellOfHangUp(s.cmd)
	select {
	case <-exited:
	case <-time.After(grace):
		endSession(s.cmd)
	}
}

// readOutput feeds the screen until the terminal is closed.
func (s *Shell) readOutput() {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.tty.Read(buf)
		if n > 0 {
			s.mu.Lock()
			s.feed(buf[:n])
			if s.tap != nil {
				_, _ = s.tap.Write(buf[:n])
			}
			s.mu.Unlock()
			s.touch()
		}
		if err != nil {
			return
		}
	}
}

// feed writes to the emulator. One that breaks at what a program prints is
// replaced by an empty one: the program's terminal stays.
func (s *Shell) feed(b []byte) {
	defer func() {
		if recover() == nil {
			return
		}
		old := s.emu
		s.emu = s.newEmulator()
		s.replies(s.emu)
		_ = old.InputPipe().(io.Closer).Close()
	}()
	_, _ = s.emu.Write(b)
}

func (s *Shell) newEmulator() *vt.Emulator {
	s.modes = map[ansi.DECMode]bool{}
	emu := vt.NewEmulator(s.width, s.height)
	emu.SetScrollbackSize(scrollback)
	emu.RegisterOscHandler(133, s.mark)
	note := func(set bool) func(ansi.Mode) {
		return func(mode ansi.Mode) {
			if dec, ok := mode.(ansi.DECMode); ok {
				s.modes[dec] = set
			}
		}
	}
	emu.SetCallbacks(vt.Callbacks{EnableMode: note(true), DisableMode: note(false)})
	return emu
}

// replies passes on what an emulator answers and the keys that it spells.
func (s *Shell) replies(emu *vt.Emulator) {
	s.inside.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := emu.Read(buf)
			// A real terminal that has the screen answers for itself.
			if n > 0 && !s.handed.Load() {
				s.input.put(buf[:n])
			}
			if err != nil {
				return
			}
		}
	})
}

// mark takes an OSC 133: the emulator calls it while it is written to.
func (s *Shell) mark(data []byte) bool {
	_, kind, _ := strings.Cut(string(data), ";")
	switch {
	case strings.HasPrefix(kind, "B"):
		// What was typed before the first prompt stands at it: nothing has read it.
		s.prompt, s.typed = true, s.typed && !s.met
		s.met = true
		if code := s.first; code != "" {
			s.first = ""
			s.inside.Go(func() { s.Run(code) }) // the emulator is being written to
		}
	case strings.HasPrefix(kind, "C"):
		s.prompt = false
	}
	return true
}

func (s *Shell) touch() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// Changed gets a value when the screen changed since the last one.
func (s *Shell) Changed() <-chan struct{} { return s.dirty }

// Done is closed when the program has ended.
func (s *Shell) Done() <-chan struct{} { return s.done }

// Ended says whether the program has ended, and how.
func (s *Shell) Ended() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended, s.err
}

// Resize gives the terminal another size.
func (s *Shell) Resize(width, height int) {
	width, height = max(width, 2), max(height, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || width == s.width && height == s.height {
		return
	}
	s.width, s.height = width, height
	s.emu.Resize(width, height)
	setSize(s.tty, width, height)
}

// Key types a key.
func (s *Shell) Key(k tea.KeyPressMsg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.typed = true
	if k.Text != "" && k.Mod&^tea.ModShift == 0 {
		s.emu.SendText(k.Text) // what the keyboard's layout says
		return
	}
	s.emu.SendKey(vt.KeyPressEvent(k))
}

// Paste types text as a paste, which a program that wants to know is told.
func (s *Shell) Paste(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.typed = true
	s.emu.Paste(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r"))
}

// Outcome is what became of commands that were to be typed.
type Outcome int

// Outcomes of Run.
const (
	Ran   Outcome = iota // typed, and Enter pressed
	Typed                // typed behind what was there already
	Kept                 // not typed yet: the first prompt is to come
	Busy                 // not typed: no prompt is known to wait
)

// Run types commands, and presses Enter where it is known that an empty prompt
// waits. What comes before the first prompt is typed at it, unless somebody has typed
// already: they have seen the shell, whose prompt may never be known.
func (s *Shell) Run(commands string) Outcome {
	s.mu.Lock()
	prompt, typed := s.prompt, s.typed
	early := !s.met && !typed && !s.ended && s.first == ""
	if early {
		s.first = commands
	}
	s.mu.Unlock()
	switch {
	case early:
		return Kept
	case !prompt:
		return Busy
	}
	s.Paste(strings.TrimRight(commands, "\n"))
	if typed {
		return Typed
	}
	s.Key(tea.KeyPressMsg{Code: tea.KeyEnter})
	return Ran
}

// Back is how far it can be scrolled back, at most so many lines.
func (s *Shell) Back(lines int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.emu.IsAltScreen() {
		return 0
	}
	return min(max(lines, 0), len(s.emu.Scrollback().Lines()))
}

// View is the screen: lines with their styles, scrolled back by as many lines as
// there are, at most back.
func (s *Shell) View(back int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(s.emu.Render(), "\n")
	if s.emu.IsAltScreen() {
		return lines
	}
	above := s.emu.Scrollback().Lines()
	back = min(max(back, 0), len(above))
	if back == 0 {
		return lines
	}
	out := make([]string, 0, s.height)
	for _, line := range above[len(above)-back:] {
		if len(out) == s.height {
			break
		}
		out = append(out, line.Render())
	}
	return append(out, lines[:min(len(lines), s.height-len(out))]...)
}

// All is the scrollback and the screen, without styles.
func (s *Shell) All() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if !s.emu.IsAltScreen() {
		for _, line := range s.emu.Scrollback().Lines() {
			out = append(out, ansi.Strip(line.Render()))
		}
	}
	return append(out, strings.Split(s.emu.String(), "\n")...)
}

// Written is All as it was written: a line that fills its row goes on in the next.
func (s *Shell) Written() []string {
	all := s.All()
	s.mu.Lock()
	width := s.width
	s.mu.Unlock()
	return joined(all, width)
}

func joined(rows []string, width int) []string {
	var out []string
	full := false
	for _, row := range rows {
		if full {
			out[len(out)-1] += row
		} else {
			out = append(out, row)
		}
		full = ansi.StringWidth(strings.TrimRight(row, " ")) == width
	}
	return out
}

// Mouse passes on what the mouse does, and says whether the program wanted it.
func (s *Shell) Mouse(m uv.MouseEvent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := false
	for _, mode := range mouseModes {
		wanted = wanted || s.modes[mode]
	}
	if wanted && !s.ended {
		s.emu.SendMouse(m)
	}
	return wanted
}

// mouseModes are those in which a program is told of the mouse.
var mouseModes = []ansi.DECMode{
	ansi.ModeMouseX10, ansi.ModeMouseNormal, ansi.ModeMouseHighlight, ansi.ModeMouseButtonEvent, ansi.ModeMouseAnyEvent,
}

// Cursor is where the cursor is on the screen, and whether it is seen.
func (s *Shell) Cursor() (x, y int, seen bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.emu.CursorPosition()
	return at.X, at.Y, !s.ended && !s.emu.CursorHidden()
}

// Job names the program that runs in the shell's foreground, "" while the shell
// itself has it, and where the system does not say.
func (s *Shell) Job() string {
	if ended, _ := s.Ended(); ended {
		return ""
	}
	return foreground(s.tty, s.cmd.Process.Pid)
}

// Dir is the folder that the program is in, "" when that is not known.
func (s *Shell) Dir() string {
	if ended, _ := s.Ended(); ended {
		return ""
	}
	dir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "cwd"))
	if err != nil {
		return ""
	}
	return dir
}

// input is what goes to the program. A program that does not read blocks the
// writer, never who types.
type input struct {
	mu     sync.Mutex // guards what follows
	more   *sync.Cond
	bytes  []byte
	closed bool
}

func newInput() *input {
	in := &input{}
	in.more = sync.NewCond(&in.mu)
	return in
}

func (in *input) put(b []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.bytes = append(in.bytes, b...)
	in.more.Signal()
}

func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.more.Signal()
}

// writeTo writes until it is closed or w does not take any more.
func (in *input) writeTo(w io.Writer) {
	for {
		in.mu.Lock()
		for len(in.bytes) == 0 && !in.closed {
			in.more.Wait()
		}
		b := in.bytes
		in.bytes = nil
		closed := in.closed
		in.mu.Unlock()
		if closed {
			return
		}
		if _, err := w.Write(b); err != nil {
			if !errors.Is(err, os.ErrClosed) {
				continue
			}
			return
		}
	}
}
