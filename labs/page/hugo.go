package page

import (
	"fmt"
	"regexp"
	"strings"
)

// Hugo's shortcodes, https://gohugo.io/content-management/shortcodes/.
var (
	shortcode     = regexp.MustCompile(`\{\{[<%]\s*(/?)\s*([\w./-]+)\s*([^>%]*?)\s*/?\s*[>%]\}\}`)
	readFileCode  = regexp.MustCompile(`\{\{[<%]\s*(?:readfile|code|include|code_sample|codenew)\b[^>%]*?(?:file\s*=\s*)?"([^"]+)"[^>%]*[>%]\}\}`)
	highlightOpen = regexp.MustCompile(`^\s*\{\{[<%]\s*highlight\s+(\w+)[^>%]*[>%]\}\}\s*$`)
	highlightEnd  = regexp.MustCompile(`^\s*\{\{[<%]\s*/\s*highlight\s*[>%]\}\}\s*$`)
	paramCode     = regexp.MustCompile(`\{\{[<%]\s*param\s+"?([\w.-]+)"?\s*[>%]\}\}`)
)

// known are shortcodes that only arrange what is between them.
var knownShortcodes = map[string]bool{
	"tabs": true, "tab": true, "tabpane": true, "details": true, "expand": true, "notice": true, "note": true,
	"alert": true, "hint": true, "caution": true, "warning": true, "highlight": true, "readfile": true, "code": true,
	"param": true, "code_sample": true, "codenew": true, "include": true, "callout": true, "steps": true, "onlyWhen": true, "onlyWhenNot": true,
}

var hugo = dialect{
	name: "Hugo",
	is: func(_ string, src []byte) bool {
		return regexp.MustCompile(`\{\{[<%]\s*/?\s*\w`).Match(src)
	},
	prepare: func(src []byte, front map[string]string) ([]byte, []Note) {
		var notes []Note
		told := map[string]bool{}
		src = eachLine(src, func(n int, line string) string {
			line = paramCode.ReplaceAllStringFunc(line, func(code string) string {
				name := paramCode.FindStringSubmatch(code)[1]
				if value, ok := front[name]; ok {
					return value
				}
				return code
			})
			if m := highlightOpen.FindStringSubmatch(line); m != nil {
				return "```" + m[1]
			}
			if highlightEnd.MatchString(line) {
				return "```"
			}
			if m := readFileCode.FindStringSubmatch(line); m != nil {
				return includeMark + m[1]
			}
			return shortcode.ReplaceAllStringFunc(line, func(code string) string {
				name := shortcode.FindStringSubmatch(code)[2]
				if !knownShortcodes[name] && !told[name] {
					told[name] = true
					notes = append(notes, Note{Line: n, Text: fmt.Sprintf("shortcode %s is not known, and passed over", name)})
				}
				return ""
			})
		})
		return src, notes
	},
}

// includeMark begins a line of prose that stands for a file's content. No text has
// it: it is a character of Unicode's private use.
const includeMark = "\uE000file "

// included is the file that a step of prose stands for.
func included(s Step) (name string, ok bool) {
	if s.Kind != Prose && s.Kind != Sample {
		return "", false
	}
	_, name, ok = strings.Cut(strings.TrimSpace(s.Text), includeMark)
	name, _, _ = strings.Cut(name, "\n")
	return strings.TrimSpace(name), ok
}
