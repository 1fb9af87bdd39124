package netmap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Most workloads that are drawn as boxes, and the widest screen that they are not
// drawn on.
const (
	mostBoxes = 8
	narrow    = 60
)

// The least room for names, and for the wires before the first lane.
const (
	leastName = 6
	leastRun  = 2
	mostRun   = 8
)

// picture is where everything stands in a drawing of boxes, in cells: sources on
// the left, destinations on the right. Each line has a row of its own from its source to
// the lane of its destination, a vertical one that all lines to it join. The lane leads
// to the destination in a row without a line, so that a crossing of wires is never
// where they join.
type picture struct {
	names          names
	nameL, nameR   int // widths of names
	label          int // width of the lines' words
	run, pitch     int // cells before the first lane, and from one to the next
	lanes, height  int
	left, right    []box
	wires          []wire
	trunks         []trunk
	verdict        int // the width of the longest verdict
	boxesL, boxesR int // widths of the boxes
}

// box is one node: its rows, borders included.
type box struct {
	node        Node
	top, bottom int
	services    []string // on the right: a box above it
	name        int      // the row of its name
}

// wire is one line.
type wire struct {
	line Line
	row  int
	to   int // the trunk, -1 for one that goes straight
}

// trunk is the lane of a destination.
type trunk struct {
	lane   int
	pin    int // the row in which it leads to the box
	rows   []int
	closed bool // nothing gets through
}

// span are the first and last row of a trunk.
func (t trunk) span() (from, to int) {
	return min(t.pin, slices.Min(t.rows)), max(t.pin, slices.Max(t.rows))
}

// arrange decides where everything stands; false when boxes have no room.
func arrange(g *Graph, o Options) (*picture, bool) {
	if o.Width <= narrow || g.workloads() > mostBoxes || len(g.Lines) == 0 {
		return nil, false
	}
	var best *picture
	// More room between the lines makes a larger picture, and fewer lanes.
	for spacing := 1; spacing <= 3; spacing++ {
		p := place(g, spacing, o.ASCII)
		if best == nil || p.height+4*p.lanes <= best.height+4*best.lanes {
			best = p
		}
	}
	return best, best.fit(g, o)
}

// place decides the rows and lanes, with so many rows from a line of a source to the
// next.
func place(g *Graph, spacing int, ascii bool) *picture {
	p := &picture{}
	lines := g.ordered()
	used := map[int]bool{} // rows with a line
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && lines[i+n].From == lines[i].From {
			n++
		}
		b := box{node: g.node(lines[i].From), top: p.height, name: p.height + 1}
		for j, l := range lines[i : i+n] {
			p.wires = append(p.wires, wire{line: l, row: b.top + 1 + j*spacing, to: -1})
			used[b.top+1+j*spacing] = true
		}
		b.bottom = b.top + 2 + (n-1)*spacing
		p.left = append(p.left, b)
		p.height = b.bottom + 1
		i += n
	}
	p.placeRight(g, used, ascii)
	p.assignLanes()
	return p
}

// placeRight puts the destinations where a row without a line leads to them, or the
// row of the only line.
func (p *picture) placeRight(g *Graph, used map[int]bool, ascii bool) {
	next := 0
	for _, n := range g.Nodes {
		b := box{node: n, services: g.served(n.ID, ascii)}
		above := 0 // rows before that of the name
		if len(b.services) > 0 {
			above = len(b.services) + 2
		}
		var mine []int
		for i, w := range p.wires {
			if w.line.To == n.ID {
				mine = append(mine, i)
			}
		}
		if len(mine)+len(b.services) == 0 && slices.ContainsFunc(p.left, func(l box) bool { return l.node.ID == n.ID }) {
			continue
		}
		pin := next + above + 1
		straight := len(mine) == 1 && p.wires[mine[0]].row >= pin
		switch {
		case straight:
			pin = p.wires[mine[0]].row
		case len(mine) > 0:
			for used[pin] {
				pin++
			}
		}
		b.top, b.name, b.bottom = pin-above-1, pin, pin+1
		next = b.bottom + 1
		p.right = append(p.right, b)
		p.height = max(p.height, next)
		if straight || len(mine) == 0 {
			continue
		}
		t := trunk{pin: pin, closed: true}
		for _, i := range mine {
			p.wires[i].to = len(p.trunks)
			t.rows = append(t.rows, p.wires[i].row)
			t.closed = t.closed && p.wires[i].line.stops()
		}
		p.trunks = append(p.trunks, t)
	}
}

