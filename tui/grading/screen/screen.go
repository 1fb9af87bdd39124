// Package screen is the screen of a grading run: who of a class has what, and a
// drill-down into what a verdict rests on, while the run goes on and after it. It reads
// results and changes nothing.
package screen

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/grading"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/styles"
)

// The smallest window that the pages fit in.
const (
	minWidth  = 60
	minHeight = 20
)

// Options is what the program is given.
type Options struct {
	Source grading.Source
	Names  bool // people's names are shown from the start
	ASCII  bool
	In     io.Reader // nil means the terminal
	Out    io.Writer // the same
}

// Scopes of the bindings.
const (
	class keys.Scope = "class"
	mark  keys.Scope = "submission"
)

// The names of bindings that no other screen has.
const (
	order      keys.ID = "order"
	names      keys.ID = "names"
	nextFailed keys.ID = "next-failed"
	next       keys.ID = "next"
	previous   keys.ID = "previous"
)

// Bindings are the screen's, in the order of its help.
var Bindings = keys.List{
	{ID: keys.Help, Keys: []string{"?"}, Short: "help", Long: "show or hide this help", Scope: keys.Everywhere, Footer: 1},
	{ID: keys.Quit, Keys: []string{"q", "ctrl+c"}, Short: "quit", Long: "leave; a run goes on", Scope: keys.Everywhere, Footer: 2},
	{ID: names, Keys: []string{"n"}, Short: "names", Long: "show people's names, or their pseudonyms again", Scope: keys.Everywhere, Footer: 3},
	{ID: keys.Suspend, Keys: []string{"ctrl+z"}, Short: "suspend", Long: "suspend netdojo; fg in your shell brings it back", Scope: keys.Everywhere},
	{ID: keys.Up, Keys: []string{"up", "k"}, Short: "up", Long: "the submission, or the check, above", Scope: keys.Everywhere},
	{ID: keys.Down, Keys: []string{"down", "j"}, Short: "down", Long: "the one below", Scope: keys.Everywhere},
	{ID: keys.PageUp, Keys: []string{"pgup"}, Short: "page up", Long: "scroll a page up", Scope: keys.Everywhere},
	{ID: keys.PageDown, Keys: []string{"pgdown", "space"}, Short: "page down", Long: "scroll a page down", Scope: keys.Everywhere},
	{ID: keys.Top, Keys: []string{"home", "g"}, Short: "top", Long: "go to the beginning", Scope: keys.Everywhere},
	{ID: keys.Bottom, Keys: []string{"end", "G"}, Short: "bottom", Long: "go to the end", Scope: keys.Everywhere},

	{ID: keys.Open, Keys: []string{"enter"}, Short: "look into it", Long: "look into the chosen submission: its checks, and what each verdict rests on", Scope: class, Footer: 1},
	{ID: keys.Search, Keys: []string{"/"}, Short: "search", Long: "show those alone that have some words, in their name or in how they stand", Scope: class, Footer: 2},
	{ID: order, Keys: []string{"s"}, Short: "order", Long: "sort by who, by points or by state", Scope: class, Footer: 3},

	{ID: nextFailed, Keys: []string{"f"}, Short: "next failed", Long: "the next check that failed", Scope: mark, Footer: 1},
	{ID: next, Keys: []string{"right", "l"}, Short: "next", Long: "the next submission", Scope: mark, Footer: 2},
	{ID: previous, Keys: []string{"left", "h"}, Short: "previous", Long: "the submission before", Scope: mark},
	{ID: keys.Back, Keys: []string{"esc"}, Short: "class", Long: "go back to the class", Scope: mark, Footer: 3},
}

// lookEvery is how often the folder is looked at.
const lookEvery = time.Second

// Run shows the screen until somebody leaves it or ctx ends.
func Run(ctx context.Context, o Options) error {
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithFPS(30)}
	if o.In != nil {
		opts = append(opts, tea.WithInput(o.In))
	}
	if o.Out != nil {
		opts = append(opts, tea.WithOutput(o.Out))
	}
	seen, err := o.Source.Look()
	if err != nil {
		return err
	}
	_, err = tea.NewProgram(New(o, seen), opts...).Run()
	if errors.Is(err, tea.ErrProgramKilled) && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

