// Package tui is the terminal UI: pages that render a lesson and send commands
// to the runner. What it asks of the world stands in Backend; it makes no call to
// a cluster itself.
//
// Drawing changes nothing: whatever view, lines and foot methods and their like
// need is made ready in the update loop.
package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/internal/cast"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/progress"
	"github.com/netdojo/netdojo/tui/recording"
	"github.com/netdojo/netdojo/tui/styles"
)

// The smallest window that the pages fit in.
const (
	minWidth  = 60
	minHeight = 20
)

// Options is what the program is given.
type Options struct {
	Backend backend.Backend
	// StateDir is where the progress is kept.
	StateDir string
	ASCII    bool
	// Prefix is the one key that is netdojo's while a shell has the focus, as a
	// key press spells itself; "" is keys.DefaultPrefix.
	Prefix string
	In     io.Reader // nil means the terminal
	Out    io.Writer
	Env    []string
	// Bye gets a farewell when the learner has left, nil for none.
	Bye io.Writer
	// Recorder records the screen, nil for no recording. Whoever made it tells why it
	// is not whole, when that is so.
	Recorder *cast.Recorder
}

// Run shows the screens until the learner quits or ctx ends. The terminal is
// restored and every session has ended when it returns.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Recorder != nil {
		o.Backend = recording.Backend(o.Backend, o.Recorder)
	}
	m := New(ctx, o)
	// Less than the usual 60: the renderer wakes for each frame, drawn or not. The
	// first one waits for its turn as well.
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithFPS(45)}
	if o.In != nil {
		opts = append(opts, tea.WithInput(o.In))
	}
	if o.Recorder != nil {
		if o.Out == nil {
			o.Out = os.Stdout
		}
		o.Out = o.Recorder.Terminal(o.Out)
		opts = append(opts, tea.WithFilter(resizes(o.Recorder)))
	}
	if o.Out != nil {
		opts = append(opts, tea.WithOutput(o.Out))
	}
	if o.Env != nil {
		opts = append(opts, tea.WithEnvironment(o.Env))
	}
	_, err := tea.NewProgram(m, opts...).Run()
	cancel()
	m.Close()
	if errors.Is(err, tea.ErrProgramKilled) && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	if err == nil && o.Bye != nil {
		_, err = fmt.Fprintln(o.Bye, strings.Join(m.farewell(), "\n"))
	}
	return err
}

// resizes passes all messages on, and records the sizes of the window: before it is
// drawn in one.
func resizes(r *cast.Recorder) func(tea.Model, tea.Msg) tea.Msg {
	return func(_ tea.Model, msg tea.Msg) tea.Msg {
		if size, ok := msg.(tea.WindowSizeMsg); ok {
			r.Resize(size.Width, size.Height)
		}
		return msg
	}
}

// page is one screen. Keys come to it as names of bindings.
type page interface {
	title() string
	// scopes are where its keys work, those first that come before the others.
	scopes() []keys.Scope
	// grab takes a key press before the bindings do.
	grab(tea.KeyPressMsg) (tea.Cmd, bool)
	// off is why a binding does nothing now, "" when it works.
	off(keys.ID) string
	do(keys.ID) tea.Cmd
	update(tea.Msg) tea.Cmd
	// fit makes ready what is drawn in a size. It follows every message.
	fit(width, height int)
	view(width, height int) []string
}

// question is asked once; the key y says yes, any other no. It belongs to a page,
// and where it is about a session to that: neither outlives its owner.
type question struct {
	page page
	job  *job // nil for none
	text string
	yes  func() tea.Cmd
	// idle says whether what it is about has ended by itself, nil for never. Then
	// it is not asked any more: what was wanted is done when that was just now.
	idle  func() bool
	asked time.Time
}

// justNow is how long after a key something that ends still ended in time for it:
// a command that was about to end is nothing to ask about.
const justNow = time.Second

