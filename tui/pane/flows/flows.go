// Package flows is the pane of the connections that the datapath judges.
package flows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/flow"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/queue"
	"github.com/netdojo/netdojo/tui/rows"
	"github.com/netdojo/netdojo/tui/styles"
)

// Its bindings.
const (
	Show    keys.ID = "pane-flows"
	Explain keys.ID = "explain-flow"
	Filter  keys.ID = "filter-flows"
	Search  keys.ID = "search-flows"
	Others  keys.ID = "other-flows"
)

var own = keys.Pane("flows")

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "flows", Place: pane.Drawer, New: func(p pane.Page) pane.Pane { return newFlows(p) },
	Keys: keys.List{
		{ID: Show, Keys: []string{"4"}, Short: "flows", Long: "show connections as they are allowed and dropped", Scope: keys.Lab},
		{ID: Explain, Keys: []string{"enter"}, Short: "explain", Long: "explain the chosen connection: the check that it is of, or all that is known of it", Scope: own, Footer: 1},
		{ID: Filter, Keys: []string{"f"}, Short: "filter", Long: "show only what was refused, only what was allowed, or both", Scope: own, Footer: 1},
		{ID: Search, Keys: []string{"/"}, Short: "search", Long: "show only connections that hold a text", Scope: own, Footer: 1},
		{ID: Others, Keys: []string{"o"}, Short: "others", Long: "show connections that are not the lab's too, or hide them", Scope: own, Footer: 1},
	},
}

const (
	// kept bounds the connections that are kept, waiting the flows before they are
	// taken into them.
	kept    = 500
	waiting = 2000
)

// pause gathers flows, so that many of them make few frames.
const pause = 50 * time.Millisecond

// shown is which verdicts are shown.
type shown int

const (
	both shown = iota
	refused
	allowed
)

type flows struct {
	pane.Room
	page      pane.Page
	log       *flow.Log
	err       error // why no more come
	in        *queue.Queue[flow.Flow]
	namespace string // of the lab's pods

	chosen    int  // of the connections that are shown
	held      bool // the learner chose: new ones do not move what is seen
	open      bool // all that is known of the chosen one is told
	filter    shown
	others    bool
	query     string
	searching bool
}

func newFlows(p pane.Page) *flows {
	return &flows{page: p, log: flow.NewLog(kept), in: queue.New[flow.Flow](waiting), namespace: p.Lesson().Lab.Namespace}
}

// Arrived are flows for a pane.
type Arrived struct {
	To    pane.Pane
	Flows []flow.Flow
}

type ended struct {
	to  *flows
	err error
}

type located struct {
	to        *flows
	namespace string
}

func (f *flows) Title() string {
	title := "Flows"
	switch f.filter {
	case refused:
		title += ", refused"
	case allowed:
		title += ", allowed"
	}
	if f.query != "" || f.searching {
		title += " /" + f.query
		if f.searching {
			title += "_"
		}
	}
	if hidden := len(f.log.All()) - len(f.connections()); hidden > 0 {
		title += fmt.Sprintf(" (%d hidden)", hidden)
	}
	return title
}

func (f *flows) Off(id keys.ID) string {
	if id == Explain && len(f.connections()) == 0 {
		return "no connection is shown"
	}
	return ""
}

// follow reads flows until the lab is left.
func (f *flows) follow() tea.Cmd {
	over := make(chan error, 1)
	f.page.Go(func() {
		defer f.in.Close()
		over <- f.page.Backend().Flows(f.page.Context(), f.in.Put)
	})
	lab := f.page.Lesson().Lab
	return tea.Batch(f.next, func() tea.Msg { return ended{f, <-over} }, func() tea.Msg {
		namespace, err := f.page.Backend().Namespace(f.page.Context(), lab)
		if err != nil {
			namespace = lab.Namespace // as the lab has it
		}
		return located{f, namespace}
	})
}