// Model is the screen's state. Make it with New.
type Model struct {
	from   grading.Source
	theme  styles.Theme
	width  int
	height int
	now    func() time.Time

	seen  grade.Seen
	err   error // why it is not known how the folder is now
	names bool
	order grading.Order
	// find narrows the class down; typing says that it is being typed.
	find   string
	typing bool
	rows   []grading.Row // those that are shown
	chosen string        // the pseudonym of the chosen one
	scroll frame.Scroll

	into *into // the submission that is looked into; nil for the class
	help bool
	note string // the status line
}

// into is a submission that is looked into.
type into struct {
	grading.Submission
	err    error
	at     int // the chosen check
	scroll frame.Scroll
	moved  bool // the chosen check is to be seen
}

// New makes the model of what was seen of a folder.
func New(o Options, seen grade.Seen) *Model {
	m := &Model{
		from: o.Source, theme: styles.New(true, o.ASCII), width: 80, height: 24, now: time.Now,
		names: o.Names, order: grading.ByWho,
	}
	m.take(seen)
	return m
}

// seenMsg is what a look saw.
type seenMsg struct {
	seen grade.Seen
	err  error
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return tea.Batch(tea.RequestBackgroundColor, m.look()) }

// look looks at the folder a moment later.
func (m *Model) look() tea.Cmd {
	return tea.Tick(lookEvery, func(time.Time) tea.Msg {
		seen, err := m.from.Look()
		return seenMsg{seen, err}
	})
}

// take takes what was seen.
func (m *Model) take(seen grade.Seen) {
	m.seen = seen
	at := m.at()
	all := grading.Rows(seen, m.names, m.order)
	m.rows = all[:0:0]
	for _, r := range all {
		if m.find == "" || r.Matches(m.find, m.now()) {
			m.rows = append(m.rows, r)
		}
	}
	if len(m.rows) > 0 && m.at() < 0 {
		m.chosen = m.rows[min(max(at, 0), len(m.rows)-1)].ID
	}
	if m.into == nil {
		return
	}
	for _, r := range all {
		if r.ID == m.into.Row.ID {
			m.read(r, m.into.at)
			return
		}
	}
	m.into = nil // it was forgotten
	m.say("The submission is not in the results any more.")
}

// at is the place of the chosen row, -1 where it is not shown.
func (m *Model) at() int {
	for i, r := range m.rows {
		if r.ID == m.chosen {
			return i
		}
	}
	return -1
}

// read looks into a row's submission, at one of its checks. What is known already is
// not read again.
func (m *Model) read(r grading.Row, at int) {
	was := m.into
	n := &into{at: at, moved: true}
	if was != nil && was.Row.ID == r.ID {
		n.scroll, n.moved = was.scroll, was.moved
		// The marks are those of the last look where nothing has changed since.
		if was.Row.Mark == r.Mark && was.Row.Who == r.Who && was.err == nil {
			was.Row = r
			return
		}
	}
	n.Submission, n.err = grading.Into(m.from, m.seen, r, m.names)
	n.Row = r
	if n.at < 0 || n.at >= len(n.Checks) {
		n.at = n.FirstFailed()
	}
	m.into = n
}

func (m *Model) say(text string) { m.note = frame.Clean(text) }

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.theme = styles.New(msg.IsDark(), m.theme.ASCII)
	case seenMsg:
		if m.err = msg.err; m.err == nil {
			m.take(msg.seen)
		}
		cmd = m.look()
	case tea.KeyPressMsg:
		cmd = m.key(msg)
	case tea.PasteMsg:
		if m.typing {
			m.find += frame.Clean(msg.Content)
			m.take(m.seen)
		}
	}
	m.fit()
	return m, cmd
}

func (m *Model) key(msg tea.KeyPressMsg) tea.Cmd {
	m.note = ""
	key := msg.String()
	switch {
	case m.help:
		m.help = false
		if key == "?" || key == "esc" {
			return nil
		}
	case m.typing:
		m.typed(msg)
		if key == "ctrl+c" {
			return tea.Quit
		}
		return nil
	}
	b, ok := Bindings.Find(key, m.scope(), keys.Everywhere)
	if !ok {
		if key == "esc" && m.find != "" {
			m.find = ""
			m.take(m.seen)
			return nil
		}
		m.say("The key " + key + " does nothing here; ? lists the keys.")
		return nil
	}
	if why := m.off(b.ID); why != "" {
		m.say(strings.ToUpper(b.Short[:1]) + b.Short[1:] + " is off: " + why + ".")
		return nil
	}
	return m.do(b.ID)
}