// assignLanes gives each trunk the first lane that is free in its rows, with a row
// between it and the next.
func (p *picture) assignLanes() {
	order := make([]int, len(p.trunks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		fromA, _ := p.trunks[a].span()
		fromB, _ := p.trunks[b].span()
		return cmp.Compare(fromA, fromB)
	})
	var ends []int // the last row of each lane
	for _, i := range order {
		from, to := p.trunks[i].span()
		lane := slices.IndexFunc(ends, func(end int) bool { return end+1 < from })
		if lane < 0 {
			lane, ends = len(ends), append(ends, 0)
		}
		p.trunks[i].lane, ends[lane] = lane, to
	}
	p.lanes = len(ends)
}

// fit decides the widths; false when there is not room enough. What goes first is
// the room between lanes, then paths, then the middle of names.
func (p *picture) fit(g *Graph, o Options) bool {
	all := g.names(func(string) int { return 1 << 20 }, o.ASCII)
	titleL, titleR, request, least := 0, 0, 0, 0
	for _, b := range p.left {
		p.nameL = max(p.nameL, ansi.StringWidth(all.short[b.node.ID]))
		titleL = max(titleL, len(b.node.Kind)+2)
	}
	services := 0
	for _, b := range p.right {
		p.nameR = max(p.nameR, ansi.StringWidth(all.short[b.node.ID]))
		titleR = max(titleR, len(b.node.Kind)+2)
		for _, s := range b.services {
			services = max(services, ansi.StringWidth(s))
			titleR = max(titleR, len(Service)+2)
		}
	}
	for _, w := range p.wires {
		p.verdict = max(p.verdict, ansi.StringWidth(w.line.Verdict))
		request = max(request, ansi.StringWidth(w.line.request(o.ASCII)))
		least = max(least, w.line.least(o.ASCII))
	}
	// Before the label: a dash and a space; then symbol, space and verdict, a space.
	head := 2 + 2 + p.verdict + 1
	p.nameL, p.nameR = max(p.nameL, titleL), max(p.nameR, titleR, services)
	p.run, p.pitch, p.label = mostRun, 2, request
	over := func() int {
		return p.nameL + 4 + head + p.label + 1 + p.run + p.lanes*p.pitch + 2 + p.nameR + 4 - o.Width
	}
	if n := over(); n > 0 {
		p.run = max(p.run-n, leastRun)
	}
	if n := over(); n > 0 {
		p.label = max(p.label-n, least)
	}
	if over() > 0 {
		p.pitch = 1
	}
	leastL, leastR := max(titleL, leastName), max(titleR, leastName)
	for over() > 0 && (p.nameL > leastL || p.nameR > leastR) {
		if p.nameL-leastL >= p.nameR-leastR {
			p.nameL--
		} else {
			p.nameR--
		}
	}
	p.names = g.names(p.room, o.ASCII)
	for i := range p.right {
		p.names.cutServices(p.right[i].services, p.nameR, o.ASCII)
	}
	p.boxesL, p.boxesR = p.nameL+4, p.nameR+4
	return over() <= 0
}

// room is the width of a node's name: on both sides it has one.
func (p *picture) room(id string) int {
	is := func(b box) bool { return b.node.ID == id }
	switch onLeft, onRight := slices.ContainsFunc(p.left, is), slices.ContainsFunc(p.right, is); {
	case onLeft && onRight:
		return min(p.nameL, p.nameR)
	case onLeft:
		return p.nameL
	}
	return p.nameR
}

// served are the ports of Services that lead to a node, as they stand in its box.
func (g *Graph) served(id string, ascii bool) []string {
	home := g.home()
	var out []string
	for _, s := range g.Services {
		if s.To == id {
			out = append(out, spelt(s.words(home), ascii))
		}
	}
	return out
}

// words are a Service's name and port, without the namespace home.
func (l Link) words(home string) string {
	name := l.Service
	if home != "" {
		name = strings.TrimPrefix(name, home+"/")
	}
	return fmt.Sprintf("%s:%d/%s", name, l.Port, l.Protocol)
}
