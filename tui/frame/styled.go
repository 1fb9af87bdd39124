package frame

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// stylesOnly takes out of a line what terminals obey, but for colours and links,
// which are ours: what comes from outside has been through Clean, and this is for
// the text that somebody forgot.
func stylesOnly(line string) string {
	if strings.IndexFunc(line, obeyed) < 0 {
		return line
	}
	var out strings.Builder
	var state byte
	p := ansi.GetParser()
	defer ansi.PutParser(p)
	for rest := line; rest != ""; {
		seq, width, n, next := ansi.DecodeSequence(rest, state, p)
		state, rest = next, rest[n:]
		switch {
		case width > 0 || isStyle(seq, ansi.Cmd(p.Command())):
			out.WriteString(strings.Map(func(r rune) rune {
				if obeyed(r) && r != ansi.ESC && r != ansi.BEL {
					return -1
				}
				return r
			}, seq))
		case strings.IndexFunc(seq, obeyed) < 0:
			out.WriteString(seq) // such as a mark on the letter before
		}
	}
	return out.String()
}

// isStyle says whether seq sets colours (CSI ... m) or a link (OSC 8).
func isStyle(seq string, cmd ansi.Cmd) bool {
	return strings.HasPrefix(seq, "\x1b[") && cmd.Final() == 'm' && cmd.Prefix() == 0 && cmd.Intermediate() == 0 && strings.HasSuffix(seq, "m") ||
		strings.HasPrefix(seq, "\x1b]8;")
}

func obeyed(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }
