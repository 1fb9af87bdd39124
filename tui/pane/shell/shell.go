// Package shell is the pane of the learner's shell.
package shell

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"github.com/netdojo/netdojo/tui/editor"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/shell"
)

// Show is the binding that shows it.
const Show keys.ID = "pane-shell"

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "shell", Place: pane.Right, Raw: true, New: func(p pane.Page) pane.Pane { return &term{page: p} },
	Keys: keys.List{{ID: Show, Keys: []string{"2"}, Short: "shell", Long: "go to the shell, or start one where it has ended", Scope: keys.Lab, Footer: 5}},
}

// term is the pane; sh is nil before the shell started and after it ended.
type term struct {
	pane.Room
	page     pane.Page
	sh       *shell.Shell
	err      error
	back     int  // lines that it is scrolled back
	prefixed bool // the prefix was pressed
	starting bool
	first    string // what was to run while it was starting
}

type (
	// started says that a shell runs, or why it does not.
	started struct {
		to  *term
		sh  *shell.Shell
		err error
	}
	// changed says that a shell's screen changed.
	changed struct{ sh *shell.Shell }
	// handedBack says that the real terminal came back from the shell.
	handedBack struct {
		to  *term
		err error
	}
)

// start starts the learner's shell; the program waits for its end.
func (t *term) start() tea.Cmd {
	if t.sh != nil || t.starting {
		return nil
	}
	t.starting, t.err = true, nil
	width, height := t.Width, t.Height
	up := make(chan started, 1)
	t.page.Go(func() {
		cmd, cleanup, err := t.page.Backend().Shell(t.page.Context(), t.page.Lesson().Lab)
		if err != nil {
			up <- started{to: t, err: err}
			return
		}
		sh, err := shell.Start(t.page.Context(), cmd, width, height)
		up <- started{t, sh, err}
		if err == nil {
			<-sh.Done()
		}
		_ = cleanup() // a temporary folder; the next start has its own
	})
	return func() tea.Msg { return <-up }
}

func (t *term) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case pane.Entered:
		return t.start()
	case started:
		if msg.to == t {
			return t.run(msg.sh, msg.err)
		}
	case changed:
		if msg.sh == t.sh && t.sh != nil {
			return t.output()
		}
	case handedBack:
		if msg.to != t {
			return nil
		}
		if msg.err != nil {
			t.page.Say("The shell did not get the terminal: %v", msg.err)
		}
		t.fit()
	case tea.PasteMsg:
		if t.page.Focused(t) && t.sh != nil {
			t.back = 0
			t.sh.Paste(msg.Content)
		}
	}
	return nil
}

func (t *term) run(sh *shell.Shell, err error) tea.Cmd {
	first := t.first
	t.starting, t.sh, t.err, t.back, t.first = false, sh, err, 0, ""
	if err != nil {
		t.page.Say("No shell: %v", err)
		return nil
	}
	t.fit()
	if first != "" {
		t.sh.Run(first)
	}
	return t.next(sh)
}

// next waits until the shell's screen changed.
func (t *term) next(sh *shell.Shell) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-sh.Changed():
		case <-sh.Done():
		}
		return changed{sh}
	}
}

// outputPause bounds the frames that a chatty program makes.
const outputPause = 15 * time.Millisecond

// output draws by being called; the next change comes after a pause.
func (t *term) output() tea.Cmd {
	sh := t.sh
	if ended, err := sh.Ended(); ended {
		t.sh, t.err, t.prefixed = nil, fmt.Errorf("the shell has ended%s", how(err)), false
		return nil
	}
	t.back = sh.Back(t.back)
	next := t.next(sh)
	return tea.Tick(outputPause, func(time.Time) tea.Msg { return next() })
}

