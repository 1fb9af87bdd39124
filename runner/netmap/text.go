package netmap

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Drawing is a graph as lines of text, none of which is wider than was asked.
type Drawing struct {
	Lines []string
	Spans []Span // where verdicts stand
}

// Span is a verdict with its symbol in a drawing, as bytes of one of its lines.
type Span struct {
	Line, From, To int
	Verdict        string
	Stale          bool
}

// Draw draws a graph: as boxes and lines where there is room for them, else as a
// tree. On both, each line of the graph is a line with its symbol, verdict, port,
// protocol and method.
func Draw(g Graph, o Options) Drawing {
	p, ok := arrange(&g, o)
	if !ok {
		return Tree(g, o)
	}
	d := p.draw(o)
	d.Lines = append(d.Lines, g.under(p.names, o)...)
	return d
}

// String is the drawing as text.
func (d Drawing) String() string { return strings.Join(d.Lines, "\n") + "\n" }

// Painted is the drawing with its verdicts as paint makes them of their text. It has
// no spans any more.
func (d Drawing) Painted(paint func(Span, string) string) Drawing {
	out := Drawing{Lines: slices.Clone(d.Lines)}
	for _, s := range d.Spans {
		line := d.Lines[s.Line]
		out.Lines[s.Line] = line[:s.From] + paint(s, line[s.From:s.To]) + line[s.To:]
	}
	return out
}

// pen is what lines are drawn with.
type pen struct {
	across, dashed, down                       string
	topLeft, topRight, bottomLeft, bottomRight string
	out                                        string // a wire that leaves a box
	joinLeft, joinRight                        string // a wire that ends at a lane, and one that begins
	cross                                      string
	under, over                                string // between a Service and its pods
	arrow                                      string
	branch, last                               string // of a tree
}

var pens = map[bool]pen{
	false: {
		across: "─", dashed: "╌", down: "│", topLeft: "╭", topRight: "╮", bottomLeft: "╰", bottomRight: "╯", out: "├",
		joinLeft: "┤", joinRight: "├", cross: "┼", under: "┬", over: "┴", arrow: "▸", branch: "├─ ", last: "╰─ ",
	},
	true: {
		across: "-", dashed: ".", down: "|", topLeft: "+", topRight: "+", bottomLeft: "+", bottomRight: "+", out: "+",
		joinLeft: "+", joinRight: "+", cross: "|", under: "+", over: "+", arrow: ">", branch: "|- ", last: "`- ",
	},
}

// draw draws what was arranged.
func (p *picture) draw(o Options) Drawing {
	k := pens[o.ASCII]
	left, right := p.drawLeft(k), p.drawRight(k)
	field := p.drawWires(k, o)
	var d Drawing
	for y := range p.height {
		line := left[y]
		for _, w := range p.wires {
			if w.row != y {
				continue
			}
			ink := k.across
			if w.line.stops() {
				ink = k.dashed
			}
			label := w.line.symbol(o.ASCII) + " " + fill(w.line.Verdict, p.verdict) + " " + cut(w.line.request(o.ASCII), p.label, o.ASCII)
			label = strings.TrimRight(label, " ")
			d.Spans = append(d.Spans, w.line.span(len(d.Lines), len(line)+len(ink)+1, o.ASCII))
			line += ink + " " + label + " " + strings.Repeat(ink, max(p.verdict+3+p.label-ansi.StringWidth(label), 0))
		}
		line = fill(line, p.boxesL+2+p.verdict+3+p.label+1) + strings.Join(field[y], "") + right[y]
		d.Lines = append(d.Lines, strings.TrimRight(line, " "))
	}
	return d
}

// span is the place of a line's symbol and verdict that begin at a byte.
func (l Line) span(line, from int, ascii bool) Span {
	return Span{Line: line, From: from, To: from + len(l.symbol(ascii)) + 1 + len(l.Verdict), Verdict: l.Verdict, Stale: l.Stale}
}

// top is a box's upper border with its title; at is where a line to the box above
// begins, -1 for none.
func (k pen) top(title string, width, at int) string {
	line := []string{k.topLeft, " "}
	for _, r := range title {
		line = append(line, string(r))
	}
	line = append(line, " ")
	for len(line) < width-1 {
		line = append(line, k.across)
	}
	line = append(line, k.topRight)
	if at >= 0 {
		line[at] = k.over
	}
	return strings.Join(line, "")
}

