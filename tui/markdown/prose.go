package markdown

import (
	"fmt"
	"image/color"
	"regexp"
	"strings"

	"charm.land/glamour/v2"
	"charm.land/glamour/v2/ansi"
	glamourstyles "charm.land/glamour/v2/styles"
	"charm.land/lipgloss/v2"

	"github.com/netdojo/netdojo/tui/frame"
	"github.com/netdojo/netdojo/tui/styles"
)

// prose renders what is no block of code.
type prose struct {
	theme styles.Theme
	by    map[int]*glamour.TermRenderer // by width
}

// lines are a text in lines of at most width cells. Items of lists are set one by
// one: glamour keeps the breaks of their source, and does not indent what follows
// the first line.
func (p *prose) lines(text string, width int) []string {
	var out []string
	for i, c := range chunks(text) {
		if i > 0 && !(c.item && len(out) > 0 && c.tight) {
			out = append(out, "")
		}
		if !c.item {
			out = append(out, p.render(c.text, width)...)
			continue
		}
		head := strings.Repeat(" ", c.indent) + c.mark + " "
		if p.theme.ASCII {
			head = frame.ASCII(head)
		}
		rest := strings.Repeat(" ", len([]rune(head)))
		for n, line := range p.render(c.text, max(width-len(rest), 10)) {
			if n > 0 {
				head = rest
			}
			out = append(out, head+line)
		}
	}
	return out
}

// render has glamour render a text.
func (p *prose) render(text string, width int) []string {
	r := p.by[width]
	if r == nil {
		var err error
		if r, err = glamour.NewTermRenderer(glamour.WithStyles(style(p.theme)), glamour.WithWordWrap(width)); err != nil {
			return strings.Split(text, "\n")
		}
		p.by[width] = r
	}
	rendered, err := r.Render(text)
	if err != nil {
		rendered = text
	}
	if p.theme.ASCII {
		rendered = frame.ASCII(rendered)
	}
	return strings.Split(strings.ReplaceAll(strings.Trim(rendered, "\n"), "\t", "    "), "\n")
}

// chunk is an item of a list, or what stands between lists.
type chunk struct {
	text   string
	item   bool
	indent int
	mark   string
	tight  bool // follows an item without a line between
}

var itemForm = regexp.MustCompile(`^( *)([-*+]|[0-9]{1,9}[.)])( +)(.*)$`)

// chunks cut a text at its lists.
func chunks(text string) []chunk {
	var out []chunk
	blank, within := false, 0 // the width that an item's lines are indented by
	for _, line := range strings.Split(strings.Trim(text, "\n"), "\n") {
		bare := strings.TrimSpace(line)
		last := len(out) - 1
		indent := len(line) - len(strings.TrimLeft(line, " "))
		m := itemForm.FindStringSubmatch(line)
		switch {
		case bare == "":
			blank = true
			if last >= 0 && !out[last].item {
				out[last].text += "\n"
			}
			continue
		case m != nil && (last < 0 || out[last].item || blank) && len(m[1]) < 12:
			mark := m[2]
			if strings.ContainsAny(mark, "-*+") {
				mark = "•"
			}
			out = append(out, chunk{text: m[4], item: true, indent: len(m[1]), mark: mark, tight: last >= 0 && out[last].item && !blank})
			within = len(m[1]) + len(m[2]) + len(m[3])
		case last >= 0 && out[last].item && (!blank || indent >= within):
			sep := " "
			if blank {
				sep = "\n\n"
			}
			out[last].text += sep + bare
		case last >= 0 && !out[last].item:
			out[last].text += "\n" + line
		default:
			out = append(out, chunk{text: line})
		}
		blank = false
	}
	for i := range out {
		out[i].text = strings.Trim(out[i].text, "\n")
	}
	return out
}

// style is glamour's in the look's own colours, which can be read on its
// background, with no margin: the pane has a border.
func style(t styles.Theme) ansi.StyleConfig {
	s := glamourstyles.LightStyleConfig
	switch {
	case t.ASCII:
		s = glamourstyles.ASCIIStyleConfig
	case t.Dark:
		s = glamourstyles.DarkStyleConfig
	}
	none := uint(0)
	s.Document.Margin = &none
	s.Document.BlockPrefix, s.Document.BlockSuffix = "", ""
	s.Document.Color = nil // the terminal's own
	bold := true
	for _, h := range []*ansi.StyleBlock{&s.H1, &s.H2, &s.H3, &s.H4, &s.H5, &s.H6} {
		h.Prefix, h.Suffix = "", ""
		h.Color, h.BackgroundColor, h.Bold = nil, nil, &bold
	}
	if t.ASCII {
		return s
	}
	s.Heading.Color = hex(t.Accent)
	s.Code.Color, s.Code.BackgroundColor = hex(t.Code), nil
	s.Code.Prefix, s.Code.Suffix = "", ""
	s.Link.Color, s.LinkText.Color = hex(t.Accent), hex(t.Accent)
	s.Image.Color, s.ImageText.Color = hex(t.Accent), hex(t.Dim)
	s.HorizontalRule.Color = hex(t.Dim)
	return s
}

// hex is a style's foreground as glamour takes it.
func hex(s lipgloss.Style) *string {
	c := color.NRGBAModel.Convert(s.GetForeground()).(color.NRGBA)
	text := fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B)
	return &text
}
