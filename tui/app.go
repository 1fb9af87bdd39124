// Package tui is the terminal UI: pages that render the runner's events and
// send commands to it. What it asks of the world stands in Backend; it makes no
// call to a cluster itself.
package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/progress"
	"github.com/netdojo/netdojo/tui/styles"
)

// The smallest window that the pages fit in.
const (
	minWidth  = 60
	minHeight = 20
)

// Options is what the program is given.
type Options struct {
	Backend Backend
	// StateDir is where the progress is kept.
	StateDir string
	ASCII    bool
	// Prefix is the one key that is netdojo's while a shell has the focus, as a
	// key press spells itself; "" is keys.DefaultPrefix.
	Prefix string
	In     io.Reader // nil means the terminal
	Out    io.Writer
	Env    []string
}

// Run shows the screens until the learner quits or ctx ends. The terminal is
// restored and every session has ended when it returns.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := New(ctx, o)
	// Less than the usual 60: the renderer wakes for each frame, drawn or not. The
	// first one waits for its turn as well.
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithFPS(45)}
	if o.In != nil {
		opts = append(opts, tea.WithInput(o.In))
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
	return err
}

// page is one screen. Keys come to it as names of bindings.
type page interface {
	title() string
	scope() keys.Scope
	// grab takes a key press before the bindings do.
	grab(tea.KeyPressMsg) (tea.Cmd, bool)
	// off is why a binding does nothing now, "" when it works.
	off(keys.ID) string
	do(keys.ID) tea.Cmd
	update(tea.Msg) tea.Cmd
	view(width, height int) []string
}

// question is asked once; the key y says yes, any other no.
type question struct {
	text string
	yes  func() tea.Cmd
}

// Model is the program's state. Make it with New.
type Model struct {
	ctx     context.Context
	backend Backend
	store   *progress.Store
	theme   styles.Theme
	width   int
	height  int
	now     func() time.Time

	start   *startPage
	page    page
	lab     *labPage // the one that was entered, kept while its page is left
	cluster ClusterState

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
	m.start = newStartPage(m)
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

func (m *Model) ask(text string, yes func() tea.Cmd) { m.question = &question{text, yes} }

// save keeps the progress in a lab.
func (m *Model) save(lab string) {
	if err := m.store.Save(lab, m.now()); err != nil {
		m.say("%v", err)
	}
}

// clusterMsg is how the cluster was.
type clusterMsg struct {
	state ClusterState
	err   error
}

// labsMsg are the labs.
type labsMsg struct {
	labs []*labs.Lab
	err  error
}

// missingMsg is what the machine lacks.
type missingMsg []Missing

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(
		tea.RequestBackgroundColor,
		func() tea.Msg {
			all, err := m.backend.Labs()
			return labsMsg{all, err}
		},
		m.askCluster,
		func() tea.Msg { return missingMsg(m.backend.Missing(m.ctx)) },
	)
}

func (m *Model) askCluster() tea.Msg {
	st, err := m.backend.Cluster(m.ctx)
	return clusterMsg{st, err}
}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		if m.lab != nil {
			m.lab.resized()
		}
		return m, nil
	case tea.BackgroundColorMsg:
		m.theme = styles.New(msg.IsDark(), m.theme.ASCII)
		if m.lab != nil {
			m.lab.restyled()
		}
		return m, nil
	case tea.KeyPressMsg:
		return m, m.key(msg)
	case tea.MouseMsg:
		return m, m.pointed(msg)
	case clusterMsg:
		if msg.err != nil {
			m.say("%v", msg.err)
		} else {
			m.cluster = msg.state
		}
		if m.lab != nil {
			return m, m.lab.update(msg)
		}
		return m, nil
	case labsMsg, missingMsg, searchMsg:
		return m, m.start.update(msg)
	case jobEvents, jobEnded, tickMsg:
		return m, tea.Batch(m.page.update(msg), m.behind(msg))
	}
	if m.lab != nil && m.page != page(m.lab) {
		return m, tea.Batch(m.page.update(msg), m.lab.update(msg))
	}
	return m, m.page.update(msg)
}

