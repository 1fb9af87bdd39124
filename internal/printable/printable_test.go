package printable_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/netdojo/netdojo/internal/printable"
)

// hostile are what a forged name or message may hold, and how it is shown.
var hostile = map[string]string{
	"plain, ümläut, 日本, 👩‍💻":     "plain, ümläut, 日本, 👩‍💻",
	"\x1b]0;title\x07":           `\x1b]0;title\x07`,
	"\x1b]52;c;ZXZpbA==\x1b\\":   `\x1b]52;c;ZXZpbA==\x1b\`,
	"\x1b[2J\x1b[1;31mred":       `\x1b[2J\x1b[1;31mred`,
	"a\u009b31mb":                `a\u009b31mb`,
	"a\x9b31mb\x90":              `a\x9b31mb\x90`,
	"safe\u202egnp.exe":          `safe\u202egnp.exe`,
	"a\u2066b\u2069\u200f\u061c": `a\u2066b\u2069\u200f\u061c`,
	"back\b\b\rspace\x00\x7f":    `back\x08\x08\x0dspace\x00\x7f`,
	"a\u2028b":                   `a\u2028b`,
	"\xff\xfe":                   `\xff\xfe`,
}

func TestText(t *testing.T) {
	for in, want := range hostile {
		if got := printable.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
		if got := printable.Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
	if got := printable.Text("a\n\tb"); got != "a\n\tb" {
		t.Errorf("Text = %q: lines and tabs are to stay", got)
	}
	if got := printable.Line("a\r\nb\tc\nd"); got != "a b c d" {
		t.Errorf("Line = %q, want one line", got)
	}
}

func TestArgs(t *testing.T) {
	type styled string
	got := fmt.Sprintf("%s %s %d %s", printable.Args([]any{"\x1b[2J", errors.New("a\nb"), 7, styled("\x1b[1m")})...)
	if want := "\\x1b[2J a b 7 \x1b[1m"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A character that comes in two writes stays one.
func TestWriter(t *testing.T) {
	var all []byte
	var want string
	for in, shown := range hostile {
		all, want = append(append(all, in...), '\n'), want+shown+"\n"
	}
	for _, size := range []int{1, 2, 3, 7, len(all)} {
		var out bytes.Buffer
		w := printable.NewWriter(&out)
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			if wrote, err := w.Write(rest[:n]); wrote != n || err != nil {
				t.Fatalf("Write = %d, %v", wrote, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("in writes of %d bytes:\n%q, want\n%q", size, out.String(), want)
		}
	}
}

func FuzzText(f *testing.F) {
	for in := range hostile {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once := printable.Text(in)
		if printable.Text(once) != once {
			t.Errorf("Text(%q) still has something to write out: %q", in, once)
		}
		for _, r := range once {
			if r == 0x1b || r == 0x7f || r < ' ' && r != '\n' && r != '\t' || 0x80 <= r && r < 0xa0 {
				t.Errorf("Text(%q) holds %q", in, r)
			}
		}
	})
}
