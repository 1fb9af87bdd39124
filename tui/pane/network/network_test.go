package network

import (
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
	ascii  bool
}

func (p page) Lesson() *lesson.Lesson { return p.lesson }
func (p page) Theme() styles.Theme    { return styles.New(true, p.ascii) }

func opened(t *testing.T, all ...checks.Check) *lesson.Lesson {
	t.Helper()
	store, err := progress.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return lesson.New(&labs.Lab{ID: "05", Tasks: []labs.Task{{ID: "5.1", Checks: all}}}, "5.1", store)
}

// TestMapChanges: the map is that of the last verdicts, before the apply and after,
// as boxes where there is room and as a tree where there is not.
func TestMapChanges(t *testing.T) {
	check := func(id string, args ...string) checks.Check {
		return checks.Check{ID: id, From: checks.From{Namespace: "default", App: "frontend"}, To: "http://backend:8080/public",
			Probe: checks.Spec{Probe: checks.Curl{Args: args}}, Before: "allowed", After: "denied-l7"}
	}
	l := opened(t, check("read", "-s"), check("write", "-s", "-X", "POST"))
	seen := func(width int, ascii bool) string {
		m := Kind.New(page{lesson: l, ascii: ascii})
		m.Resize(width, 12)
		lines := m.Lines()
		for _, line := range lines {
			if w := ansi.StringWidth(line); w > width {
				t.Errorf("%d of %d cells: %q", w, width, line)
			}
		}
		return ansi.Strip(strings.Join(lines, "\n"))
	}
	sees := func(text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%q is not shown:\n%s", w, text)
			}
		}
	}
	sees(seen(78, false), "╭ pods ─", "│ frontend", "╭ Service ", "│ backend ", "· unjudged 8080/TCP GET /public", "POST", "▸│")
	for i := range l.Rows {
		l.Rows[i].Before = &record.Check{Verdict: checks.Allowed}
	}
	sees(seen(78, false), "✓ allowed 8080/TCP GET /public", "✓ allowed 8080/TCP POST /public")
	l.Rows[1].Running = checks.After
	sees(seen(78, false), "● running 8080/TCP POST")
	l.Rows[1].Running = ""
	l.Rows[0].Now, l.Rows[1].Now = &record.Check{Verdict: checks.Allowed}, &record.Check{Verdict: checks.DeniedL7}
	sees(seen(78, false), "✓ allowed   8080/TCP GET /public", "⊘ denied-l7 8080/TCP POST /public ╌", "denied-l7: the connection is allowed")
	sees(seen(78, true), "| frontend +- + allowed   8080/TCP", "+. % denied-l7 8080/TCP")
	sees(seen(58, false), "frontend (pods)", "╰─ backend (Service)", "├─ ✓ allowed 8080/TCP GET", "╰─ ⊘ denied-l7 8080/TCP POST")
	l.Rows[1].Stale = true
	sees(seen(78, false), "○ denied-l7", "○: something changed since")
}

// TestNothingToDraw: a task of objects has no map, and says so.
func TestNothingToDraw(t *testing.T) {
	m := Kind.New(page{lesson: opened(t, checks.Check{ID: "object", Probe: checks.Spec{Probe: checks.Kubectl{}}})})
	m.Resize(60, 5)
	if text := ansi.Strip(strings.Join(m.Lines(), "\n")); !strings.Contains(text, "open no connection") {
		t.Errorf("%q", text)
	}
}
