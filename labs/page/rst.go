package page

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rst is a reader of the part of reStructuredText that guides are written in:
// sections, paragraphs, literal blocks, comments, substitutions, and of Sphinx's
// directives those below. https://docutils.sourceforge.io/docs/ref/rst/restructuredtext.html
type rst struct {
	subs  map[string]string
	open  func(name string) ([]byte, error) // nil where nothing can be included
	notes []Note
	told  map[string]bool
	depth int
}

// numbered is a line with its number.
type numbered struct {
	n    int
	text string
}

var (
	directive    = regexp.MustCompile(`^(\s*)\.\.\s+([\w-]+(?::[\w-]+)?)::(?:\s+(.*))?$`)
	substitution = regexp.MustCompile(`^\s*\.\.\s+\|([^|]+)\|\s+replace::\s*(.*)$`)
	rstOption    = regexp.MustCompile(`^\s*:[\w-]+:(?:\s.*)?$`)
	rstRule      = regexp.MustCompile("^([=\\-~^\"'`#*+.:_])[=\\-~^\"'`#*+.:_]{2,}\\s*$")
	subUse       = regexp.MustCompile(`\|([A-Za-z][\w -]*)\|`)
	rstEscape    = regexp.MustCompile(`\\(.)`)
)

// Directives by what is made of them.
var (
	codeDirectives      = []string{"code-block", "code", "sourcecode", "prompt", "highlight"}
	containerDirectives = []string{"note", "tip", "warning", "important", "hint", "attention", "caution", "danger", "error", "admonition",
		"container", "topic", "only", "group-tab", "tab", "tab-item", "dropdown", "details", "seealso", "versionadded", "versionchanged"}
	quietDirectives = []string{"image", "figure", "toctree", "index", "meta", "rubric", "contents", "raw", "csv-table", "table",
		"list-table", "youtube", "role", "default-role", "currentmodule"}
)

// maxIncludes bounds how deep pages include each other.
const maxIncludes = 4

// read makes steps of lines.
func (r *rst) read(lines []numbered) []Step {
	var steps []Step
	for i := 0; i < len(lines); {
		line := lines[i].text
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "", rstRule.MatchString(line):
			i++
		case substitution.MatchString(line):
			m := substitution.FindStringSubmatch(line)
			r.subs[m[1]] = m[2]
			i++
		case directive.MatchString(line):
			m := directive.FindStringSubmatch(line)
			body, next := indentedBody(lines, i+1, len(m[1]))
			steps = append(steps, r.directive(lines[i].n, m[2], strings.TrimSpace(m[3]), body)...)
			i = next
		case strings.HasPrefix(trimmed, ".. ") || trimmed == "..":
			body, next := indentedBody(lines, i+1, len(line)-len(strings.TrimLeft(line, " ")))
			if !strings.HasPrefix(trimmed, ".. _") {
				steps = append(steps, Step{Kind: Hidden, Line: lines[i].n, End: lines[i].n + len(body), Text: trimmed, Why: "a comment"})
			}
			i = next
		case i+1 < len(lines) && rstRule.MatchString(lines[i+1].text) && len(strings.TrimSpace(lines[i+1].text)) >= len([]rune(trimmed)):
			steps = append(steps, Step{Kind: Heading, Line: lines[i].n, End: lines[i].n, Text: trimmed})
			i += 2
		default:
			var made []Step
			made, i = r.paragraph(lines, i)
			steps = append(steps, made...)
		}
	}
	return steps
}

// paragraph reads lines up to an empty one, and the literal block that two colons at
// their end announce.
func (r *rst) paragraph(lines []numbered, i int) (steps []Step, next int) {
	s := Step{Kind: Prose, Line: lines[i].n}
	indent := len(lines[i].text) - len(strings.TrimLeft(lines[i].text, " "))
	for ; i < len(lines) && strings.TrimSpace(lines[i].text) != "" && !directive.MatchString(lines[i].text); i++ {
		s.End = lines[i].n
		s.Text += lines[i].text + "\n"
	}
	literal := strings.HasSuffix(strings.TrimSpace(s.Text), "::")
	s.Text = strings.ReplaceAll(r.substitute(s.Text, s.Line, false), "``", "`")
	if literal {
		s.Text = strings.Replace(s.Text, "::", ":", 1)
	}
	steps = append(steps, s)
	if literal {
		body, after := indentedBody(lines, i, indent)
		if code, ok := codeOf(body, ""); ok {
			code.Why = "a literal block"
			steps, i = append(steps, code), after
		}
	}
	return steps, i
}