// Model is the program's state. Make it with New.
type Model struct {
	ctx     context.Context
	backend backend.Backend
	store   *progress.Store
	theme   styles.Theme
	width   int
	height  int
	now     func() time.Time

	start    *startPage
	clusters *clusterPage
	page     page
	lab      *labPage // the one that was entered, kept while its page is left
	cluster  backend.ClusterState

	over     overlay // covers the page, nil for nothing
	prefix   string  // the key that is netdojo's in a shell
	mouse    bool    // the mouse is netdojo's
	question *question
	note     string // the status line
	running  sync.WaitGroup
}

// New makes the model. Its sessions end with ctx.
func New(ctx context.Context, o Options) *Model {
	store, err := progress.Open(o.StateDir)
	m := &Model{
		ctx: ctx, backend: o.Backend, store: store, theme: styles.New(true, o.ASCII),
		now: time.Now, width: 80, height: 24, prefix: cmp.Or(o.Prefix, keys.DefaultPrefix),
	}
	if err != nil {
		m.say("%v", err)
	}
	m.start, m.clusters = newStartPage(m), newClusterPage(m)
	m.page = m.start
	return m
}

// Close waits for everything that the model started, after its context ended.
func (m *Model) Close() {
	if m.lab != nil {
		m.lab.close()
	}
	m.running.Wait()
}

// say puts a sentence on the status line.
func (m *Model) say(format string, args ...any) {
	m.note = frame.Clean(fmt.Sprintf(format, args...))
}

func (m *Model) ask(of page, text string, yes func() tea.Cmd) {
	m.question = &question{page: of, text: text, yes: yes}
}

// askStop asks whether to end a session.
func (m *Model) askStop(of page, j *job, text string, yes func() tea.Cmd) {
	m.question = &question{page: of, job: j, text: text, yes: yes}
}

// save keeps the progress in a lab.
func (m *Model) save(lab string) {
	if err := m.store.Save(lab, m.now()); err != nil {
		m.say("%v", err)
	}
}

// labsMsg are the labs and the course that they make.
type labsMsg struct {
	labs   []*labs.Lab
	course *labs.Course
	err    error
}

// missingMsg is what the machine lacks.
type missingMsg []backend.Missing

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(
		tea.RequestBackgroundColor,
		func() tea.Msg {
			all, err := m.backend.Labs()
			if err != nil {
				return labsMsg{err: err}
			}
			course, err := m.backend.Course()
			return labsMsg{all, course, err}
		},
		m.askAgain(),
		m.askMissing(),
		m.askChoices(),
	)
}

// askMissing asks what this machine lacks for the cluster that is in use.
func (m *Model) askMissing() tea.Cmd {
	return func() tea.Msg { return missingMsg(m.backend.Missing(m.ctx)) }
}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.take(msg)
	if q := m.question; q != nil && q.idle != nil && q.idle() {
		m.question = nil
		if m.now().Sub(q.asked) < justNow {
			cmd = tea.Batch(cmd, q.yes())
		}
	}
	if m.page == page(m.lab) {
		cmd = tea.Batch(cmd, m.lab.refresh())
	}
	if m.fits() {
		w, h := m.body()
		m.page.fit(w, h)
		if m.over != nil {
			m.over.fit(w, h)
		}
	}
	return m, cmd
}

func (m *Model) take(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return nil
	case tea.BackgroundColorMsg:
		m.theme = styles.New(msg.IsDark(), m.theme.ASCII)
		if m.lab != nil {
			return m.lab.tell(pane.Restyled{})
		}
		return nil
	case tea.KeyPressMsg:
		if m.page == page(m.lab) {
			m.lab.lesson.Spend(m.now())
		}
		return m.key(msg)
	case tea.MouseMsg:
		m.pointed(msg)
		return nil
	case clusterMsg:
		return m.health(msg)
	case labsMsg, missingMsg:
		return m.start.update(msg)
	case choicesMsg, findingsMsg:
		return m.clusters.update(msg)
	case jobEvents:
		if p := m.owner(msg.job); p != nil {
			return p.update(msg)
		}
	case jobEnded:
		if m.question != nil && m.question.job == msg.job {
			m.question = nil // it has ended by itself
		}
		if p := m.owner(msg.job); p != nil {
			return p.update(msg)
		}
	}
	return tea.Batch(m.page.update(msg), m.behind(msg))
}