// behind gives a message to the lab when another page is in front of it.
func (m *Model) behind(msg tea.Msg) tea.Cmd {
	if m.lab != nil && m.page != page(m.lab) {
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
	return m.press(msg.String())
}

// press does what a key is bound to.
func (m *Model) press(key string) tea.Cmd {
	b, ok := keys.Find(key, m.page.scope())
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
func (m *Model) pointed(msg tea.MouseMsg) tea.Cmd {
	if m.question != nil || !m.fits() {
		return nil
	}
	by := 0
	if wheel, ok := msg.(tea.MouseWheelMsg); ok {
		by = map[tea.MouseButton]int{tea.MouseWheelUp: -wheelLines, tea.MouseWheelDown: wheelLines}[wheel.Button]
	}
	if m.over != nil {
		m.over.scroll(by)
		return nil
	}
	if p, ok := m.page.(interface {
		pointed(msg tea.MouseMsg, x, y, wheel int) tea.Cmd
	}); ok {
		at := msg.Mouse()
		return p.pointed(msg, at.X, at.Y-1, by) // below the header
	}
	return nil
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

// quit ends the program, after a question when something runs.
func (m *Model) quit() tea.Cmd {
	if j := m.busy(); j != nil {
		m.ask(fmt.Sprintf("Stop %s and leave? y yes, any other key no", j.name), func() tea.Cmd {
			j.cancel()
			return tea.Quit
		})
		return nil
	}
	return tea.Quit
}

// busy is the session that runs, nil when none does.
func (m *Model) busy() *job {
	if p, ok := m.page.(*provisionPage); ok && p.job != nil {
		return p.job
	}
	if m.lab != nil {
		return m.lab.job
	}
	return nil
}

// goTo shows a page.
func (m *Model) goTo(p page) { m.page, m.over = p, nil }

// body is the size that is left for a page: a line above, two below.
func (m *Model) body() (width, height int) { return m.width, m.height - 3 }

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "netdojo " + frame.Clean(m.page.title())
	if m.mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	if m.page == page(m.lab) && m.over == nil && m.question == nil && m.fits() {
		v.Cursor = m.lab.cursor()
	}
	return v
}

func (m *Model) fits() bool { return m.width >= minWidth && m.height >= minHeight }

// lines is the whole screen.
func (m *Model) lines() []string {
	if !m.fits() {
		text := fmt.Sprintf("This window is %dx%d. netdojo needs %dx%d.", m.width, m.height, minWidth, minHeight)
		return frame.Block(frame.Wrap(text, max(m.width, 1), "", ""), m.width, m.height)
	}
	w, h := m.body()
	out := make([]string, 0, m.height)
	out = append(out, m.header())
	if m.over != nil {
		out = append(out, frame.Block(m.over.lines(w, h), w, h)...)
	} else {
		out = append(out, frame.Block(m.page.view(w, h), w, h)...)
	}
	return append(out, m.status(), m.footer())
}

func (m *Model) header() string {
	left := " netdojo  " + frame.Clean(m.page.title())
	right := "cluster " + m.cluster.Name + " " + m.cluster.Word() + " "
	if m.cluster.Name == "" {
		right = ""
	}
	room := m.width - ansi.StringWidth(right) - 1
	text := frame.Fit(frame.Short(left, room, m.theme), room) + " " + right
	if m.theme.ASCII {
		text = frame.ASCII(text)
	}
	return m.theme.Header.Render(frame.Fit(text, m.width))
}

func (m *Model) status() string {
	switch {
	case m.question != nil:
		return frame.Fit(m.theme.Warn.Render(frame.Short(" "+m.question.text, m.width, m.theme)), m.width)
	case m.note != "":
		return frame.Fit(m.theme.StatusOK.Render(frame.Short(" "+m.note, m.width, m.theme)), m.width)
	}
	return frame.Fit("", m.width)
}

// footer shows the keys that work now.
func (m *Model) footer() string {
	if m.over != nil {
		return frame.Fit(m.theme.Dim.Render(frame.Short(m.over.foot(), m.width, m.theme)), m.width)
	}
	if f, ok := m.page.(interface{ foot() string }); ok {
		if text := f.foot(); text != "" {
			return frame.Fit(m.theme.Dim.Render(frame.Short(text, m.width, m.theme)), m.width)
		}
	}
	always := m.footItems(keys.Everywhere, m.width)
	line := m.footItems(m.page.scope(), m.width-ansi.StringWidth(always)) + always
	return frame.Fit(line, m.width)
}

// footItems are a scope's keys that work now, as many as there is room for.
func (m *Model) footItems(scope keys.Scope, room int) string {
	line := ""
	for _, b := range keys.In(scope) {
		if !b.Footer || m.page.off(b.ID) != "" {
			continue
		}
		item := " " + m.theme.Key.Render(spellFirst(b)) + " " + m.theme.Dim.Render(b.Short) + " "
		if ansi.StringWidth(line)+ansi.StringWidth(item) > room {
			break
		}
		line += item
	}
	return line
}

func spellFirst(b keys.Binding) string {
	b.Keys = b.Keys[:1]
	return b.Label()
}

// helpLines are all bindings of the page and of everywhere; what is off says why.
func (m *Model) helpLines() []string {
	lines := []string{""}
	for _, scope := range []keys.Scope{m.page.scope(), keys.Everywhere} {
		lines = append(lines, "  "+m.theme.Title.Render(strings.ToUpper(string(scope)[:1])+string(scope)[1:]))
		for _, b := range keys.In(scope) {
			long := b.Long
			if why := m.page.off(b.ID); why != "" {
				long += " (off: " + why + ")"
			}
			head := frame.Fit("    "+m.theme.Key.Render(b.Label()), 18)
			lines = append(lines, frame.Wrap(long, m.width-1, head, strings.Repeat(" ", 18))...)
		}
		lines = append(lines, "")
	}
	if h, ok := m.page.(interface{ moreHelp() []string }); ok {
		lines = append(lines, h.moreHelp()...)
	}
	return lines
}
