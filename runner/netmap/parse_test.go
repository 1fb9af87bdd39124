package netmap

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// parsed is what a drawing says, in words that compare: "pods default/web" for a
// node, "pods default/web -> world world 443/TCP GET denied" for a line,
// "default/web:80/TCP -> default/web" for a Service.
type parsed struct{ nodes, lines, services []string }

// said is the same of a graph.
func said(g Graph) parsed {
	var out parsed
	full := func(id string) string {
		n := g.node(id)
		if n.Namespace != "" {
			return string(n.Kind) + " " + n.Namespace + "/" + n.Name
		}
		return string(n.Kind) + " " + n.Name
	}
	for _, n := range g.Nodes {
		out.nodes = append(out.nodes, full(n.ID))
	}
	for _, l := range g.Lines {
		out.lines = append(out.lines, full(l.From)+" -> "+full(l.To)+" "+what(l.port(), l.Method, l.Verdict, l.Stale))
	}
	for _, s := range g.Services {
		out.services = append(out.services, fmt.Sprintf("%s:%d/%s -> %s", s.Service, s.Port, s.Protocol, full(s.To)))
	}
	return out.sorted()
}

func what(port, method, verdict string, stale bool) string {
	return fmt.Sprintf("%s %s %s %v", port, method, verdict, stale)
}

func (p parsed) sorted() parsed {
	for _, list := range []*[]string{&p.nodes, &p.lines, &p.services} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return p
}

// legend undoes what was cut.
type legend struct {
	namespace string
	whole     map[string]string
}

func readLegend(lines []string) legend {
	out := legend{whole: map[string]string{}}
	var entries []string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "  "); ok {
			entries[len(entries)-1] += rest
		} else {
			entries = append(entries, line)
		}
	}
	for _, e := range entries {
		e = strings.ReplaceAll(e, " ", "")
		if ns, ok := strings.CutPrefix(e, "innamespace"); ok {
			out.namespace = strings.TrimSuffix(ns, "wherenoneisnamed")
		} else if short, whole, ok := strings.Cut(e, "="); ok {
			out.whole[short] = whole
		}
	}
	return out
}

// name is a node as said tells it.
func (l legend) name(kind, short string) string {
	name := short
	if whole, ok := l.whole[short]; ok {
		name = whole
	}
	if (kind == "pods" || kind == "Service") && !strings.Contains(name, "/") {
		name = l.namespace + "/" + name
	}
	return kind + " " + name
}

func (l legend) service(text string) string {
	if whole, ok := l.whole[text]; ok {
		text = whole
	}
	if !strings.Contains(strings.Split(text, ":")[0], "/") {
		text = l.namespace + "/" + text
	}
	return text
}

// words read a line's words: symbol, verdict, port, method.
func words(text string, ascii bool) (string, error) {
	f := strings.Fields(text)
	if len(f) < 3 {
		return "", fmt.Errorf("%q has no verdict and port", text)
	}
	old := f[0] == stale.in(ascii)
	if !old && f[0] != signs[f[1]].in(ascii) {
		return "", fmt.Errorf("%q: the symbol is not the verdict's", text)
	}
	method := ""
	if len(f) > 3 && strings.ToUpper(f[3]) == f[3] {
		method = f[3]
	}
	return what(f[2], method, f[1], old), nil
}

// grid is a drawing of boxes, a rune a cell.
type grid struct {
	rows  [][]rune
	k     pen
	ascii bool
}

func (g grid) at(x, y int) string {
	if y < 0 || y >= len(g.rows) || x < 0 || x >= len(g.rows[y]) {
		return " "
	}
	return string(g.rows[y][x])
}

func (g grid) text(from, to, y int) string {
	row := g.rows[y]
	return strings.TrimSpace(string(row[min(from, len(row)):min(to, len(row))]))
}

// end is the column after the drawing.
func (g grid) end() int {
	wide := 0
	for _, row := range g.rows {
		wide = max(wide, len(row))
	}
	return wide
}

// boxes are the nodes of the boxes between two columns by the row of their name,
// and the Services above them.
func (g grid) boxes(from, to int, l legend) (names map[int]string, services []string) {
	names = map[int]string{}
	var above []string
	for y := 0; y < len(g.rows); y++ {
		if g.at(from, y) != g.k.topLeft {
			continue
		}
		kind := strings.Fields(g.text(from+1, to, y))[0]
		var inside []string
		first := y + 1
		for y++; g.at(from, y) == g.k.down; y++ {
			if text := g.text(from+2, to-2, y); text != "" {
				inside = append(inside, text)
			}
		}
		if g.at(to-3, y) == g.k.under && g.at(to-3, y+1) == g.k.over && g.at(from, y+1) == g.k.topLeft {
			above = inside
			continue
		}
		name := l.name(kind, strings.Join(inside, ""))
		names[first] = name
		for _, s := range above {
			services = append(services, l.service(s)+" -> "+name)
		}
		above = nil
	}
	return names, services
}

var title = regexp.MustCompile(`[╭+] (pods|Service|world|name|address) `)

