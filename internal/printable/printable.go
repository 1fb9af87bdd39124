// Package printable makes text of others fit for a terminal: names, messages and
// events of clusters, images, labs and submissions. What a terminal would obey
// instead of showing is written out, as in Go's strings: \x1b]0;title\x07. It knows
// nothing of styles; colours are put around text that has been through it.
package printable

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is s in one or more lines, without control characters but for the line feeds
// and tabs that it has, and without marks that turn the direction of text around.
func Text(s string) string { return clean(s, func(r rune) bool { return r == '\n' || r == '\t' }) }

// Line is s in one line: line feeds and tabs become spaces.
func Line(s string) string {
	s = oneLine.Replace(s)
	return clean(s, func(rune) bool { return false })
}

var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ")

// Args is args with Line for the strings and errors among them, for a line that is
// formatted. Values of other types stay as they are.
func Args(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case string:
			a = Line(v)
		case error:
			a = Line(v.Error())
		}
		out[i] = a
	}
	return out
}

// NewWriter returns a writer of Text to w. It is for what has no styles.
func NewWriter(w io.Writer) io.Writer { return &writer{w: w} }

type writer struct {
	w    io.Writer
	rest []byte // of a character whose end has not come yet
}

func (w *writer) Write(p []byte) (int, error) {
	all := slices.Concat(w.rest, p)
	end := len(all)
	for n := 1; n < utf8.UTFMax && n <= len(all); n++ {
		if b := all[len(all)-n]; utf8.RuneStart(b) {
			if !utf8.FullRune(all[len(all)-n:]) {
				end = len(all) - n
			}
			break
		}
	}
	w.rest = append([]byte(nil), all[end:]...)
	if _, err := io.WriteString(w.w, Text(string(all[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// clean writes out what obeys calls for, but for what keep wants.
func clean(s string, keep func(rune) bool) string {
	bad := func(r rune) bool { return obeyed(r) && !keep(r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, bad) < 0 {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, s[i]) // also a C1 byte, which some terminals obey
		case !bad(r):
			out.WriteRune(r)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		i += size
	}
	return out.String()
}

// obeyed are the characters that a terminal acts upon: C0, DEL and C1 controls
// (ECMA-48), the marks of the bidirectional algorithm (UAX #9), which show text as
// what it is not, and the separators of lines.
func obeyed(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
