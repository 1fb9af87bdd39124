package page

import (
	"path"
	"regexp"
	"strings"
)

// dialect makes CommonMark of what a site generator or a platform adds to it. Lines
// keep their numbers.
type dialect struct {
	name    string
	is      func(file string, src []byte) bool
	prepare func(src []byte, front map[string]string) ([]byte, []Note)
}

// dialects are tried in their order.
var dialects = []dialect{hugo, killercoda, docusaurus, material, commonMark}

var commonMark = dialect{
	name:    "CommonMark",
	is:      func(string, []byte) bool { return true },
	prepare: func(src []byte, _ map[string]string) ([]byte, []Note) { return src, nil },
}

func dialectOf(file string, src []byte) dialect {
	for _, d := range dialects {
		if d.is(file, src) {
			return d
		}
	}
	return commonMark
}

// eachLine rewrites a text line by line.
func eachLine(src []byte, f func(n int, line string) string) []byte {
	lines := strings.Split(string(src), "\n")
	for i := range lines {
		lines[i] = f(i+1, lines[i])
	}
	return []byte(strings.Join(lines, "\n"))
}

// Killercoda's fences end with what a click on them does, and so does code in a line.
var killercodaLine = regexp.MustCompile("^`([^`]+)`\\s*\\{\\{\\s*(?:exec|execute)\\b[^}]*\\}\\}\\s*$")

// paragraph is a line of plain text at the margin.
var paragraph = regexp.MustCompile(`^[\pL(*_]`)

var killercodaEnd = regexp.MustCompile("^(\\s*(?:```+|~~~+))\\s*\\{\\{\\s*(exec|copy|execute)\\b[^}]*\\}\\}\\s*$")

var killercoda = dialect{
	name: "Killercoda",
	is: func(_ string, src []byte) bool {
		for line := range strings.Lines(string(src)) {
			if line = strings.TrimRight(line, "\n"); killercodaEnd.MatchString(line) || killercodaLine.MatchString(line) {
				return true
			}
		}
		return false
	},
	prepare: func(src []byte, _ map[string]string) ([]byte, []Note) {
		lines := strings.Split(string(src), "\n")
		open := -1 // the line on which a fence without a language begins
		for i, line := range lines {
			if m := killercodaEnd.FindStringSubmatch(line); m != nil {
				if open >= 0 && m[2] != "copy" {
					lines[open] += "bash" // a click types it
				}
				lines[i], open = m[1], -1
				continue
			}
			if m := killercodaLine.FindStringSubmatch(line); m != nil {
				if i > 1 && paragraph.MatchString(lines[i-1]) && (strings.TrimSpace(lines[i-2]) == "" || paragraph.MatchString(lines[i-2])) {
					// Code needs an empty line before it: the paragraph ends a line earlier.
					lines[i-2], lines[i-1] = strings.TrimLeft(lines[i-2]+" "+lines[i-1], " "), ""
				}
				lines[i] = "    $ " + m[1] // code, where it stands by itself
				continue
			}
			trimmed := strings.TrimSpace(line)
			if run := fenceRun(trimmed); run != "" {
				if open = -1; run == trimmed {
					open = i
				}
			}
		}
		return []byte(strings.Join(lines, "\n")), nil
	},
}

// Docusaurus and MDX: JSX elements and imports at the margin, and ::: admonitions.
var (
	mdxLine   = regexp.MustCompile(`^\s*(?:import\s.+\sfrom\s|export\s|</?[A-Z][A-Za-z]*\b.*>\s*$)`)
	mdxNotice = regexp.MustCompile(`^\s*:::+\s*\w*`)
)

var docusaurus = dialect{
	name: "Docusaurus",
	is: func(file string, src []byte) bool {
		if path.Ext(file) == ".mdx" {
			return true
		}
		return regexp.MustCompile(`(?m)^(?::::\w+|<(?:Tabs|TabItem)\b)`).Match(src)
	},
	prepare: func(src []byte, _ map[string]string) ([]byte, []Note) {
		return outsideFences(src, func(_ int, line string) string {
			if mdxLine.MatchString(line) || mdxNotice.MatchString(line) {
				return ""
			}
			return line
		}), nil
	},
}

// MkDocs Material: admonitions and tabs are headed lines with a body that is
// indented by four spaces.
var materialHead = regexp.MustCompile(`^(\s*)(?:!!!|\?\?\?\+?|===\+?!?)\s+["\w]`)

var material = dialect{
	name: "MkDocs Material",
	is: func(_ string, src []byte) bool {
		return regexp.MustCompile(`(?m)^(?:!!!|\?\?\?\+?|===) +["\w]`).Match(src)
	},
	prepare: func(src []byte, _ map[string]string) ([]byte, []Note) {
		var depth []int // of the bodies that a line is in
		return eachLine(src, func(_ int, line string) string {
			indent := len(line) - len(strings.TrimLeft(line, " "))
			if strings.TrimSpace(line) == "" {
				return ""
			}
			for len(depth) > 0 && indent < depth[len(depth)-1] {
				depth = depth[:len(depth)-1]
			}
			cut := 4 * len(depth)
			if m := materialHead.FindStringSubmatch(line); m != nil {
				depth = append(depth, len(m[1])+4)
				return ""
			}
			return line[min(cut, indent):]
		}), nil
	},
}

// outsideFences rewrites the lines that are in no fence at the margin.
func outsideFences(src []byte, f func(n int, line string) string) []byte {
	mark := ""
	return eachLine(src, func(n int, line string) string {
		trimmed := strings.TrimLeft(line, " ")
		run := fenceRun(trimmed)
		switch {
		case mark == "" && run != "":
			mark = run
		case mark != "" && run != "" && run[0] == mark[0] && len(run) >= len(mark) && strings.TrimSpace(trimmed[len(run):]) == "":
			mark = ""
		case mark == "":
			return f(n, line)
		}
		return line
	})
}
