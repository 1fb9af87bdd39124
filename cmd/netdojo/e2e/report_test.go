//go:build linux

package e2e

import (
	"os"
	"strings"
	"testing"
)

// benchReport is what benchmarks write into. What stands there between the marks
// of a part is the part's, written anew by each run; all else is written by hand
// and stays.
const benchReport = "../../../docs/benchmarks.md"

func partMark(part string) string { return "<!-- made: " + part + " -->\n" }

const partEnd = "<!-- end -->\n"

// withPart is a report with the text of one part replaced, or with that part
// added at its end.
func withPart(report, part, text string) string {
	text = partMark(part) + strings.TrimSpace(text) + "\n" + partEnd
	before, rest, found := strings.Cut(report, partMark(part))
	if !found {
		return strings.TrimRight(report, "\n") + "\n\n" + text
	}
	_, after, found := strings.Cut(rest, partEnd)
	if !found {
		after = "\n" + rest // its end was lost: nothing of what may be by hand goes
	}
	return before + text + after
}

// TestReportKeepsWhatIsByHand: a part that is made anew leaves all else.
func TestReportKeepsWhatIsByHand(t *testing.T) {
	mark := func(part, text string) string { return partMark(part) + text + "\n" + partEnd }
	for name, tc := range map[string]struct{ report, want string }{
		"replaced": {
			"# A\n\nby hand\n\n" + mark("one", "old") + "\nmore by hand\n\n" + mark("two", "other"),
			"# A\n\nby hand\n\n" + mark("one", "new") + "\nmore by hand\n\n" + mark("two", "other"),
		},
		"added": {
			"# A\n\n" + mark("two", "other"),
			"# A\n\n" + mark("two", "other") + "\n" + mark("one", "new"),
		},
		"its end is lost": {
			partMark("one") + "old\nby hand\n",
			mark("one", "new") + "\nold\nby hand\n",
		},
	} {
		if got := withPart(tc.report, "one", "new\n"); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
		if again := withPart(withPart(tc.report, "one", "new"), "one", "new"); again != withPart(tc.report, "one", "new") {
			t.Errorf("%s: a second run changes\n%s", name, again)
		}
	}
}

// TestReportHasItsParts: the report has each part once, closed.
func TestReportHasItsParts(t *testing.T) {
	report, err := os.ReadFile(benchReport)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{partCommands, partEngine, partUp, partKind} {
		_, rest, _ := strings.Cut(string(report), partMark(part))
		made, _, closed := strings.Cut(rest, partEnd)
		if strings.Count(string(report), partMark(part)) != 1 || !closed || strings.Contains(made, "<!--") {
			t.Errorf("docs/benchmarks.md has no well-formed part %q", part)
		}
	}
}

// The parts of docs/benchmarks.md that benchmarks make.
const (
	partCommands = "commands"
	partEngine   = "engine"
	partUp       = "up"
	partKind     = "kind"
)
