package netmap

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/netdojo/netdojo/internal/printable"
)

// Sizes of the picture, in its own units; letters are of a font whose cells are all
// as wide.
const (
	letter   = 8.43 // the width of a letter of 14 units
	small    = 7.25 // of 12 units
	rowStep  = 26
	boxGap   = 18
	boxHead  = 26 // a box's kind, above its rows
	inset    = 12 // of text in a box
	margin   = 20
	field    = 180 // between the words and the boxes that lines lead to
	endStep  = 14  // from the end of a line to the next at one box
	mostName = 48  // letters of a name or a request; the whole is in the title
)

// svgBox is a box of the picture.
type svgBox struct {
	X, Y, Width, Height int
	Kind, Name, Whole   string
	TextX, KindY, NameY int
	Services            []svgService
}

// svgService is a box in it.
type svgService struct {
	X, Y, Width, Height, TextX, TextY int
	Text                              string
}

type svgText struct {
	Y    int
	Text string
}

// svgLine is a line of the picture.
type svgLine struct {
	Class             string // of its verdict
	Path              string
	WordsX, WordsY    int
	Symbol, Verdict   string
	Request, Sentence string
	EndX, EndY        int
	Stops             bool
}

// svgPicture is all of it.
type svgPicture struct {
	Width, Height int
	Title         string
	Boxes         []svgBox
	Lines         []svgLine
	Under         []svgText
}

//go:embed svg.tmpl
var svgSource string

var svgTemplate = template.Must(template.New("svg").Parse(svgSource))

// SVG draws a graph as a picture that needs nothing else: no font, no script. Its
// colours are those of a light or a dark page, as its reader has them; verdicts are told
// by words, symbols and the kind of line too. It is XML, and can stand in an HTML page.
func SVG(g Graph, title string) (string, error) {
	var b strings.Builder
	err := svgTemplate.Execute(&b, arrangeSVG(g, title))
	return b.String(), err
}

// svgLayout decides where everything stands.
type svgLayout struct {
	*svgPicture
	g              Graph
	home           string
	lines          []Line // ordered
	rows           []int  // the middle of each line's words
	widthL, widthR int
	words, right   int // where words begin, and the boxes on the right
	bottom         int
}

func arrangeSVG(g Graph, title string) *svgPicture {
	l := &svgLayout{svgPicture: &svgPicture{Title: xmlText(title)}, g: g, home: g.home(), lines: g.ordered()}
	l.widths()
	l.sources()
	l.targets()
	l.under()
	return l.svgPicture
}

// xmlText is text that XML can hold (XML 1.0, 2.2 Characters), and that turns no
// direction around.
func xmlText(text string) string {
	return strings.Map(func(r rune) rune {
		if r == 0xfffe || r == 0xffff {
			return '\ufffd'
		}
		return r
	}, printable.Line(text))
}

func short(text string) string { return cut(xmlText(text), mostName, false) }

func (l *svgLayout) name(id string) string { return xmlText(l.g.whole(l.g.node(id), l.home, false)) }

func cells(n int, each float64) int { return int(float64(n)*each) + 1 }

func (l *svgLayout) widths() {
	nameL, nameR, words := len(Service), len(Service), 0
	for _, line := range l.lines {
		nameL = max(nameL, ansi.StringWidth(short(l.name(line.From))))
		words = max(words, l.wide(line))
	}
	for _, n := range l.g.Nodes {
		nameR = max(nameR, ansi.StringWidth(short(l.name(n.ID))))
		for _, s := range l.g.served(n.ID, false) {
			nameR = max(nameR, ansi.StringWidth(short(s))+len("Service "))
		}
	}
	l.widthL, l.widthR = cells(nameL, letter)+2*inset, cells(nameR, letter)+2*inset
	l.words = margin + l.widthL + inset
	l.right = l.words + words + field
	l.Width = l.right + l.widthR + margin
}

// wide is the width of a line's words.
func (l *svgLayout) wide(line Line) int {
	return cells(2+len(line.Verdict)+1+ansi.StringWidth(short(line.request(false))), letter)
}