// parseBoxes reads a drawing of boxes.
func parseBoxes(lines []string, ascii bool) (parsed, error) {
	var out parsed
	k := pens[ascii]
	picture, below := lines, []string(nil)
	if i := slices.Index(lines, ""); i >= 0 {
		picture, below = lines[:i], lines[i+1:]
	}
	l := readLegend(below)
	g := grid{k: k, ascii: ascii}
	right := 0
	for _, line := range picture {
		g.rows = append(g.rows, []rune(line))
		for _, at := range title.FindAllStringIndex(line, -1) {
			right = max(right, len([]rune(line[:at[0]])))
		}
	}
	leftEnd := strings.Index(string(g.rows[0][1:]), k.topRight)
	leftEnd = len([]rune(string(g.rows[0][1:])[:leftEnd])) + 2
	sources, _ := g.boxes(0, leftEnd, l)
	targets, services := g.boxes(right, g.end(), l)
	out.services = services
	for _, name := range sources {
		out.nodes = append(out.nodes, name)
	}
	for _, name := range targets {
		out.nodes = append(out.nodes, name)
	}
	from, inside := "", false
	for y := range g.rows {
		switch {
		case g.at(0, y) == k.topLeft && !inside:
			inside = true
		case g.at(0, y) == k.down:
			if name, ok := sources[y]; ok {
				from = name
			}
			if g.at(leftEnd-1, y) != k.out {
				continue
			}
			text, end, err := g.follow(leftEnd, y)
			if err != nil {
				return out, fmt.Errorf("row %d: %w", y, err)
			}
			to, ok := targets[end]
			if !ok {
				return out, fmt.Errorf("row %d leads to row %d, where no box is", y, end)
			}
			say, err := words(text, ascii)
			if err != nil {
				return out, err
			}
			out.lines = append(out.lines, from+" -> "+to+" "+say)
		default:
			inside = false
		}
	}
	return out.sorted(), nil
}

// follow reads the words of the line that leaves a box, and follows it to the row
// of its destination.
func (g grid) follow(x, y int) (text string, row int, err error) {
	ink := g.at(x, y)
	begin := x + 2
	for x += 4; g.at(x, y) != ink || g.at(x-1, y) != " "; x++ {
		if x > len(g.rows[y]) {
			return "", 0, fmt.Errorf("no line after %q", string(g.rows[y][begin:]))
		}
	}
	text = g.text(begin, x, y)
	for g.at(x, y) == ink || g.at(x, y) == g.k.cross {
		x++
	}
	straight := []string{g.k.arrow, signs["denied"].in(g.ascii)}
	if slices.Contains(straight, g.at(x, y)) {
		return text, y, nil
	}
	for _, step := range []int{-1, 1} {
		if !g.goes(x, y, step) {
			continue
		}
		for at := y + step; ; at += step {
			if c := g.at(x, at); c != g.k.down && c != g.k.cross && g.at(x, at) != g.k.joinLeft && !g.begins(x, at) {
				break
			}
			if g.begins(x, at) {
				return text, at, nil
			}
			if !g.goes(x, at, step) {
				break
			}
		}
	}
	return "", 0, fmt.Errorf("%q leads nowhere from column %d", text, x)
}

// goes says whether a lane goes on from a joint, up for -1.
func (g grid) goes(x, y, step int) bool {
	c := g.at(x, y)
	if g.ascii {
		next := g.at(x, y+step)
		return next == "|" || next == "+"
	}
	if step < 0 {
		return c == "╯" || c == "┤" || c == "│" || c == "┼"
	}
	return c == "╮" || c == "┤" || c == "│" || c == "┼"
}

// begins says whether a lane leads to a box in a row: those are no line's.
func (g grid) begins(x, y int) bool {
	if g.ascii {
		leaves := g.at(0, y) == "|" && g.lineBegins(y)
		return g.at(x, y) == "+" && !leaves
	}
	return slices.Contains([]string{"╭", "╰", "├"}, g.at(x, y))
}

// lineBegins says whether a box on the left has a line in a row.
func (g grid) lineBegins(y int) bool {
	for x := 1; x < len(g.rows[y]); x++ {
		switch g.at(x, y) {
		case "+":
			return true
		case "|":
			return false
		}
	}
	return false
}

// parseTree reads a tree.
func parseTree(lines []string, ascii bool) (parsed, error) {
	var out parsed
	below := []string(nil)
	if i := slices.Index(lines, ""); i >= 0 {
		lines, below = lines[:i], lines[i+1:]
	}
	l := readLegend(below)
	node := func(text string) string {
		short, kind, _ := strings.Cut(strings.TrimSuffix(text, ")"), " (")
		name := l.name(kind, short)
		out.nodes = append(out.nodes, name)
		return name
	}
	from, to := "", ""
	for _, line := range lines {
		depth := 0
		for {
			rest, ok := line, false
			for _, head := range []string{"├─ ", "╰─ ", "│  ", "|- ", "`- ", "|  ", "   "} {
				if rest, ok = strings.CutPrefix(line, head); ok {
					break
				}
			}
			if !ok {
				break
			}
			line = rest
			depth++
		}
		switch {
		case depth == 0 && line == "Services":
			from = ""
		case depth == 0:
			from = node(line)
		case depth == 1 && from == "":
			to = l.service(line)
		case depth == 1:
			to = node(line)
		case from == "":
			out.services = append(out.services, to+" -> "+node(line))
		default:
			say, err := words(line, ascii)
			if err != nil {
				return out, err
			}
			out.lines = append(out.lines, from+" -> "+to+" "+say)
		}
	}
	return out.sorted(), nil
}

// parse reads a drawing, whichever it is.
func parse(t *testing.T, d Drawing, ascii bool) parsed {
	t.Helper()
	read := parseTree
	if title.MatchString(d.Lines[0]) {
		read = parseBoxes
	}
	p, err := read(d.Lines, ascii)
	if err != nil {
		t.Fatalf("%v\n%s", err, d)
	}
	return p
}
