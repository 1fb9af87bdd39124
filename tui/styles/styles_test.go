package styles

import (
	"image/color"
	"math"
	"testing"

	"charm.land/lipgloss/v2"
)

// contrast is that of WCAG 2.2, from 1 to 21.
func contrast(a, b color.Color) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(c color.Color) float64 {
	r, g, b, _ := c.RGBA()
	part := func(v uint32) float64 {
		s := float64(v) / 0xffff
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*part(r) + 0.7152*part(g) + 0.0722*part(b)
}

// TestContrast: every colour of text can be read on the backgrounds that terminals
// have, at 4.5 to 1 (WCAG 2.2, 1.4.3). Borders are no text.
func TestContrast(t *testing.T) {
	for _, look := range []struct {
		dark    bool
		grounds []string
	}{{true, []string{"#000000", "#1e1e1e", "#282c34"}}, {false, []string{"#ffffff", "#fafafa"}}} {
		theme := New(look.dark, false)
		for name, style := range map[string]lipgloss.Style{
			"dim": theme.Dim, "accent": theme.Accent, "key": theme.Key, "good": theme.Good, "bad": theme.Bad, "warn": theme.Warn,
			"code": theme.Code, "focused": theme.Focused, "status": theme.StatusOK,
		} {
			for _, ground := range look.grounds {
				if got := contrast(style.GetForeground(), lipgloss.Color(ground)); got < 4.5 {
					t.Errorf("%s on %s has a contrast of %.1f to 1", name, ground, got)
				}
			}
		}
	}
}
