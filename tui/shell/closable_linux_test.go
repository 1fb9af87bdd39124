package shell

import (
	"testing"
	"time"
)

// TestEndWithTheTerminalHeld: nothing of ours goes on when the program has ended,
// although another that it left holds the terminal.
func TestEndWithTheTerminalHeld(t *testing.T) {
	s := start(t, `(trap '' HUP; echo ready; exec sleep 1000) & until [ -n "$left" ]; do read -r left; done`)
	defer func() { endSession(s.cmd) }() // the group is still that of what was left
	s.sees(t, "ready")
	s.Paste("go\n")
	<-s.Done()
	over := make(chan struct{})
	go func() {
		s.inside.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(time.Minute):
		t.Error("the terminal is still read")
	}
}

// TestResizeAtTheEnd: a window may change while the program ends.
func TestResizeAtTheEnd(t *testing.T) {
	for range 20 {
		s := start(t, "exit")
		for width, ended := 40, false; !ended; width++ {
			s.Resize(40+width%40, 12)
			select {
			case <-s.Done():
				ended = true
			default:
			}
		}
	}
}