// directive makes steps of one.
func (r *rst) directive(n int, name, arg string, body []numbered) []Step {
	switch {
	case slices.Contains(codeDirectives, name):
		if s, ok := codeOf(body, strings.ToLower(arg)); ok {
			return []Step{s}
		}
	case name == "parsed-literal":
		if s, ok := codeOf(body, ""); ok {
			s.Text = rstEscape.ReplaceAllStringFunc(r.substitute(s.Text, s.Line, true), func(e string) string { return strings.TrimSpace(e[1:]) })
			return []Step{s}
		}
	case name == "literalinclude":
		return []Step{{Kind: Prose, Line: n, End: n, Text: includeMark + arg}}
	case name == "include":
		return r.include(n, arg)
	case name == "tabs", name == "tab-set":
		return r.tabs(body)
	case name == "only" && strings.HasPrefix(arg, "not "), slices.Contains(quietDirectives, name):
	case slices.Contains(containerDirectives, name):
		return r.read(withoutOptions(body))
	default:
		if !r.told[name] {
			r.told[name] = true
			r.notes = append(r.notes, Note{Line: n, Text: "directive " + name + " is not known, and passed over"})
		}
	}
	return nil
}

// tabs are alternatives: the first is done.
func (r *rst) tabs(body []numbered) []Step {
	var steps []Step
	tabs := 0
	for i := 0; i < len(body); {
		m := directive.FindStringSubmatch(body[i].text)
		if m == nil {
			i++
			continue
		}
		inner, next := indentedBody(body, i+1, len(m[1]))
		made := r.read(withoutOptions(inner))
		if tabs > 0 {
			for j := range made {
				if made[j].Kind == Sample || strings.Contains(made[j].Text, includeMark) {
					made[j].Kind, made[j].Why = Hidden, "in another tab than the first: "+strings.TrimSpace(m[3])
				}
			}
		}
		tabs++
		steps, i = append(steps, made...), next
	}
	return steps
}

// include reads another page in place of the directive. Its steps have the directive's
// line, since they have none on this page.
func (r *rst) include(n int, name string) []Step {
	if r.open == nil || r.depth >= maxIncludes {
		r.notes = append(r.notes, Note{Line: n, Text: "page " + name + " is not included"})
		return nil
	}
	src, err := r.open(name)
	if err != nil {
		r.notes = append(r.notes, Note{Line: n, Text: fmt.Sprintf("page %s is not included: %v", name, err)})
		return nil
	}
	inner := &rst{subs: r.subs, open: r.open, told: r.told, depth: r.depth + 1}
	steps := inner.read(numberLines(src))
	for i := range steps {
		steps[i].flat, steps[i].Line, steps[i].End = true, n, n
	}
	for _, note := range inner.notes {
		r.notes = append(r.notes, Note{Line: n, Text: note.Text})
	}
	return steps
}

// substitute puts in what |NAME| stands for. In code, one that is defined elsewhere
// becomes an address, which is what guides use it for.
func (r *rst) substitute(text string, n int, code bool) string {
	return subUse.ReplaceAllStringFunc(text, func(use string) string {
		name := subUse.FindStringSubmatch(use)[1]
		if value, ok := r.subs[name]; ok {
			return value
		}
		if !code {
			return use
		}
		if !r.told["|"+name] {
			r.told["|"+name] = true
			r.notes = append(r.notes, Note{Line: n, Text: "substitution |" + name + "| is defined elsewhere: it is read as an address"})
		}
		return "https://" + name
	})
}

// codeOf is a block of code; false when it is empty.
func codeOf(body []numbered, lang string) (Step, bool) {
	body = withoutOptions(body)
	for len(body) > 0 && strings.TrimSpace(body[0].text) == "" {
		body = body[1:]
	}
	for len(body) > 0 && strings.TrimSpace(body[len(body)-1].text) == "" {
		body = body[:len(body)-1]
	}
	if len(body) == 0 {
		return Step{}, false
	}
	s := Step{Kind: Sample, Lang: lang, Line: body[0].n, End: body[len(body)-1].n}
	least := 1 << 20
	for _, l := range body {
		if strings.TrimSpace(l.text) != "" {
			least = min(least, len(l.text)-len(strings.TrimLeft(l.text, " ")))
		}
	}
	for _, l := range body {
		s.Text += l.text[min(least, len(l.text)):] + "\n"
	}
	return s, true
}

// withoutOptions leaves out a directive's options, which come first.
func withoutOptions(body []numbered) []numbered {
	for len(body) > 0 && rstOption.MatchString(body[0].text) {
		body = body[1:]
	}
	return body
}

// indentedBody are the lines from i on that are indented more than indent, empty ones
// among them.
func indentedBody(lines []numbered, i, indent int) (body []numbered, next int) {
	for ; i < len(lines); i++ {
		text := lines[i].text
		if strings.TrimSpace(text) != "" && len(text)-len(strings.TrimLeft(text, " ")) <= indent {
			break
		}
		body = append(body, lines[i])
	}
	return body, i
}

func numberLines(src []byte) []numbered {
	var lines []numbered
	for i, text := range strings.Split(strings.ReplaceAll(string(src), "\t", "        "), "\n") {
		lines = append(lines, numbered{i + 1, strings.TrimRight(text, " \r")})
	}
	return lines
}
