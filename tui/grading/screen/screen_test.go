package screen

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/tui/keys"
)

// evil is what a terminal would obey.
const evil = "\x1b]0;owned\x07\x1b[2J\u202e"

var at = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// folder is a grading.Source of thirty, of whom some have no record yet.
type folder struct {
	seen    grade.Seen
	records map[string]result.Record
	err     error
	read    []string
}

func (f *folder) Look() (grade.Seen, error) { return f.seen, f.err }

func (f *folder) Record(id string) (result.Record, error) {
	f.read = append(f.read, id)
	return f.records[id], nil
}

func newFolder() *folder {
	f := &folder{records: map[string]result.Record{}}
	f.seen.People = &roster.People{}
	for n := range 28 {
		id := fmt.Sprintf("s-%02d", n)
		f.seen.People.Entries = append(f.seen.People.Entries, roster.Entry{ID: id, Key: fmt.Sprint(n), Members: []roster.Person{{ID: fmt.Sprint(n), Name: fmt.Sprintf("Änn %02d of the 日本語 class%s", n, evil)}}})
		check := func(name string, passed bool) record.Check {
			c := record.Check{ID: name, Title: name + " is told" + evil, Phase: checks.After, From: "lobby/app=clerk", Command: []string{"curl", "http://" + name + evil}, Expect: checks.ExpectDenied, Verdict: checks.Denied, Cause: checks.CausePolicyDrop, Passed: passed}
			if passed {
				c.Evidence.Control = &checks.Control{Kind: checks.ControlBefore, To: "http://" + name}
				c.Evidence.Drop = &checks.Drop{Direction: "ingress", Protocol: "TCP", Source: "lobby/clerk-1", Destination: "vault/keys-1:80", Reason: "POLICY_DENIED", Policies: []checks.PolicyName{{Kind: "NetworkPolicy", Namespace: "vault", Name: "deny"}}}
			} else {
				c.Verdict, c.Cause, c.Why = checks.Allowed, checks.CauseOK, []string{"spec.ingress[0] of NetworkPolicy vault/open" + evil + " allows it"}
			}
			return c
		}
		r := result.Record{
			Schema: result.RecordSchema, ID: id, Status: result.Graded, Points: n % 5, Max: 4, TookMs: 2000,
			Submission: result.Submission{Digest: id, Problems: []submission.Problem{{File: "file1.yaml", Line: 3, Message: "not YAML" + evil}}},
			Tasks:      []result.Task{{ID: "2.1", Points: n % 5, Max: 4, Pairs: []result.Pair{{Allow: "board", Deny: "keys", Points: n % 5, Max: 4}}}},
			Run: record.Run{Tasks: []record.Task{{ID: "2.1", Hint: "Look at the selector." + evil, Checks: []record.Check{
				check("board", true), check("keys", n%5 > 3), check("safe", n%5 > 2), check("door", true),
			}}}},
		}
		if n == 3 {
			r.Status, r.Cause, r.Run = result.Failed, "the cluster failed"+evil, record.Run{}
		}
		f.records[id] = r
	}
	f.seen.Waiting = []string{"s-28", "s-29"}
	f.seen.Now = &grade.Now{Done: 28, Total: 30, RemainingMs: 5000, Judging: []grade.Turn{{ID: "s-28", Since: at.Add(-7 * time.Second)}}}
	f.classify()
	return f
}

func (f *folder) classify() {
	b := result.NewBuilder(result.Lab{ID: "02", Title: "Default deny" + evil}, "v1", 4, result.Weights{}, nil)
	for n := range 30 {
		if r, ok := f.records[fmt.Sprintf("s-%02d", n)]; ok {
			b.Add(r)
		}
	}
	b.Absent("s-absent")
	f.seen.Class = b.Class()
}

// driver presses keys, and looks at each screen.
type driver struct {
	*testing.T
	m *Model
}

func drive(t *testing.T, f *folder, o Options, width, height int) *driver {
	o.Source = f
	d := &driver{t, New(o, f.seen)}
	d.m.now = func() time.Time { return at }
	d.send(tea.WindowSizeMsg{Width: width, Height: height})
	return d
}

