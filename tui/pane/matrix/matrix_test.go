package matrix

import (
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/lesson"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/progress"
	"github.com/netdojo/netdojo/tui/styles"
)

// page has a lesson and a look, and no pane around it.
type page struct {
	pane.Page
	lesson *lesson.Lesson
}

func (p page) Lesson() *lesson.Lesson { return p.lesson }
func (p page) Theme() styles.Theme    { return styles.New(true, false) }

// TestRows: what is asked of one path in two ways is two rows that differ, and the
// verdicts are whole in the smallest window.
func TestRows(t *testing.T) {
	check := func(id string, args ...string) checks.Check {
		return checks.Check{ID: id, From: checks.From{Namespace: "default", App: "frontend"}, To: "http://backend:8080/public",
			Probe: checks.Spec{Probe: checks.Curl{Args: args}}, Before: "allowed", After: "denied-l7"}
	}
	store, err := progress.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	lab := &labs.Lab{ID: "05", Tasks: []labs.Task{{ID: "5.1", Checks: []checks.Check{check("read", "-s"), check("write", "-s", "-X", "POST")}}}}
	l := lesson.New(lab, "5.1", store)
	for i, v := range []checks.Kind{checks.DeniedL7, checks.Inconclusive} {
		l.Rows[i].Before, l.Rows[i].Now = &record.Check{Verdict: checks.Allowed}, &record.Check{Verdict: v}
	}
	for _, width := range []int{58, 78, 118, 198} {
		m := Kind.New(page{lesson: l})
		m.Resize(width, 10)
		lines := m.Lines()
		for i, want := range [][]string{
			{"from", "to", "without", "expected", "now"},
			{"GET ", "/public", "allowed", "denied-l7", "✗ denied-l7"},
			{"POST ", "/public", "allowed", "denied-l7", "✗ inconclusive"},
		} {
			if width < 60 {
				want = slices.Delete(want, 2, 3) // there is no room for what was before
			}
			line := ansi.Strip(lines[i])
			if ansi.StringWidth(line) != width {
				t.Errorf("%d wide: %q is %d", width, line, ansi.StringWidth(line))
			}
			for _, w := range want {
				_, rest, ok := strings.Cut(line, w)
				if !ok {
					t.Errorf("%d wide: %q lacks %q", width, ansi.Strip(lines[i]), w)
				}
				line = rest
			}
		}
	}
}