func (f *flows) next() tea.Msg {
	if all, ok := f.in.Take(); ok {
		return Arrived{f, all}
	}
	return nil
}

func (f *flows) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case pane.Entered:
		return f.follow()
	case located:
		if msg.to == f {
			f.namespace = msg.namespace
		}
	case Arrived:
		if msg.To != pane.Pane(f) {
			return nil
		}
		f.add(msg.Flows)
		return tea.Tick(pause, func(time.Time) tea.Msg { return f.next() })
	case ended:
		if msg.to != f || f.page.Context().Err() != nil {
			return nil
		}
		if f.err = msg.err; errors.Is(msg.err, backend.ErrNoFlows) {
			return nil
		}
		if msg.err == nil {
			msg.err = errors.New("the cluster went away")
		}
		f.err = fmt.Errorf("the flows ended: %w", msg.err)
		return f.page.AskCluster()
	case tea.PasteMsg:
		if f.searching && f.page.Focused(f) {
			f.query += frame.Clean(msg.Content)
		}
	}
	return nil
}

// add takes flows in. The chosen connection stays chosen where the learner chose.
func (f *flows) add(more []flow.Flow) {
	var was flow.Connection
	if all := f.connections(); f.held && f.chosen < len(all) {
		was = all[f.chosen]
	}
	for _, one := range more {
		f.log.Add(one)
	}
	all := f.connections()
	f.chosen = max(len(all)-1, 0)
	if f.held {
		f.chosen = max(slices.IndexFunc(all, func(c flow.Connection) bool {
			return c.First.Equal(was.First) && c.From == was.From && c.To == was.To && c.What == was.What && c.Verdict == was.Verdict
		}), 0)
	}
	f.place()
}

// connections are those that are shown.
func (f *flows) connections() []flow.Connection {
	lab := f.page.Lesson().Namespaces(f.namespace)
	return slices.DeleteFunc(f.log.All(), func(c flow.Connection) bool {
		return !f.others && !c.Of(lab...) || f.filter == refused && !c.Refused() || f.filter == allowed && c.Refused() ||
			f.query != "" && !c.Holds(f.query)
	})
}

// Grab takes the letters of a search.
func (f *flows) Grab(msg tea.KeyPressMsg) (tea.Cmd, bool) {
	if !f.searching {
		return nil, false
	}
	switch key := msg.String(); {
	case key == "enter":
		f.searching = false
	case key == "esc", key == "ctrl+c":
		f.searching, f.query = false, ""
	case key == "backspace":
		if r := []rune(f.query); len(r) > 0 {
			f.query = string(r[:len(r)-1])
		}
	case msg.Text != "":
		f.query += frame.Clean(msg.Text)
	}
	f.last()
	return nil, true
}

func (f *flows) Foot() string {
	if f.searching {
		return " type to find, enter keeps what is found, esc shows all again"
	}
	return ""
}

func (f *flows) Do(id keys.ID) tea.Cmd {
	switch id {
	case Explain:
		f.explain()
	case Filter:
		f.filter = (f.filter + 1) % (allowed + 1)
		f.last()
	case Search:
		f.searching, f.query = true, ""
		f.last()
	case Others:
		f.others = !f.others
		f.last()
	default:
		if by, ok := pane.By(id, f.Height); ok {
			f.Scroll(by)
		}
	}
	return nil
}

// explain goes to the explanation of the check that the chosen connection is of,
// or tells all that is known of one of none.
func (f *flows) explain() {
	all := f.connections()
	c := all[min(f.chosen, len(all)-1)]
	if i := check(c, f.page.Lesson().Rows, f.page.Lesson().Lab.Namespace, f.namespace); i >= 0 && f.page.Explain(i) {
		return
	}
	f.open, f.held = !f.open, true
	f.place()
}

// last goes to the newest connection.
func (f *flows) last() {
	f.chosen, f.held, f.open = max(len(f.connections())-1, 0), false, false
	f.place()
}

