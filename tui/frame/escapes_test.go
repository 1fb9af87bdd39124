package frame_test

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/frame"
)

// Nothing that a terminal obeys is left of what others say.
func TestCleanLeavesNothingToObey(t *testing.T) {
	const evil = "a\x1b]0;owned\x07b\x1b]52;c;ZXZpbA==\x1b\\c\x1b[2Jd\x1b[10;1He\u009b31mf\u202eg\rh\x1bPq\x1b\\i\x9b2Jj\u2066k\u200fl\x1b"
	got := frame.Clean(evil)
	if strings.ContainsAny(got, "\x1b\x07\r\u202e\u2066\u200f") || strings.Contains(got, "\u009b") || strings.Contains(got, "\x9b2J") {
		t.Errorf("%q is obeyed", got)
	}
	for _, letter := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if !strings.Contains(got, letter) {
			t.Errorf("%q has lost %s", got, letter)
		}
	}
}

// A line of a screen carries colours and links, and nothing else that a terminal obeys,
// whoever forgot to clean a text in it.
func TestFitKeepsStylesAlone(t *testing.T) {
	const evil = "a\x1b]0;owned\x07b\x1b]52;c;ZXZpbA==\x1b\\c\x1b[2Jd\x1b[10;1He\u009b31mf\u202eg\rh\x1bPq\x1b\\i\x1b[?25mj\x1b"
	const link = "\x1b]8;;https://example.org\x07it\x1b]8;;\x07"
	for _, width := range []int{4, 40, 100} {
		line := frame.Fit("\x1b[1;31mred\x1b[m "+evil+link, width)
		if w := ansi.StringWidth(line); w != width {
			t.Errorf("%q has width %d, want %d", line, w, width)
		}
		rest := strings.NewReplacer("\x1b[1;31m", "", "\x1b[m", "", link, "", "\x1b]8;;https://example.org\x07", "", "\x1b]8;;\x07", "").Replace(line)
		if strings.ContainsAny(rest, "\x1b\x07\r\u202e") || strings.Contains(rest, "\u009b") {
			t.Errorf("%q is obeyed", rest)
		}
		if !strings.HasPrefix(line, "\x1b[1;31mred") || width == 100 && !strings.Contains(line, link) {
			t.Errorf("%q lost its styles", line)
		}
	}
	if got := frame.Fit("e\u0301 👩‍💻 日\x1b[m", 8); !strings.HasPrefix(got, "e\u0301 👩‍💻 日") {
		t.Errorf("%q: letters are lost", got)
	}
}
