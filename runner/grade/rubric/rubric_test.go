package rubric

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/record"
)

const whole = `# what counts
pairs:
  - {task: "1", allow: a, deny: b, points: 3}
  - allow: a
    deny: c
    points: 0
late:
  due: 2026-11-20T23:59:00Z
  percent: 10
  per: hour
  grace: 15m
  most: 50
  closes: 2026-11-27T23:59:00Z
round: {to: 0.5, way: down}
`

var tasks = []result.Task{
	{ID: "1", Pairs: []result.Pair{{Allow: "a", Deny: "b", Max: 1}, {Allow: "a", Deny: "c", Max: 1}, {Allow: "d", Deny: "c", Max: 2}}},
	{ID: "2", Pairs: []result.Pair{{Allow: "a", Deny: "b", Max: 1}}},
}

func TestParse(t *testing.T) {
	for _, text := range []string{whole, "\xef\xbb\xbf" + strings.ReplaceAll(whole, "\n", "\r\n")} {
		f, err := Parse("rubric.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		closes := time.Date(2026, 11, 27, 23, 59, 0, 0, time.UTC)
		if want := (result.Late{Percent: 10, Hourly: true, GraceMinutes: 15, Most: 50, Closes: closes}); f.Late != want {
			t.Errorf("late is %+v", f.Late)
		}
		if !f.Due.Equal(closes.AddDate(0, 0, -7)) || f.Round != (result.Rounding{To: 0.5, Way: "down"}) {
			t.Errorf("due %s, round %+v", f.Due, f.Round)
		}
		r, err := f.Resolve(tasks)
		if err != nil {
			t.Fatal(err)
		}
		want := []result.PairWeight{{Task: "1", Allow: "a", Deny: "b", Points: 3}, {Task: "1", Allow: "a", Deny: "c"}, {Task: "1", Allow: "d", Deny: "c", Points: 2}, {Task: "2", Allow: "a", Deny: "b", Points: 1}}
		if len(r.Pairs) != len(want) {
			t.Fatalf("pairs are %+v", r.Pairs)
		}
		for i := range want {
			if r.Pairs[i] != want[i] {
				t.Errorf("pair %d is %+v, want %+v", i, r.Pairs[i], want[i])
			}
		}
	}
}

// What is wrong is told with its line and a cure.
func TestWrongRubrics(t *testing.T) {
	for _, tc := range []struct{ text, want, cure string }{
		{"", "r.yaml:1: it is empty", "docs/grading.md"},
		{"# nothing\n", "r.yaml:1: it is empty", "docs/grading.md"},
		{"pairs: [\n", "r.yaml:2: not YAML", "indentation"},
		{"- a\n", "r.yaml:1: the rubric is no mapping", "pairs, late, round"},
		{"round: {to: 1}\n---\nround: {to: 2}\n", "r.yaml:2: a second document begins", "one rubric"},
		{"late:\n  persent: 10\n", `r.yaml:2: late has no field "persent"`, "write percent"},
		{"round: {to: 1}\nround: {to: 2}\n", "r.yaml:2: the rubric has round twice", "keep one"},
		{"pairs: {a: b}\n", "r.yaml:1: pairs is no list", "allow: CHECK"},
		{"pairs:\n- {allow: a, points: 1}\n", "r.yaml:2: a pair lacks allow or deny", "name the two checks"},
		{"pairs:\n- {allow: a, deny: b}\n", "r.yaml:2: the pair of a and b has no points", "points: N"},
		{"pairs:\n- allow: a\n  deny: b\n  points: -1\n", "r.yaml:4: points is no number from 0 to 1000", "from 0 to 1000"},
		{"pairs:\n- {allow: a, deny: b, points: 1.5}\n", "r.yaml:2: points are whole numbers, not 1.5", "by 2 for halves"},
		{"pairs:\n- {allow: a, deny: b, points: [1]}\n", "r.yaml:2: points is no number", "write a number"},
		{"pairs:\n- {allow: a, deny: b, points: .nan}\n", "r.yaml:2: points is no number", "write a number"},
		{"late: {percent: 101}\n", "r.yaml:1: percent is no number from 0 to 100", "write a number"},
		{"late:\n  due: tomorrow\n", "r.yaml:2: due is no time: tomorrow", "2026-11-20 23:59"},
		{"late: {per: week}\n", `r.yaml:1: per is day or hour, not "week"`, "per: hour"},
		{"late: {grace: 90s}\n", "r.yaml:1: grace is no time in minutes", "15m"},
		{"late: {grace: -5m}\n", "r.yaml:1: grace is no time in minutes", "15m"},
		{"late:\n  due: 2026-11-20 23:59\n  closes: 2026-11-19 23:59\n", "r.yaml:3: closes is before due", "after the due time"},
		{"round: {way: up}\n", "r.yaml:1: round does not say to what", "to: 0.5"},
		{"round: {to: 0}\n", "r.yaml:1: to is no number from 0.01", "write a number"},
		{"round: {to: 1, way: sideways}\n", `r.yaml:1: no way of rounding is called "sideways"`, "nearest, up, down"},
		{"round: {to: 1}\npairs:\n- {allow: a, deny: x, points: 1}\n", "r.yaml:3: the lab has no pair of a and x", `{task: "1", allow: a, deny: b}`},
		{"pairs:\n- {task: \"3\", allow: a, deny: b, points: 1}\n", "r.yaml:2: task 3 of the lab has no pair of a and b", "its pairs are"},
		{"pairs:\n- {allow: a, deny: c, points: 1}\n- {task: \"1\", allow: a, deny: c, points: 1}\n", "r.yaml:3: the pair of a and c has points already, in line 2", "keep one"},
		{"pairs:\n- {allow: a, deny: b, points: 0}\n- {allow: a, deny: c, points: 0}\n- {allow: d, deny: c, points: 0}\n", "r.yaml: by it nothing is worth a point", "give points"},
	} {
		f, err := Parse("r.yaml", []byte(tc.text))
		if err == nil {
			_, err = f.Resolve(tasks)
		}
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Error(), tc.want) || !strings.Contains(wrong.Cure(), tc.cure) {
			t.Errorf("%q: %v", tc.text, err)
		}
	}
}

// The guide's example is a rubric of the lab that the guide grades.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../../../docs/grading.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	f, err := Parse("docs/grading.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	lab, err := labs.Open("02")
	if err != nil {
		t.Fatal(err)
	}
	all, _, _ := result.Score(lab, record.Run{})
	if _, err := f.Resolve(all); err != nil || len(f.pairs) == 0 {
		t.Errorf("%d pairs; %v", len(f.pairs), err)
	}
}