// sources puts boxes and words on the left.
func (l *svgLayout) sources() {
	y := margin
	for _, from := range runs(l.lines, func(line Line) string { return line.From }) {
		b := l.box(from[0].From, margin, y, l.widthL, boxHead+rowStep*len(from))
		for i := range from {
			l.rows = append(l.rows, y+boxHead+rowStep*i+rowStep/2-2)
		}
		l.Boxes = append(l.Boxes, b)
		y += b.Height + boxGap
	}
	l.bottom = y - boxGap
}

func (l *svgLayout) box(id string, x, y, width, height int) svgBox {
	name := l.name(id)
	return svgBox{
		X: x, Y: y, Width: width, Height: height, Kind: string(l.g.node(id).Kind), Name: short(name), Whole: name,
		TextX: x + inset, KindY: y + 18, NameY: y + boxHead + 14,
	}
}

// targets puts boxes on the right, evenly, and lines to them: each ends at a place
// of its own.
func (l *svgLayout) targets() {
	type target struct {
		id    string
		lines []int
		tall  int
	}
	var all []target
	tall := 0
	for _, n := range l.g.Nodes {
		t := target{id: n.ID}
		asks := false
		for i, line := range l.lines {
			asks = asks || line.From == n.ID
			if line.To == n.ID {
				t.lines = append(t.lines, i)
			}
		}
		served := len(l.g.served(n.ID, false))
		if len(t.lines)+served == 0 && asks {
			continue
		}
		t.tall = max(boxHead+rowStep*(1+served), endStep*len(t.lines)+8)
		tall += t.tall
		all = append(all, t)
	}
	y, gap := margin, boxGap
	if len(all) > 0 {
		gap = max(gap, (l.bottom-margin-tall)/(len(all)+1))
	}
	if gap > boxGap {
		y += gap
	}
	for _, t := range all {
		b := l.box(t.id, l.right, y, l.widthR, t.tall)
		for i, s := range l.g.served(t.id, false) {
			top := b.NameY + 10 + rowStep*i
			b.Services = append(b.Services, svgService{
				X: b.X + 6, Y: top, Width: b.Width - 12, Height: rowStep - 4, TextX: b.TextX, TextY: top + 16, Text: "Service " + short(s),
			})
		}
		for j, i := range t.lines {
			l.Lines = append(l.Lines, l.line(i, y+t.tall/2+(2*j-len(t.lines)+1)*endStep/2))
		}
		l.Boxes = append(l.Boxes, b)
		y += t.tall + gap
	}
	l.bottom = max(l.bottom, y-gap)
}

// line is a line from its words to a height of a box on the right.
func (l *svgLayout) line(i, end int) svgLine {
	line, y := l.lines[i], l.rows[i]
	begin, bend, tip := l.words+l.wide(line)+6, l.right-field, l.right-inset
	return svgLine{
		Class: line.Verdict, WordsX: l.words, WordsY: y + 5, Symbol: line.symbol(false), Verdict: line.Verdict,
		Request: short(line.request(false)), Sentence: xmlText(Sentences(Graph{Nodes: l.g.Nodes, Lines: []Line{line}})[0]),
		Path: fmt.Sprintf("M %d %d H %d C %d %d %d %d %d %d", begin, y, max(begin, bend), bend+field/2, y, bend+field/2, end, tip, end),
		EndX: tip, EndY: end, Stops: line.stops(),
	}
}

// under is what words mean.
func (l *svgLayout) under() {
	y := l.bottom + boxGap
	all := l.g.meaning(false)
	if where := l.g.where(false); where != "" {
		all = append([]string{where}, all...)
	}
	for _, n := range l.g.Notes {
		all = append(all, "note: "+n)
	}
	for _, text := range all {
		text = xmlText(text)
		l.Width = max(l.Width, cells(ansi.StringWidth(text), small)+2*margin)
		l.Under = append(l.Under, svgText{y + inset, text})
		y += rowStep - 6
	}
	l.Height = y + margin/2
}
