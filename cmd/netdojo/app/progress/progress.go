// Package progress shows the steps of long work on a terminal: one line a step,
// with what is waited for and the time since it began. Where there is no
// terminal it is quiet; the command says how it ended.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/internal/printable"
)

const tick = 100 * time.Millisecond

var frames = []string{"|", "/", "-", "\\"}

// Line shows updates on a terminal. Its Report is a step.Reporter and may be
// called from any goroutine. Stop ends it.
type Line struct {
	out   io.Writer
	width func() int
	quiet bool
	plain bool // no colours

	mu      sync.Mutex // guards what follows and writes to out
	name    string
	detail  string
	began   time.Time
	running bool
	frame   int

	stop chan struct{}
	done chan struct{}
}

// New starts a line on s.Err; it stays silent where that is no terminal.
func New(s *streams.Streams) *Line {
	l := &Line{
		out: s.Err, width: s.Width, quiet: !s.ErrTTY, plain: !s.ErrColor,
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if l.quiet {
		close(l.done)
		return l
	}
	go l.spin()
	return l
}

// Report takes an update.
func (l *Line) Report(u step.Update) {
	if l.quiet {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch u.State {
	case step.Started:
		l.name, l.detail, l.began, l.running = printable.Line(u.Name), "", time.Now(), true
		l.draw()
	case step.Progress:
		l.detail = printable.Line(u.Detail)
		l.draw()
	case step.Done:
		l.finish("done", "\x1b[32m", u)
	case step.Failed:
		l.finish("failed", "\x1b[31m", u)
	}
}

// Stop clears an unfinished line and waits until nothing more is written.
// Further calls do nothing.
func (l *Line) Stop() {
	if l.quiet {
		return
	}
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
		if l.running {
			fmt.Fprint(l.out, "\r\x1b[K")
			l.running = false
		}
	}
	l.mu.Unlock()
	<-l.done
}

func (l *Line) spin() {
	defer close(l.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.mu.Lock()
			if l.running {
				l.frame++
				l.draw()
			}
			l.mu.Unlock()
		}
	}
}

// draw writes the running step over its own line. The caller holds mu.
func (l *Line) draw() {
	text := fmt.Sprintf("%s %s", frames[l.frame%len(frames)], l.name)
	if l.detail != "" {
		text += ": " + l.detail
	}
	fmt.Fprintf(l.out, "\r\x1b[K%s", clip(text, seconds(time.Since(l.began)), l.width()))
}

// finish turns the running line into one that stays. The caller holds mu.
func (l *Line) finish(word, color string, u step.Update) {
	l.running = false
	text := printable.Line(u.Name)
	if u.Detail != "" {
		text += ": " + printable.Line(u.Detail)
	}
	text = clip(fmt.Sprintf("%-6s %s", word, text), seconds(u.Elapsed), l.width())
	if !l.plain {
		text = color + word + "\x1b[0m" + strings.TrimPrefix(text, word)
	}
	fmt.Fprintf(l.out, "\r\x1b[K%s\n", text)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// clip joins text and the time so that both fit on one line of width cells;
// the text gives way.
func clip(text, elapsed string, width int) string {
	room := width - len(elapsed) - 2
	if r := []rune(text); room > 1 && len(r) > room {
		text = string(r[:room-1]) + "…"
	}
	return text + " " + elapsed
}