func how(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func (t *term) Resize(width, height int) {
	t.Room.Resize(width, height)
	t.fit()
}

func (t *term) fit() {
	if t.sh != nil {
		t.sh.Resize(t.Width, t.Height)
	}
}

func (t *term) Off(id keys.ID) string {
	if id == Show && t.page.Lesson().Gone {
		return "the cluster is gone"
	}
	return ""
}

// Open goes to the shell, and starts one where none runs.
func (t *term) Open() tea.Cmd {
	t.page.Show(t)
	return t.start()
}

func (t *term) Do(id keys.ID) tea.Cmd {
	if by, ok := pane.By(id, t.Height); ok {
		t.Scroll(by)
	}
	return nil
}

func (t *term) Scroll(by int) {
	t.back = max(t.back-by, 0)
	if t.sh != nil {
		t.back = t.sh.Back(t.back)
	}
}

// Grab takes a key: the prefix is netdojo's, and the key after it; all others are
// the shell's.
func (t *term) Grab(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	key, prefix := msg.String(), t.page.Prefix()
	switch {
	case t.prefixed && key == prefix:
		t.prefixed = false
		if t.sh != nil {
			t.sh.Key(msg)
		}
		return nil, true
	case t.prefixed:
		t.prefixed = false
		if key == "esc" {
			return nil, true
		}
		return t.page.Press(key), true
	case key == prefix:
		t.prefixed = true
		return nil, true
	case t.sh == nil:
		return nil, false // nothing that could take it
	}
	t.back = 0
	t.sh.Key(msg)
	return nil, true
}

// Foot is the footer while the shell has the focus.
func (t *term) Foot() string {
	p := keys.Spell(t.page.Prefix())
	switch {
	case t.sh == nil:
		return ""
	case t.prefixed:
		return " " + p + " and then: " + t.page.PrefixKeys() + "  " + p + " the shell's"
	}
	if job := t.sh.Job(); editor.WayOut(job) != "" {
		return fmt.Sprintf(" %s has the keys: %s.", frame.Clean(job), editor.WayOut(job))
	}
	return fmt.Sprintf(" All keys are the shell's. %s is netdojo's: %s tab leaves, %s ? helps.", p, p, p)
}

func (t *term) Title() string {
	if t.sh != nil && t.back > 0 {
		return fmt.Sprintf("Shell, %d lines back", t.back)
	}
	return "Shell"
}

func (t *term) Lines() []string {
	switch {
	case t.sh == nil && t.err != nil:
		text := frame.Clean(t.err.Error()) + ". 2 starts another."
		if t.page.Focused(t) {
			text = frame.Clean(t.err.Error()) + ". Press 2 for another, tab to leave."
		}
		return frame.Wrap(text, t.Width-2, " ", " ")
	case t.sh == nil:
		return []string{" The shell is starting."}
	}
	lines := t.sh.View(t.back)
	return lines[:min(len(lines), t.Height)]
}

func (t *term) Whole(int) []string {
	if t.sh == nil {
		return nil
	}
	return t.sh.All()
}

// CopyText is what was written: a command that is longer than the pane is wide is whole.
func (t *term) CopyText() string {
	if t.sh == nil {
		return ""
	}
	lines := t.sh.Written()
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}

func (t *term) Cursor() (x, y int, ok bool) {
	if t.sh == nil || t.back > 0 {
		return 0, 0, false
	}
	x, y, shown := t.sh.Cursor()
	return x, y, shown && x < t.Width && y < t.Height
}

// Zoom gives the real terminal to the shell.
func (t *term) Zoom() (tea.Cmd, bool) {
	if t.sh == nil {
		return nil, false
	}
	p := keys.Spell(t.page.Prefix())
	notice := fmt.Sprintf("netdojo: the terminal is the shell's. %s z comes back, %s %s is the shell's own %s.", p, p, p, p)
	t.back = 0
	return tea.Exec(t.sh.HandOver(t.page.Context(), t.page.Prefix(), notice), func(err error) tea.Msg { return handedBack{t, err} }), true
}

// Mouse gives the mouse to a program that wants it.
func (t *term) Mouse(msg tea.MouseMsg, x, y int) bool {
	return t.page.Focused(t) && t.sh != nil && t.sh.Mouse(moved(msg, x, y))
}

// moved is a mouse's message at another place, as an emulator takes it.
func moved(msg tea.MouseMsg, x, y int) uv.MouseEvent {
	at := uv.Mouse(msg.Mouse())
	at.X, at.Y = x, y
	switch msg.(type) {
	case tea.MouseReleaseMsg:
		return uv.MouseReleaseEvent(at)
	case tea.MouseWheelMsg:
		return uv.MouseWheelEvent(at)
	case tea.MouseMotionMsg:
		return uv.MouseMotionEvent(at)
	}
	return uv.MouseClickEvent(at)
}

func (t *term) NoRun() string {
	if t.sh == nil && !t.starting {
		return "no shell runs"
	}
	return ""
}

func (t *term) Run(code string) bool {
	t.back = 0
	outcome := t.take(code)
	switch outcome {
	case shell.Ran:
		t.page.Say("The block runs in the shell.")
	case shell.Typed:
		t.page.Say("The block stands behind what you had typed; press Enter yourself.")
	case shell.Kept:
		t.page.Say("The shell is starting; the block runs at its first prompt.")
	case shell.Busy:
		t.page.Say("A program runs in the shell; the block was not typed.")
	}
	if !t.page.Together() {
		t.page.Show(t)
	}
	return outcome != shell.Busy
}

// take gives the shell what is to run; one that is starting gets it when it has started.
func (t *term) take(code string) shell.Outcome {
	switch {
	case t.sh != nil:
		return t.sh.Run(code)
	case t.first != "":
		return shell.Busy
	}
	t.first = code
	return shell.Kept
}

func (t *term) Dir() string {
	if t.sh == nil {
		return ""
	}
	return t.sh.Dir()
}

func (t *term) Job() string {
	if t.sh == nil {
		return ""
	}
	return t.sh.Job()
}

func (t *term) Interrupt() {
	if t.sh != nil {
		t.back = 0
		t.sh.Key(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
	}
}
