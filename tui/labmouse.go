package tui

import (
	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"github.com/netdojo/netdojo/tui/keys"
)

// pointed takes what the mouse does at a place of the page: a program in the
// shell that wants it gets it, else a click focuses a pane and the wheel scrolls
// the one below the pointer.
func (l *labPage) pointed(msg tea.MouseMsg, x, y, wheel int) tea.Cmd {
	for p, r := range l.places() {
		if x < r.x || x >= r.x+r.w || y < r.y || y >= r.y+r.h {
			continue
		}
		if p == shellPane && l.focus == shellPane && l.shell != nil && l.shell.Mouse(moved(msg, x-r.x-1, y-r.y-1)) {
			return nil
		}
		switch msg.(type) {
		case tea.MouseClickMsg:
			l.show(p)
			return l.ask()
		case tea.MouseWheelMsg:
			l.wheel(p, wheel)
		}
		return nil
	}
	return nil
}

// wheel scrolls a pane without focusing it.
func (l *labPage) wheel(p pane, by int) {
	focus := l.focus
	l.focus = p
	defer func() { l.focus = focus }()
	id := keys.Down
	if by < 0 {
		id, by = keys.Up, -by
	}
	for range by {
		l.move(id)
	}
}

// moved is a mouse's message at another place, as an emulator takes it.
func moved(msg tea.MouseMsg, x, y int) uv.MouseEvent {
	at := uv.Mouse(msg.Mouse())
	at.X, at.Y = x, y
	switch msg.(type) {
	case tea.MouseReleaseMsg:
		return uv.MouseReleaseEvent(at)
	case tea.MouseWheelMsg:
		return uv.MouseWheelEvent(at)
	case tea.MouseMotionMsg:
		return uv.MouseMotionEvent(at)
	}
	return uv.MouseClickEvent(at)
}
