package frame

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/tui/styles"
)

func TestFit(t *testing.T) {
	for _, line := range []string{"", "abc", "日本語", "e\u0301e\u0301e\u0301", "\x1b[31mred and long\x1b[m", "👩‍👩‍👧 family", strings.Repeat("x", 300)} {
		for width := range 12 {
			if w := ansi.StringWidth(Fit(line, width)); w != width {
				t.Errorf("Fit(%q, %d) is %d wide", line, width, w)
			}
		}
	}
}

func TestBoxCloses(t *testing.T) {
	for _, plain := range []bool{false, true} {
		theme := styles.New(true, plain)
		for w := 6; w < 20; w++ {
			for h := 3; h < 6; h++ {
				lines := Box("a long title 日本", []string{"some text that is long", "\x1b[31mred"}, w, h, true, theme)
				if len(lines) != h {
					t.Fatalf("%d lines, want %d", len(lines), h)
				}
				for i, line := range lines {
					if got := ansi.StringWidth(line); got != w {
						t.Errorf("line %d of a box of %dx%d is %d wide: %q", i, w, h, got, line)
					}
					first, last := theme.Vertical, theme.Vertical
					switch i {
					case 0:
						first, last = theme.TopLeft, theme.TopRight
					case h - 1:
						first, last = theme.BottomLeft, theme.BottomRight
					}
					if s := ansi.Strip(line); !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
						t.Errorf("line %d does not close: %q", i, s)
					}
				}
			}
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\tb\nc": "a b c", "\x1b[31mred\x1b[0m": "red", "bell\x07": "bell", "\x1b]0;title\x07x": "x", "é日": "é日",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestScroll(t *testing.T) {
	var s Scroll
	lines := strings.Split("0123456789", "")
	if got := strings.Join(s.Cut(lines, 3), ""); got != "012" {
		t.Errorf("at the beginning %s", got)
	}
	s = s.Moved(100, 10, 3)
	if got := strings.Join(s.Cut(lines, 3), ""); got != "789" {
		t.Errorf("at the end %s", got)
	}
	s = s.Showing(4, 5, 10, 3)
	if got := strings.Join(s.Cut(lines, 3), ""); got != "456" {
		t.Errorf("shown %s", got)
	}
	s = s.Showing(8, 9, 10, 3)
	if got := strings.Join(s.Cut(lines, 3), ""); got != "789" {
		t.Errorf("shown %s", got)
	}
	if got := s.Cut(nil, 3); len(got) != 0 {
		t.Errorf("of nothing %v", got)
	}
}
