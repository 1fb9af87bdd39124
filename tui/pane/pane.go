// Package pane is the contract between the lab page and its panes. A pane is a
// package below this one, and a line in the page's list of kinds; the page keeps
// layout and focus, and knows no pane by name.
package pane

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/backend"
	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/styles"
)

// Place is where a pane stands on a page that has room for several.
type Place int

// Places. The drawer holds one pane at a time.
const (
	Left Place = iota
	Right
	Drawer
)

// Kind is a kind of pane.
type Kind struct {
	Name  string // names the scope of keys that it has only with the focus
	Place Place
	// Keys are its bindings; the first shows it.
	Keys keys.List
	// Raw lines are drawn as they are where all else is spelt in ASCII: a program's
	// own.
	Raw bool
	New func(Page) Pane
}

// Pane is a part of the lab page. Title, Off, Lines and Whole change nothing;
// all calls come from one goroutine.
type Pane interface {
	// Title is the border's.
	Title() string
	// Off is why one of its keys does nothing now, "" when it works.
	Off(keys.ID) string
	// Do does what one of its keys says, or moves with the focus: Up, Down, PageUp,
	// PageDown, Top, Bottom.
	Do(keys.ID) tea.Cmd
	// Update takes what is not a key: the messages of its own commands, and those
	// of this package.
	Update(tea.Msg) tea.Cmd
	// Resize gives it room for its lines, in cells.
	Resize(width, height int)
	// Scroll moves what is seen by lines, as a mouse's wheel does.
	Scroll(lines int)
	// Lines are what is seen: at most the room's height.
	Lines() []string
	// Whole is all that it has, in a width, to copy from.
	Whole(width int) []string
}

// What a pane may be beside that.
type (
	// Grabber takes keys before any binding while it has the focus.
	Grabber interface {
		Grab(tea.KeyPressMsg) (tea.Cmd, bool)
	}
	// Footer has a footer of its own while it has the focus, "" for the page's.
	Footer interface{ Foot() string }
	// Cursored shows the terminal's cursor while it has the focus; false hides it.
	Cursored interface{ Cursor() (x, y int, ok bool) }
	// Pointed takes the mouse at a place of its lines, and says whether it wants it.
	Pointed interface {
		Mouse(msg tea.MouseMsg, x, y int) bool
	}
	// Refresher asks for what it shows when that may be out of date. It is called
	// after everything that happened, while the pane is seen.
	Refresher interface{ Refresh() tea.Cmd }
	// Explainer explains the chosen check.
	Explainer interface{ ExplainsChecks() }
	// Asker asks the task's questions.
	Asker interface{ AsksQuestions() }
	// Urger says of its keys which are to be proposed before all others.
	Urger interface{ Urgent(keys.ID) bool }
	// Opener does what the key that shows it says; without it the page shows it.
	Opener interface{ Open() tea.Cmd }
	// Zoomer takes the key that zooms; false leaves it to the page.
	Zoomer interface{ Zoom() (tea.Cmd, bool) }
	// Copier gives another text to copy than its whole lines.
	Copier interface{ CopyText() string }
	// Runner runs commands of a page.
	Runner interface {
		// NoRun is why it cannot now, "" when it can.
		NoRun() string
		// Run types it and says whether it could; why not is told.
		Run(code string) bool
		// Dir is the folder that it is in, "" when that is not known.
		Dir() string
	}
	// Interrupter has a program that ctrl-c is for, from wherever it is pressed.
	Interrupter interface {
		// Job is the program that runs in the foreground, "" for none.
		Job() string
		// Interrupt gives it a ctrl-c.
		Interrupt()
	}
)

// Messages to all panes.
type (
	// TaskSet says that the lesson is at a task anew: nothing is known of it.
	TaskSet struct{}
	// Entered says that the lab's pods are there.
	Entered struct{}
	// Changed says that the cluster is not as it was.
	Changed struct{}
	// Restyled says that the theme is another.
	Restyled struct{}
)

// Page is the lab page, as its panes know it.
type Page interface {
	Lesson() *lesson.Lesson
	Theme() styles.Theme
	Backend() backend.Backend
	// Context ends with the lab.
	Context() context.Context
	// Go runs a function beside the page, which is waited for at the end.
	Go(func())
	// Save keeps the progress.
	Save()
	// Say puts a sentence on the status line.
	Say(format string, args ...any)
	// Ask asks once; yes is what happens then.
	Ask(text string, yes func() tea.Cmd)
	// Show brings a pane to the front and focuses it.
	Show(Pane)
	// Seen says whether a pane is on the page now, Focused whether it has the keys.
	Seen(Pane) bool
	Focused(Pane) bool
	// Together says whether several panes are seen at once.
	Together() bool
	// Press does what a key of the page is bound to.
	Press(key string) tea.Cmd
	// Prefix is the key that is netdojo's while a pane takes all keys, and
	// PrefixKeys what can come after it.
	Prefix() string
	PrefixKeys() string
	// Copy sends a text to the clipboard.
	Copy(text string) tea.Cmd
	// Runner is the pane that runs commands, nil where there is none.
	Runner() Runner
	// Explain chooses a check and shows the pane that explains it; false where there
	// is none.
	Explain(check int) bool
	// AskCluster asks how the cluster is.
	AskCluster() tea.Cmd
}

// Room is a pane's room and where its lines are scrolled to. Panes embed it.
type Room struct {
	Width, Height int
	Top           frame.Scroll
}

// Resize implements Pane.
func (r *Room) Resize(width, height int) { r.Width, r.Height = width, height }

// By is how many lines a key that moves goes, in lines of which height are seen.
func By(id keys.ID, height int) (int, bool) {
	by, ok := map[keys.ID]int{
		keys.Up: -1, keys.Down: 1, keys.PageUp: 1 - height, keys.PageDown: height - 1, keys.Top: -1 << 30, keys.Bottom: 1 << 30,
	}[id]
	return by, ok
}

// Move scrolls by a key, in a text of so many lines.
func (r *Room) Move(id keys.ID, lines int) {
	if by, ok := By(id, r.Height); ok {
		r.Top = r.Top.Moved(by, lines, r.Height)
	}
}

// ScrollBy scrolls by lines.
func (r *Room) ScrollBy(by, lines int) { r.Top = r.Top.Moved(by, lines, r.Height) }
