package text

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/progress"
	"github.com/netdojo/netdojo/tui/styles"
)

// page has a lesson and a look, and notes what is said.
type page struct {
	pane.Page
	lesson *lesson.Lesson
	said   string
}

func (p *page) Lesson() *lesson.Lesson      { return p.lesson }
func (p *page) Theme() styles.Theme         { return styles.New(true, false) }
func (p *page) Say(format string, _ ...any) { p.said = format }
func (p *page) Show(pane.Pane)              {}

const long = "kubectl exec -ti ${BACKEND} -- curl -Ik --connect-timeout 5 https://kubernetes.io | head -1"

// newPane is a pane of a page that has commands, output, and commands far below.
func newPane(t *testing.T) (*text, *page) {
	t.Helper()
	store, err := progress.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	source := "# A page\n\n```bash\none\n```\n\n```\noutput\n```\n\n```bash\ntwo\n```\n" + strings.Repeat("\nText.\n", 30) + "\n```bash\n" + long + "\n```\n"
	lab := &labs.Lab{ID: "04", FS: fstest.MapFS{"p.md": {Data: []byte(source)}}, Tasks: []labs.Task{{ID: "4.1", Page: "p.md"}}}
	p := &page{lesson: lesson.New(lab, "4.1", store)}
	shown := Kind.New(p).(*text)
	shown.Resize(40, 12)
	return shown, p
}

// TestBlocks: what is chosen is code, the next from what is seen, and the last
// stays the last.
func TestBlocks(t *testing.T) {
	shown, p := newPane(t)
	for _, step := range []struct {
		key  keys.ID
		want string
	}{
		{NextBlock, "one"}, {NextBlock, "two"}, {PrevBlock, "one"}, {PrevBlock, "one"}, {NextBlock, "two"},
		{NextBlock, long}, {NextBlock, long}, {keys.Top, long}, {NextBlock, "one"}, {keys.Bottom, "one"}, {PrevBlock, long},
	} {
		p.said = ""
		shown.Do(step.key)
		if got := strings.TrimSpace(shown.chosen().Code); got != step.want {
			t.Errorf("after %s %q is chosen, want %q", step.key, got, step.want)
		}
	}
	shown.Do(keys.Bottom)
	shown.Do(NextBlock)
	if p.said == "" && shown.chosen().Code != long+"\n" {
		t.Error("after the last block comes another")
	}
}

// TestCommandsAreCopiedWhole: however narrow the pane.
func TestCommandsAreCopiedWhole(t *testing.T) {
	shown, _ := newPane(t)
	if got := shown.CopyText(); !strings.Contains(got, "\n"+long+"\n") {
		t.Errorf("copied:\n%s\nwant the command in one line", got)
	}
}
