package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
	"github.com/muesli/cancelreader"
)

// Handover gives a real terminal to a shell that runs in a pane: bytes go both
// ways as they are, and nothing is emulated for the eye. The emulator goes on
// listening, so the pane is up to date when the terminal comes back. It is a
// tea.ExecCommand. Make it with Shell.HandOver.
type Handover struct {
	ctx    context.Context
	shell  *Shell
	prefix string
	notice string
	in     io.Reader
	out    io.Writer
}

// errNoTerminal means that there is no real terminal to give away.
var errNoTerminal = errors.New("netdojo's input is not a terminal")

// HandOver makes the command that gives the terminal to the shell until prefix
// and then any other key is pressed, the shell ends or ctx does. Prefix is
// spelled as a key press spells itself; pressed twice it goes to the shell.
// Notice is a line that is shown first.
func (s *Shell) HandOver(ctx context.Context, prefix, notice string) *Handover {
	return &Handover{ctx: ctx, shell: s, prefix: prefix, notice: notice}
}

// SetStdin implements tea.ExecCommand.
func (h *Handover) SetStdin(r io.Reader) { h.in = r }

// SetStdout implements tea.ExecCommand.
func (h *Handover) SetStdout(w io.Writer) { h.out = w }

// SetStderr implements tea.ExecCommand.
func (h *Handover) SetStderr(io.Writer) {}

// Run implements tea.ExecCommand. The terminal is as it was when it returns.
func (h *Handover) Run() (err error) {
	if h.in == nil {
		h.in = os.Stdin
	}
	tty, ok := h.in.(term.File)
	if !ok || !term.IsTerminal(tty.Fd()) {
		return errNoTerminal
	}
	before, err := term.MakeRaw(tty.Fd())
	if err != nil {
		return fmt.Errorf("take the terminal: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(tty.Fd(), before)) }()
	keys, err := uv.NewCancelReader(h.in)
	if err != nil {
		return fmt.Errorf("read the terminal: %w", err)
	}
	defer keys.Close()

	resized, stop := notifyResize()
	defer stop()
	h.shell.tapTo(h.out, h.notice)
	defer h.shell.tapOff()
	h.fit(tty, true)

	over := make(chan error, 1)
	go func() { over <- h.forward(keys) }()
	for {
		select {
		case <-resized:
			h.fit(tty, false)
		case err := <-over:
			return err
		case <-h.shell.Done():
			keys.Cancel()
			return <-over
		case <-h.ctx.Done():
			keys.Cancel()
			return <-over
		}
	}
}

// fit gives the shell the size of the real terminal. A program that draws the
// whole screen draws it anew when it is told a size that differs.
func (h *Handover) fit(tty term.File, anew bool) {
	w, height, err := term.GetSize(tty.Fd())
	if err != nil {
		return // it goes on in the size of its pane
	}
	if anew {
		h.shell.Resize(w, height-1)
	}
	h.shell.Resize(w, height)
}

// forward passes on what is typed until the prefix and another key.
func (h *Handover) forward(keys io.Reader) error {
	buf := make([]byte, 4096)
	typed := scanner{prefix: h.prefix}
	for {
		n, err := keys.Read(buf)
		pass, leave := typed.take(buf[:n])
		h.shell.input.put(pass)
		if leave {
			return nil
		}
		switch {
		case errors.Is(err, cancelreader.ErrCanceled) || errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the terminal: %w", err)
		}
	}
}

// scanner finds the prefix in what a terminal sends, whatever encoding of keys
// the program had it use. What is pasted is not looked at.
type scanner struct {
	prefix   string
	decoder  uv.EventDecoder
	pasting  bool
	prefixed bool // the prefix was the last key
}

// take says which bytes are the program's, and whether the terminal is wanted
// back.
func (s *scanner) take(b []byte) (pass []byte, leave bool) {
	for len(b) > 0 {
		n, event := s.decoder.Decode(b)
		if n == 0 {
			return append(pass, b...), false // half a sequence, whose rest follows
		}
		raw := b[:n]
		b = b[n:]
		switch event := event.(type) {
		case uv.PasteStartEvent:
			s.pasting = true
		case uv.PasteEndEvent:
			s.pasting = false
		case uv.KeyPressEvent:
			key := event.String()
			// Escape and the prefix in one go look like the prefix with alt.
			if raw[0] == ansi.ESC && !s.pasting {
				if m, next := s.decoder.Decode(raw[1:]); m == n-1 && isKey(next, s.prefix) {
					pass, raw, key = append(pass, ansi.ESC), raw[1:], s.prefix
				}
			}
			switch {
			case s.pasting:
			case s.prefixed && key == s.prefix:
				s.prefixed = false // its second press is the shell's
			case s.prefixed:
				s.prefixed = false
				return pass, true
			case key == s.prefix:
				s.prefixed = true
				continue
			}
		}
		pass = append(pass, raw...)
	}
	return pass, false
}

func isKey(event uv.Event, key string) bool {
	k, ok := event.(uv.KeyPressEvent)
	return ok && k.String() == key
}

// passedOn are the modes that a program may have set before the terminal was
// given to it, and that the terminal must be told of.
var passedOn = append([]ansi.DECMode{
	ansi.ModeCursorKeys, ansi.ModeNumericKeypad, ansi.ModeBracketedPaste, ansi.ModeFocusEvent,
	ansi.ModeMouseExtSgr, ansi.ModeInBandResize,
}, mouseModes...)

// altScreens are the modes that stand for the alternate screen.
var altScreens = []ansi.DECMode{ansi.ModeAltScreen, ansi.ModeAltScreenSaveCursor}

// tapTo has w get the output from now on, beginning with what is on the screen.
func (s *Shell) tapTo(w io.Writer, notice string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	if s.emu.IsAltScreen() {
		b.WriteString(ansi.SetMode(ansi.ModeAltScreenSaveCursor) + ansi.EraseEntireDisplay)
	} else {
		at := s.emu.CursorPosition()
		b.WriteString("\r\n" + notice + "\r\n")
		lines := strings.Split(s.emu.Render(), "\n")
		b.WriteString(strings.Join(lines[:min(at.Y+1, len(lines))], "\r\n"))
		b.WriteString(ansi.ResetStyle + "\r")
		if at.X > 0 {
			b.WriteString(ansi.CursorForward(at.X))
		}
	}
	for _, mode := range passedOn {
		if s.modes[mode] {
			b.WriteString(ansi.SetMode(mode))
		}
	}
	if s.emu.CursorHidden() {
		b.WriteString(ansi.ResetMode(ansi.ModeTextCursorEnable))
	}
	s.tap = w
	s.handed.Store(true)
	_, _ = io.WriteString(w, b.String())
}

// tapOff ends it, and undoes on the terminal what the program set there.
func (s *Shell) tapOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tap == nil {
		return
	}
	var b strings.Builder
	b.WriteString(ansi.ResetStyle + ansi.SetMode(ansi.ModeTextCursorEnable))
	for _, mode := range passedOn {
		b.WriteString(ansi.ResetMode(mode))
	}
	if slices.ContainsFunc(altScreens, func(m ansi.DECMode) bool { return s.modes[m] }) {
		b.WriteString(ansi.ResetMode(ansi.ModeAltScreenSaveCursor))
	}
	_, _ = io.WriteString(s.tap, b.String())
	s.tap = nil
	s.handed.Store(false)
}