func (d *driver) send(msg tea.Msg) tea.Cmd {
	d.Helper()
	_, cmd := d.m.Update(msg)
	view := d.m.View()
	text := ansi.Strip(view.Content)
	if strings.ContainsAny(text+view.WindowTitle, "\x1b\x07\u202e") || strings.Contains(view.Content, "\x1b]") || strings.Contains(view.Content, "\x1b[2J") {
		d.Fatalf("a terminal would obey %q", view.Content)
	}
	lines := strings.Split(text, "\n")
	if len(lines) != d.m.height {
		d.Fatalf("%d lines in a window of %d:\n%s", len(lines), d.m.height, text)
	}
	for i, line := range lines {
		if w := ansi.StringWidth(line); w != d.m.width {
			d.Fatalf("line %d is %d wide in a window of %d: %q", i, w, d.m.width, line)
		}
		for _, r := range line {
			if d.m.theme.ASCII && r >= 0x80 {
				d.Fatalf("line %d holds %q, which is not ASCII: %q", i, r, line)
			}
		}
	}
	return cmd
}

var named = map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "end": tea.KeyEnd, "home": tea.KeyHome, "backspace": tea.KeyBackspace}

func (d *driver) keys(all ...string) {
	d.Helper()
	for _, k := range all {
		msg := tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		if code, ok := named[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		}
		d.send(msg)
	}
}

func (d *driver) text() string { return ansi.Strip(d.m.View().Content) }

func (d *driver) sees(what ...string) {
	d.Helper()
	for _, w := range what {
		if !strings.Contains(d.text(), w) {
			d.Errorf("no %q on the screen:\n%s", w, d.text())
		}
	}
}

func (d *driver) seesNot(what ...string) {
	d.Helper()
	for _, w := range what {
		if strings.Contains(d.text(), w) {
			d.Errorf("%q is on the screen:\n%s", w, d.text())
		}
	}
}

// The class, and down to what a verdict rests on, in each size.
func TestDrillDown(t *testing.T) {
	for _, size := range []struct {
		w, h  int
		ascii bool
	}{{60, 20, false}, {80, 24, true}, {120, 40, false}} {
		t.Run(fmt.Sprintf("%dx%d, ASCII %v", size.w, size.h, size.ascii), func(t *testing.T) {
			d := drive(t, newFolder(), Options{ASCII: size.ascii}, size.w, size.h)
			d.sees("grading of lab 02", "28 of 30 judged, about 5s left", "Mean", "s-00", "0/4", "no points, 2 of 4 checks", "failed: the cluster")
			d.seesNot("class of", "Änn")
			d.keys("down", "down", "enter")
			d.sees("s-02", "2.1/keys  allowed (ok), expected denied", "now", "why", "allows it", "pair")
			d.keys("f")
			d.sees("2.1/safe  allowed (ok), expected denied")
			d.keys("end")
			d.sees("Not applied", "file1.yaml:3")
			d.keys("home")
			d.sees("points")
			d.keys("down", "down")
			d.sees("control", "drop", "POLICY_DENIED")
			d.keys("esc", "end")
			d.sees("s-absent", "nothing was handed in", "being judged for 7 s", "waits")
			d.keys("?")
			d.sees("look into the chosen submission")
			d.keys("?")
			d.seesNot("look into the chosen submission")
		})
	}
	d := drive(t, newFolder(), Options{}, 59, 24)
	d.sees("This window is 59x24. netdojo needs 60x20.")
	d.send(tea.WindowSizeMsg{Width: 3, Height: 2})
}

// How a row stands is told by a word and a symbol: without any colour each is another.
func TestStatesWithoutColour(t *testing.T) {
	for _, ascii := range []bool{false, true} {
		d := drive(t, newFolder(), Options{ASCII: ascii}, 120, 60)
		glyphs := map[string]string{}
		for _, r := range d.m.rows {
			glyph, _ := d.m.glyph(r)
			if was, ok := glyphs[glyph]; ok && was != fmt.Sprint(r.State) {
				t.Errorf("%q is of two states", glyph)
			}
			glyphs[glyph] = fmt.Sprint(r.State)
		}
		if len(glyphs) != 7 {
			t.Errorf("%d states are shown: %v", len(glyphs), glyphs)
		}
	}
}

