// Package styles holds how the screens look: colours for light and dark
// backgrounds, and the glyphs, of which there is an ASCII set. State is always
// told by a word or a symbol; colour repeats it. The terminal's colour depth is
// the renderer's business.
package styles

import (
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
)

// Theme is one look. Make it with New.
type Theme struct {
	Dark, ASCII bool
	Glyphs

	Title, Text, Dim, Accent, Key     lipgloss.Style
	Good, Bad, Warn, Selected, Code   lipgloss.Style
	Border, Focused, Header, StatusOK lipgloss.Style
}

// Glyphs are the symbols of a look, each one cell wide.
type Glyphs struct {
	Pass, Fail, Run, Todo, Old, Cursor, Arrow, Bullet, Ellipsis, Times string

	Horizontal, Vertical, TopLeft, TopRight, BottomLeft, BottomRight string
	// Bar marks a block of code.
	Bar string
}

var unicode = Glyphs{
	Pass: "✓", Fail: "✗", Run: "●", Todo: "·", Old: "○", Cursor: "▸", Arrow: "→", Bullet: "•", Ellipsis: "…", Times: "×",
	Horizontal: "─", Vertical: "│", TopLeft: "╭", TopRight: "╮", BottomLeft: "╰", BottomRight: "╯", Bar: "▌",
}

var ascii = Glyphs{
	Pass: "+", Fail: "x", Run: "*", Todo: ".", Old: "o", Cursor: ">", Arrow: ">", Bullet: "-", Ellipsis: "~", Times: "x",
	Horizontal: "-", Vertical: "|", TopLeft: "+", TopRight: "+", BottomLeft: "+", BottomRight: "+", Bar: "|",
}

// New makes the look for a background, in ASCII or not.
func New(dark, plain bool) Theme {
	pick := lipgloss.LightDark(dark)
	fg := func(light, dark string) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(choose(pick, light, dark))
	}
	t := Theme{
		Dark: dark, ASCII: plain, Glyphs: unicode,
		Title: lipgloss.NewStyle().Bold(true), Text: lipgloss.NewStyle(),
		Dim: fg("#5f6368", "#9aa0a6"), Accent: fg("#005f87", "#87d7ff"),
		Key:  fg("#005f87", "#87d7ff").Bold(true),
		Good: fg("#136f2a", "#7fd78a"), Bad: fg("#b00020", "#ff8a80").Bold(true), Warn: fg("#7a5200", "#ffd166"),
		Selected: lipgloss.NewStyle().Reverse(true), Code: fg("#4a2f6b", "#d7b8ff"),
		Border: fg("#9aa0a6", "#5f6368"), Focused: fg("#005f87", "#87d7ff").Bold(true),
		Header: lipgloss.NewStyle().Bold(true).Reverse(true), StatusOK: fg("#005f87", "#87d7ff"),
	}
	if plain {
		t.Glyphs = ascii
	}
	return t
}

func choose(pick lipgloss.LightDarkFunc, light, dark string) color.Color {
	return pick(lipgloss.Color(light), lipgloss.Color(dark))
}

// WantsASCII says whether a terminal with these environment variables may lack
// more than ASCII: one that is told no UTF-8, or the Linux console.
func WantsASCII(getenv func(string) string) bool {
	if term := getenv("TERM"); term == "linux" || term == "dumb" {
		return true
	}
	// The first that is set decides, as in setlocale(3).
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return true
}