func (k pen) bottom(width, at int) string {
	line := strings.Split(k.bottomLeft+strings.Repeat(k.across, width-2)+k.bottomRight, "")
	if at >= 0 {
		line[at] = k.under
	}
	return strings.Join(line, "")
}

func (k pen) side(text string, width int, out bool) string {
	end := k.down
	if out {
		end = k.out
	}
	return k.down + " " + fill(text, width-4) + " " + end
}

// drawLeft draws the boxes of the sources, a line for each row of the picture.
func (p *picture) drawLeft(k pen) []string {
	rows := make([]string, p.height)
	leaves := map[int]bool{}
	for _, w := range p.wires {
		leaves[w.row] = true
	}
	for y := range rows {
		rows[y] = strings.Repeat(" ", p.boxesL)
	}
	for _, b := range p.left {
		rows[b.top] = k.top(string(b.node.Kind), p.boxesL, -1)
		for y := b.top + 1; y < b.bottom; y++ {
			name := ""
			if y == b.name {
				name = p.names.short[b.node.ID]
			}
			rows[y] = k.side(name, p.boxesL, leaves[y])
		}
		rows[b.bottom] = k.bottom(p.boxesL, -1)
	}
	return rows
}

// drawRight draws those of the destinations, and the Services that lead to them.
func (p *picture) drawRight(k pen) []string {
	rows := make([]string, p.height)
	for _, b := range p.right {
		link := -1
		if len(b.services) > 0 {
			link = p.boxesR - 3
			rows[b.top] = k.top(string(Service), p.boxesR, -1)
			for i, s := range b.services {
				rows[b.top+1+i] = k.side(s, p.boxesR, false)
			}
			rows[b.name-2] = k.bottom(p.boxesR, link)
		}
		rows[b.name-1] = k.top(string(b.node.Kind), p.boxesR, link)
		rows[b.name] = k.side(p.names.short[b.node.ID], p.boxesR, false)
		rows[b.bottom] = k.bottom(p.boxesR, -1)
	}
	return rows
}

// drawWires draws the field of lanes between the labels and the boxes on the right.
func (p *picture) drawWires(k pen, o Options) [][]string {
	width := p.run + p.lanes*p.pitch + 2
	field := make([][]string, p.height)
	for y := range field {
		field[y] = strings.Split(strings.Repeat(" ", width), "")
	}
	lane := func(t trunk) int { return p.run + t.lane*p.pitch }
	for _, t := range p.trunks {
		from, to := t.span()
		for y := from; y <= to; y++ {
			field[y][lane(t)] = k.down
		}
	}
	stroke := func(y, from, to int, ink string) {
		for x := from; x < to; x++ {
			if field[y][x] == k.down {
				field[y][x] = k.cross
			} else {
				field[y][x] = ink
			}
		}
	}
	end := func(y int, closed bool) {
		field[y][width-1] = k.arrow
		if closed {
			field[y][width-1] = signs["denied"].in(o.ASCII)
		}
	}
	for _, w := range p.wires {
		ink := k.across
		if w.line.stops() {
			ink = k.dashed
		}
		if w.to < 0 {
			stroke(w.row, 0, width-1, ink)
			end(w.row, w.line.stops())
			continue
		}
		t := p.trunks[w.to]
		stroke(w.row, 0, lane(t), ink)
		field[w.row][lane(t)] = t.joint(w.row, k.topRight, k.bottomRight, k.joinLeft)
	}
	for _, t := range p.trunks {
		stroke(t.pin, lane(t)+1, width-1, k.across)
		field[t.pin][lane(t)] = t.joint(t.pin, k.topLeft, k.bottomLeft, k.joinRight)
		end(t.pin, t.closed)
	}
	return field
}

// joint is how a lane looks where a wire meets it: at its upper end, at its lower
// end, or between.
func (t trunk) joint(row int, top, bottom, between string) string {
	switch from, to := t.span(); row {
	case from:
		return top
	case to:
		return bottom
	}
	return between
}