// owner is the page of a job that belongs to no lab, whether it is seen or not; nil
// for the lab's jobs.
func (m *Model) owner(j *job) page {
	switch j {
	case m.start.job:
		return m.start
	case m.clusters.job:
		return m.clusters
	}
	return nil
}

// behind gives a message to the lab when another page is in front of it.
func (m *Model) behind(msg tea.Msg) tea.Cmd {
	if _, typed := msg.(tea.PasteMsg); !typed && m.lab != nil && m.page != page(m.lab) {
		return m.lab.update(msg)
	}
	return nil
}

func (m *Model) key(msg tea.KeyPressMsg) tea.Cmd {
	if q := m.question; q != nil {
		m.question = nil
		if s := msg.String(); s == "y" || s == "Y" || s == "ctrl+c" {
			return q.yes()
		}
		m.say("Nothing was changed.")
		return nil
	}
	if m.over != nil {
		return m.over.key(msg)
	}
	if cmd, taken := m.page.grab(msg); taken {
		return cmd
	}
	if msg.String() == "ctrl+c" {
		return m.interrupt()
	}
	return m.press(msg.String())
}

// press does what a key is bound to.
func (m *Model) press(key string) tea.Cmd {
	b, ok := bindings.Find(key, m.scopes()...)
	if !ok {
		m.say("The key %s does nothing here; ? lists the keys.", key)
		return nil
	}
	if why := m.page.off(b.ID); why != "" {
		m.say("%s is off: %s.", strings.ToUpper(b.Short[:1])+b.Short[1:], why)
		return nil
	}
	return m.bound(b)
}

// scopes are where keys work now.
func (m *Model) scopes() []keys.Scope { return append(m.page.scopes(), keys.Everywhere) }

// bound does what a binding says.
func (m *Model) bound(b keys.Binding) tea.Cmd {
	m.note = ""
	switch b.ID {
	case keys.Help:
		m.over = &helpView{m: m}
		return nil
	case keys.Palette:
		m.over = &palette{m: m, all: m.actions()}
		return nil
	case keys.Mouse:
		m.mouse = !m.mouse
		if m.mouse {
			m.say("The mouse is netdojo's: a click focuses, the wheel scrolls. m gives it back.")
		} else {
			m.say("The mouse is the terminal's: its own selection works.")
		}
		return nil
	case keys.Suspend:
		return tea.Suspend
	case keys.Quit:
		return m.quit()
	}
	return m.page.do(b.ID)
}

// wheelLines is how far a step of the mouse's wheel scrolls.
const wheelLines = 3

// pointed takes what the mouse does.
func (m *Model) pointed(msg tea.MouseMsg) {
	if m.question != nil || !m.fits() {
		return
	}
	by := 0
	if wheel, ok := msg.(tea.MouseWheelMsg); ok {
		by = map[tea.MouseButton]int{tea.MouseWheelUp: -wheelLines, tea.MouseWheelDown: wheelLines}[wheel.Button]
	}
	if m.over != nil {
		m.over.scroll(by)
		return
	}
	if p, ok := m.page.(interface {
		pointed(msg tea.MouseMsg, x, y, wheel int)
	}); ok {
		at := msg.Mouse()
		p.pointed(msg, at.X, at.Y-1, by) // below the header
	}
}

// copyOut sends a text to the clipboard and keeps it in a file, since nothing
// says whether the terminal took it.
func (m *Model) copyOut(text string) tea.Cmd {
	file, err := m.backend.KeepCopy(text)
	if err != nil {
		m.say("Sent to the clipboard; the file was not written: %v", err)
	} else {
		m.say("Sent to the clipboard, if the terminal takes it; it is in %s too.", file)
	}
	return tea.SetClipboard(text)
}

// goTo shows a page.
func (m *Model) goTo(p page) {
	m.page, m.over = p, nil
	if m.question != nil && m.question.page != p {
		m.question = nil
	}
}