// Names are shown when they are wanted, and where the map is.
func TestNames(t *testing.T) {
	d := drive(t, newFolder(), Options{}, 120, 40)
	d.seesNot("Änn")
	d.keys("n")
	d.sees("Änn 00 of the 日本語 class")
	d.keys("enter")
	d.sees("Änn 00")
	d.keys("n")
	d.seesNot("Änn")
	f := newFolder()
	f.seen.People = &roster.People{}
	d = drive(t, f, Options{}, 80, 24)
	d.keys("n")
	d.sees("Names is off: there is no map of people beside these results.")
	drive(t, newFolder(), Options{Names: true}, 120, 40).sees("Änn 00")
}

// Words narrow the class down, and another order sorts it.
func TestSearchAndOrder(t *testing.T) {
	d := drive(t, newFolder(), Options{}, 80, 24)
	d.keys("/", "w", "a", "i", "t")
	d.sees("Search: wait_", "s-29")
	d.seesNot("s-00")
	d.keys("enter")
	d.sees(`1 with "wait" are shown; esc shows all.`)
	d.keys("esc")
	d.sees("▸ · s-29", "s-27")
	d.keys("/", "z", "z", "enter", "enter")
	d.sees("Nobody is shown.", "Look into it is off: nobody is shown.")
	d.keys("esc", "s", "s")
	d.sees("Sorted by state.")
	d.keys("home")
	if first := d.m.rows[0].ID; first != "s-28" {
		t.Errorf("%s is first by state", first)
	}
	d.keys("x")
	d.sees("The key x does nothing here; ? lists the keys.")
}

// What is judged meanwhile comes into the list, and nothing that is looked at moves away.
func TestFollows(t *testing.T) {
	f := newFolder()
	d := drive(t, f, Options{}, 80, 24)
	d.keys("end", "up", "up") // s-28, above s-29 and s-absent
	d.sees("being judged for 7 s")
	d.keys("enter")
	d.sees("s-28", "being judged for 7 s")
	r := f.records["s-01"]
	r.ID = "s-28"
	f.records["s-28"] = r
	f.seen.Waiting, f.seen.Now = []string{"s-29"}, &grade.Now{Done: 29, Total: 30}
	f.classify()
	if cmd := d.send(seenMsg{f.seen, nil}); cmd == nil {
		t.Error("it looks no more")
	}
	d.sees("29 of 30 judged", "2.1/keys  allowed (ok), expected denied")
	d.keys("down")
	was := d.text()
	reads := len(f.read)
	d.send(seenMsg{f.seen, nil})
	if d.text() != was || len(f.read) != reads {
		t.Errorf("a look at the same shows\n%s\nafter\n%s\nand read %v", d.text(), was, f.read)
	}
	d.send(seenMsg{grade.Seen{}, fmt.Errorf("gone" + evil)})
	d.sees("The results cannot be read: gone", "29 of 30 judged")
	d.send(seenMsg{f.seen, nil})
	d.seesNot("cannot be read")
	delete(f.records, "s-28") // forgotten
	f.classify()
	d.send(seenMsg{f.seen, nil})
	d.sees("The submission is not in the results any more.", "who")
	f.seen.Now, f.seen.Signed, f.seen.Waiting = nil, true, nil
	d.send(seenMsg{f.seen, nil})
	d.sees("28 judged, signed")
}

// Next and previous go through the class as it is shown.
func TestNext(t *testing.T) {
	d := drive(t, newFolder(), Options{}, 80, 24)
	d.keys("enter", "right", "right")
	d.sees("s-02")
	d.keys("left", "left", "left")
	d.sees("s-absent", "nothing was handed in")
	d.keys("f")
	d.sees("Next failed is off: no check failed.")
	if cmd := d.send(tea.KeyPressMsg{Code: 'q', Text: "q"}); cmd == nil {
		t.Error("q does not leave")
	}
}

// The documentation has the keys that there are.
func TestDocumentedKeys(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "grading.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), Bindings.Markdown()) {
		t.Errorf("docs/grading.md has not:\n%s", Bindings.Markdown())
	}
	seen := map[string]bool{}
	for _, b := range Bindings {
		for _, k := range b.Keys {
			for _, where := range []keys.Scope{b.Scope, keys.Everywhere} {
				if seen[string(where)+k] {
					t.Errorf("%s is bound twice", k)
				}
			}
			seen[string(b.Scope)+k] = true
		}
	}
}
