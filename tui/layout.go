package tui

import (
	"github.com/netdojo/netdojo/tui/pane"
)

// wideFrom is the width from which panes stand side by side.
const wideFrom = 100

// rect is a pane's place on the page, its border included.
type rect struct{ x, y, w, h int }

func (r rect) inner() (width, height int) { return max(r.w-2, 1), max(r.h-2, 1) }

func (r rect) holds(x, y int) bool { return x >= r.x && x < r.x+r.w && y >= r.y && y < r.y+r.h }

// layout places the panes on a page of a size. The last line is the strip's.
func layout(width, height int, together bool) map[pane.Place]rect {
	h := height - 1
	if !together {
		whole := rect{0, 0, width, h}
		return map[pane.Place]rect{pane.Left: whole, pane.Right: whole, pane.Drawer: whole}
	}
	low := min(max(h*3/8, 8), 16)
	left := width * 9 / 20
	return map[pane.Place]rect{
		pane.Left:   {0, 0, left, h - low},
		pane.Right:  {left, 0, width - left, h - low},
		pane.Drawer: {0, h - low, width, low},
	}
}