func (f *flows) Scroll(by int) {
	n := len(f.connections())
	f.chosen = min(max(f.chosen+by, 0), max(n-1, 0))
	f.held, f.open = f.chosen < n-1, false
	f.place()
}

// place scrolls the chosen connection into view.
func (f *flows) place() {
	lines, first, last := f.text(f.Width)
	f.Top = f.Top.Showing(first, last, len(lines), f.Height)
}

func (f *flows) Resize(width, height int) {
	if width != f.Width || height != f.Height {
		f.Room.Resize(width, height)
		f.place()
	}
}

func (f *flows) Lines() []string {
	lines, _, _ := f.text(f.Width)
	return f.Top.Cut(lines, f.Height)
}

func (f *flows) Whole(width int) []string {
	lines, _, _ := f.text(width)
	return lines
}

// text is all there is, and the lines of the chosen connection.
func (f *flows) text(width int) (lines []string, first, last int) {
	t, all := f.page.Theme(), f.connections()
	switch {
	case len(all) > 0:
	case f.err != nil:
		return frame.Wrap(frame.Clean(f.err.Error()), width-2, " ", " "), 0, 0
	case len(f.log.All()) > 0:
		return frame.Wrap("Nothing that is shown here: f, / and o say what is.", width-2, " ", " "), 0, 0
	default:
		return []string{" No connection yet. What the pods do appears here."}, 0, 0
	}
	wide := 0
	for _, c := range all {
		wide = min(max(wide, ansi.StringWidth(frame.Clean(c.Policies()))), 40, width/3)
	}
	for i, c := range all {
		if i == f.chosen {
			first = len(lines)
		}
		lines = append(lines, rows.Mark(i == f.chosen, t)+line(c, f.namespace, wide, width-2, t))
		if i == f.chosen && f.open {
			lines = append(lines, details(c, width, t)...)
		}
		if i == f.chosen {
			last = len(lines) - 1
		}
	}
	return lines, first, last
}

// line is a connection in a line: what became of it and by which policy, then the
// connection.
func line(c flow.Connection, namespace string, wide, width int, t styles.Theme) string {
	glyph, style, verdict := t.Pass, t.Good, c.Verdict
	switch {
	case c.Refused():
		glyph, style = t.Fail, t.Bad
	case c.Verdict != flow.Allowed:
		glyph, style = t.Run, t.Warn
	}
	if c.Code != 0 {
		verdict = fmt.Sprintf("HTTP %d", c.Code)
	}
	from, to := c.Ends(namespace)
	text := ""
	if wide > 0 {
		text = frame.Fit(frame.Short(frame.Clean(c.Policies()), wide, t), wide) + "  "
	}
	text += from + " " + t.Arrow + " " + to
	if c.What != "" {
		text += " " + c.What
	}
	if c.Count > 1 {
		text += fmt.Sprintf("  %s%d", t.Times, c.Count)
	}
	if c.Reason != "" {
		text += "  " + c.Reason
	}
	room := width - 13 - 9
	return style.Render(frame.Fit(glyph+" "+verdict, 11)) + " " + frame.Fit(frame.Short(frame.Clean(text), room, t), room) + " " +
		t.Dim.Render(c.At.Format("15:04:05"))
}

// details are all that is known of a connection.
func details(c flow.Connection, width int, t styles.Theme) []string {
	var lines []string
	from, to := c.Ends("")
	for _, fact := range [][2]string{
		{"from", from}, {"to", to}, {"what", c.What}, {"reason", c.Reason}, {"policy", strings.Join(c.By, ", ")},
		{"seen", fmt.Sprintf("%d times since %s", c.Count, c.First.Format("15:04:05"))},
	} {
		if fact[1] != "" {
			lines = append(lines, frame.Wrap(frame.Clean(fact[1]), width-1, "    "+t.Dim.Render(frame.Fit(fact[0], 10)), strings.Repeat(" ", 14))...)
		}
	}
	return lines
}
