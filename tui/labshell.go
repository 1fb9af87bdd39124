package tui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/shell"
)

// shellStarted says that a shell runs, or why it does not.
type shellStarted struct {
	lab   *labPage
	shell *shell.Shell
	err   error
}

// shellChanged says that a shell's screen changed.
type shellChanged struct{ shell *shell.Shell }

// startShell starts the learner's shell; the model waits for its end.
func (l *labPage) startShell() tea.Cmd {
	w, h := l.shellSize()
	started := make(chan shellStarted, 1)
	l.shellStart, l.shellErr = true, nil
	l.m.running.Go(func() {
		cmd, cleanup, err := l.m.backend.Shell(l.ctx, l.lab)
		if err != nil {
			started <- shellStarted{lab: l, err: err}
			return
		}
		sh, err := shell.Start(l.ctx, cmd, w, h)
		started <- shellStarted{l, sh, err}
		if err == nil {
			<-sh.Done()
		}
		_ = cleanup() // a temporary folder; the next start has its own
	})
	return func() tea.Msg { return <-started }
}

func (l *labPage) shellIs(msg shellStarted) tea.Cmd {
	l.shellStart = false
	l.shell, l.shellErr = msg.shell, msg.err
	if msg.err != nil {
		l.m.say("No shell: %v", msg.err)
		return nil
	}
	l.shellBack = 0
	l.fitShell()
	return l.nextOutput(msg.shell)
}

// nextOutput waits until the shell's screen changed.
func (l *labPage) nextOutput(sh *shell.Shell) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-sh.Changed():
		case <-sh.Done():
		}
		return shellChanged{sh}
	}
}

// outputPause bounds the frames that a chatty program makes.
const outputPause = 15 * time.Millisecond

// shellOutput draws by being called; the next change comes after a pause.
func (l *labPage) shellOutput() tea.Cmd {
	sh := l.shell
	if ended, err := sh.Ended(); ended {
		l.shell, l.shellErr = nil, fmt.Errorf("the shell has ended%s", how(err))
		l.prefixed = false
		return nil
	}
	next := l.nextOutput(sh)
	return tea.Tick(outputPause, func(time.Time) tea.Msg { return next() })
}

func how(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// shellSize is the room for the shell's screen.
func (l *labPage) shellSize() (width, height int) {
	w, h := l.m.body()
	r, ok := layout(w, h, l.focus, l.drawer, l.zoomed)[shellPane]
	if !ok { // another pane has the whole page
		r = layout(w, h, shellPane, l.drawer, l.zoomed)[shellPane]
	}
	return r.inner()
}

func (l *labPage) fitShell() {
	if l.shell != nil && l.m.fits() {
		l.shell.Resize(l.shellSize())
	}
}

// shellKey takes a key while the shell has the focus: the prefix is ours, and
// the key after it; all others are the shell's.
func (l *labPage) shellKey(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	key, prefix := msg.String(), l.m.prefix
	switch {
	case l.prefixed && key == prefix:
		l.prefixed = false
		if l.shell != nil {
			l.shell.Key(msg)
		}
		return nil, true
	case l.prefixed:
		l.prefixed = false
		if key == "esc" {
			return nil, true
		}
		return l.m.press(key), true
	case key == prefix:
		l.prefixed = true
		return nil, true
	case l.shell == nil:
		return nil, false // nothing that could take it
	}
	l.shellBack = 0
	l.shell.Key(msg)
	return nil, true
}

// foot is the footer while the shell has the focus.
func (l *labPage) foot() string {
	switch {
	case l.focus != shellPane || l.shell == nil:
		return ""
	case l.prefixed:
		var parts []string
		for _, id := range []keys.ID{keys.NextPane, keys.Zoom, keys.Check, keys.Hint, keys.PageUp, keys.Help, keys.Quit} {
			for _, b := range keys.All() {
				if b.ID == id {
					parts = append(parts, spellFirst(b)+" "+b.Short)
					break
				}
			}
		}
		p := keys.Spell(l.m.prefix)
		return " " + p + " and then: " + strings.Join(parts, "  ") + "  " + p + " the shell's"
	}
	p := keys.Spell(l.m.prefix)
	return fmt.Sprintf(" All keys are the shell's. %s is netdojo's: %s tab leaves, %s ? helps.", p, p, p)
}

// shellLines are the shell's pane: its title and its screen.
func (l *labPage) shellLines(h int) (title string, lines []string) {
	title = "Shell"
	switch {
	case l.shell == nil && l.shellErr != nil:
		w, _ := l.shellSize()
		text := frame.Clean(l.shellErr.Error()) + ". 2 starts another."
		if l.focus == shellPane {
			text = frame.Clean(l.shellErr.Error()) + ". Press 2 for another, tab to leave."
		}
		return title, frame.Wrap(text, w-2, " ", " ")
	case l.shell == nil:
		return title, []string{" The shell is starting."}
	}
	lines, l.shellBack = l.shell.View(l.shellBack)
	if l.shellBack > 0 {
		title += fmt.Sprintf(", %d lines back", l.shellBack)
	}
	return title, lines[:min(len(lines), h)]
}

// cursor is where the terminal's cursor is; nil hides it.
func (l *labPage) cursor() *tea.Cursor {
	r, seen := l.places()[shellPane]
	if l.focus != shellPane || !seen || l.shell == nil || l.shellBack > 0 {
		return nil
	}
	x, y, shown := l.shell.Cursor()
	w, h := r.inner()
	if !shown || x >= w || y >= h {
		return nil
	}
	return tea.NewCursor(r.x+1+x, r.y+2+y) // the page's header and the border
}

// handedBack says that the real terminal came back from the shell.
type handedBack struct {
	lab *labPage
	err error
}

// handOver gives the real terminal to the shell.
func (l *labPage) handOver() tea.Cmd {
	p := keys.Spell(l.m.prefix)
	notice := fmt.Sprintf("netdojo: the terminal is the shell's. %s z comes back, %s %s is the shell's own %s.", p, p, p, p)
	l.shellBack = 0
	return tea.Exec(l.shell.HandOver(l.ctx, l.m.prefix, notice), func(err error) tea.Msg { return handedBack{l, err} })
}

func (l *labPage) takeBack(err error) {
	if err != nil {
		l.m.say("The shell did not get the terminal: %v", err)
	}
	l.fitShell()
}

// runOff says why the chosen block cannot be run.
func (l *labPage) runOff() string {
	switch {
	case len(l.page.Blocks) == 0:
		return "the page has no code blocks"
	case l.block < 0:
		return "no block is chosen; ] chooses one"
	case !l.page.Blocks[l.block].Shell():
		return "the block holds no commands"
	case l.shell == nil:
		return "no shell runs"
	}
	return ""
}

func (l *labPage) runBlock() {
	l.shellBack = 0
	switch l.shell.Run(l.page.Blocks[l.block].Code) {
	case shell.Ran:
		l.m.say("The block runs in the shell.")
	case shell.Typed:
		l.m.say("The block stands behind what you had typed; press Enter yourself.")
	case shell.Busy:
		l.m.say("A program runs in the shell; the block was not typed.")
	}
	if w, _ := l.m.body(); w < wideFrom || l.zoomed {
		l.show(shellPane)
	}
}
