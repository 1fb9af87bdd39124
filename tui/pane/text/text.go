// Package text is the pane of the task's page, and of its code blocks.
package text

import (
	"slices"

	tea "charm.land/bubbletea/v2"

	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/markdown"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/rows"
)

// Its bindings.
const (
	Show      keys.ID = "pane-text"
	PrevBlock keys.ID = "previous-block"
	NextBlock keys.ID = "next-block"
	RunBlock  keys.ID = "run-block"
	CopyBlock keys.ID = "copy-block"
)

// Kind is this kind of pane.
var Kind = pane.Kind{
	Name: "text", Place: pane.Left, New: func(p pane.Page) pane.Pane { return newText(p) },
	Keys: keys.List{
		{ID: Show, Keys: []string{"1"}, Short: "text", Long: "show the text", Scope: keys.Lab},
		{ID: PrevBlock, Keys: []string{"["}, Short: "block back", Long: "choose the code block before", Scope: keys.Lab},
		{ID: NextBlock, Keys: []string{"]"}, Short: "block", Long: "choose the next code block", Scope: keys.Lab, Footer: 8},
		{ID: RunBlock, Keys: []string{"x"}, Short: "run", Long: "type the chosen code block into the shell, and press Enter at an empty prompt", Scope: keys.Lab, Footer: 7},
		{ID: CopyBlock, Keys: []string{"y"}, Short: "copy block", Long: "send the chosen code block to the clipboard, and write it to a file", Scope: keys.Lab},
	},
}

type text struct {
	pane.Room
	page   pane.Page
	source string
	made   markdown.Page
	madeIn int // the width that it is made for; 0 when it is to be made
	block  int // the chosen one of made.Blocks, -1 for none
}

func newText(p pane.Page) *text {
	t := &text{page: p}
	t.turn()
	return t
}

// turn goes to the page of the lesson's task.
func (t *text) turn() {
	source, err := t.page.Lesson().Page()
	if err != nil {
		source = err.Error()
	}
	t.source, t.madeIn, t.block = source, 0, -1
	t.Top.Top = 0
	t.make()
}

// margin is left of the page, for the mark of the chosen block.
const margin = 2

func (t *text) make() {
	if width := t.Width - margin; width > 0 && t.madeIn != width {
		t.made, t.madeIn = markdown.Render(t.source, width, t.page.Theme()), width
		t.block = min(t.block, len(t.made.Blocks)-1)
	}
}

func (t *text) Resize(width, height int) {
	t.Room.Resize(width, height)
	t.make()
}

func (t *text) Title() string {
	task := t.page.Lesson().Task
	return "Task " + task.ID + "  " + task.Title
}

func (t *text) Off(id keys.ID) string {
	switch id {
	case RunBlock:
		switch run := t.page.Runner(); {
		case t.chosen() == nil:
			return t.noBlock()
		case !t.chosen().Shell():
			return "the block holds no commands"
		case run == nil:
			return "there is no shell"
		default:
			return run.NoRun()
		}
	case CopyBlock:
		if t.chosen() == nil {
			return t.noBlock()
		}
	case NextBlock, PrevBlock:
		if !slices.ContainsFunc(t.made.Blocks, func(b markdown.Block) bool { return b.Lang != "" }) {
			return "the page has no code blocks"
		}
	}
	return ""
}

func (t *text) noBlock() string {
	if len(t.made.Blocks) == 0 {
		return "the page has no code blocks"
	}
	return "no block is chosen; ] chooses one"
}

func (t *text) chosen() *markdown.Block {
	if t.block < 0 || t.block >= len(t.made.Blocks) {
		return nil
	}
	return &t.made.Blocks[t.block]
}

func (t *text) Do(id keys.ID) tea.Cmd {
	switch id {
	case NextBlock:
		t.step(1)
	case PrevBlock:
		t.step(-1)
	case RunBlock:
		t.page.Runner().Run(t.chosen().Code)
	case CopyBlock:
		return t.page.Copy(t.chosen().Code)
	default:
		t.Move(id, len(t.made.Lines))
	}
	return nil
}

// step chooses the next code block in a direction: from the chosen one where it is
// seen, else from what is seen. Output is no code.
func (t *text) step(by int) {
	top := t.Top.Moved(0, len(t.made.Lines), t.Height).Top
	from, at := top, -1
	if by < 0 {
		from = top + t.Height
	}
	if c := t.chosen(); c != nil && c.Last >= top && c.First < top+t.Height {
		from, at = c.First, t.block
	}
	for i := range t.made.Blocks {
		if by < 0 {
			i = len(t.made.Blocks) - 1 - i
		}
		b := t.made.Blocks[i]
		if i != at && b.Lang != "" && (b.First-from)*by >= 0 {
			t.choose(i)
			return
		}
	}
	t.page.Say("There is no code block more in this direction.")
}

// choose chooses a code block and brings it into view.
func (t *text) choose(i int) {
	t.block = i
	t.page.Show(t)
	b := t.made.Blocks[t.block]
	t.Top = t.Top.Showing(b.First, b.Last, len(t.made.Lines), t.Height)
}

func (t *text) Update(msg tea.Msg) tea.Cmd {
	switch msg.(type) {
	case pane.TaskSet:
		t.turn()
	case pane.Restyled:
		t.madeIn = 0
		t.make()
	}
	return nil
}

func (t *text) Scroll(by int) { t.ScrollBy(by, len(t.made.Lines)) }

func (t *text) Lines() []string {
	top := t.Top.Moved(0, len(t.made.Lines), t.Height)
	var out []string
	for i, line := range top.Cut(t.made.Lines, t.Height) {
		b := t.chosen()
		out = append(out, rows.Mark(b != nil && top.Top+i >= b.First && top.Top+i <= b.Last, t.page.Theme())+line)
	}
	return out
}

func (t *text) Whole(width int) []string {
	return markdown.Render(t.source, width, t.page.Theme()).Lines
}

// CopyText is the page with its commands whole, however narrow the pane.
func (t *text) CopyText() string { return markdown.Plain(t.source) }