// typed takes a key while the words that are looked for are being typed.
func (m *Model) typed(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.find = false, ""
	case "backspace":
		letters := []rune(m.find)
		m.find = string(letters[:max(len(letters)-1, 0)])
	default:
		m.find += frame.Clean(msg.Text)
	}
	m.take(m.seen)
}

func (m *Model) scope() keys.Scope {
	if m.into != nil {
		return mark
	}
	return class
}

// off is why a binding does nothing now, "" when it works.
func (m *Model) off(id keys.ID) string {
	switch {
	case id == names && !m.names && !grading.HasNames(m.seen):
		return "there is no map of people beside these results"
	case id == keys.Open && m.at() < 0:
		return "nobody is shown"
	case id == nextFailed && (len(m.into.Checks) == 0 || m.into.Checks[m.into.FirstFailed()].Passed):
		return "no check failed"
	case (id == next || id == previous) && len(m.rows) < 2:
		return "there is no other"
	}
	return ""
}

func (m *Model) do(id keys.ID) tea.Cmd {
	switch id {
	case keys.Help:
		m.help = true
	case keys.Quit:
		return tea.Quit
	case keys.Suspend:
		return tea.Suspend
	case names:
		m.names = !m.names
		if m.into != nil {
			m.into.Row.Who = "" // it is read again
		}
		m.take(m.seen)
	case keys.Search:
		m.typing = true
	case order:
		for i, o := range grading.Orders {
			if o == m.order {
				m.order = grading.Orders[(i+1)%len(grading.Orders)]
				break
			}
		}
		m.take(m.seen)
		m.say("Sorted by " + string(m.order) + ".")
	case keys.Open:
		m.read(m.rows[m.at()], -1)
	case keys.Back:
		m.into = nil
	case next, previous:
		by := 1
		if id == previous {
			by = len(m.rows) - 1
		}
		m.chosen = m.rows[(max(m.at(), 0)+by)%len(m.rows)].ID
		m.read(m.rows[m.at()], -1)
	case nextFailed:
		n := m.into
		for i := range n.Checks {
			if at := (n.at + 1 + i) % len(n.Checks); !n.Checks[at].Passed {
				n.at, n.moved = at, true
				break
			}
		}
	default:
		m.move(id)
	}
	return nil
}

// move moves what is chosen, or scrolls.
func (m *Model) move(id keys.ID) {
	page := max(m.height-6, 1)
	if m.into != nil {
		n := m.into
		by := map[keys.ID]int{keys.PageUp: -page, keys.PageDown: page, keys.Top: -1 << 20, keys.Bottom: 1 << 20}[id]
		if by != 0 {
			w, h := m.body()
			lines, _, _ := m.markLines(w)
			n.scroll, n.moved = n.scroll.Moved(by, len(lines), h), false
			return
		}
		n.at += map[keys.ID]int{keys.Up: -1, keys.Down: 1}[id]
		n.at, n.moved = max(min(n.at, len(n.Checks)-1), 0), true
		return
	}
	if len(m.rows) == 0 {
		return
	}
	by := map[keys.ID]int{keys.Up: -1, keys.Down: 1, keys.PageUp: -page, keys.PageDown: page, keys.Top: -1 << 20, keys.Bottom: 1 << 20}[id]
	m.chosen = m.rows[max(min(m.at()+by, len(m.rows)-1), 0)].ID
}

// fit makes ready what is drawn.
func (m *Model) fit() {
	w, h := m.body()
	if m.into != nil {
		if lines, first, last := m.markLines(w); m.into.moved {
			m.into.scroll = m.into.scroll.Showing(first, last, len(lines), h)
		} else {
			m.into.scroll = m.into.scroll.Moved(0, len(lines), h)
		}
		return
	}
	at := max(m.at(), 0)
	m.scroll = m.scroll.Showing(at, at, len(m.rows), h-len(m.head(w)))
}
