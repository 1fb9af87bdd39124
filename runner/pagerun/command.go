package pagerun

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/record"
)

// screen keeps what the terminal shows.
type screen struct {
	mu    sync.Mutex // guards what follows
	text  []byte     // since the last clear, its beginning
	total int        // bytes since then
	tail  []byte     // the last bytes, in which a mark may have begun
	mark  chan struct{}
}

// read reads the terminal until it is closed.
func (s *screen) read(terminal io.Reader) {
	b := make([]byte, 32<<10)
	for {
		n, err := terminal.Read(b)
		s.mu.Lock()
		s.total += n
		if room := keptShown - len(s.text); room > 0 {
			s.text = append(s.text, b[:min(n, room)]...)
		}
		s.tail = append(s.tail, b[:n]...)
		if bytes.Contains(s.tail, []byte(Mark)) && s.mark != nil {
			close(s.mark)
			s.mark = nil
		}
		s.tail = bytes.Clone(s.tail[max(len(s.tail)-len(Mark), 0):])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// clear begins anew. The channel is closed when the next mark comes.
func (s *screen) clear() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.total, s.tail, s.mark = nil, 0, nil, make(chan struct{})
	return s.mark
}

func (s *screen) look() (text string, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text), s.total
}

// lateTime is how long a terminal's mark may come after the exit code.
const lateTime = 2 * time.Second

// settle waits for the mark, and gives what is shown before it.
func (s *screen) settle(mark <-chan struct{}) string {
	late := time.NewTimer(lateTime)
	defer late.Stop()
	select {
	case <-mark:
	case <-late.C:
	}
	text, _ := s.look()
	text, _, _ = strings.Cut(text, Mark)
	return plainText(text)
}

// placing moves to another line of the screen, as what draws it whole does.
var placing = regexp.MustCompile("\x1b\\[[0-9;]*[Hfd]")

var escape = regexp.MustCompile("\x1b(?:\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\-_])")

// plainText is what a terminal shows, without its escapes and other control characters.
func plainText(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r':
			return '\n' // a line that is drawn anew
		case r < ' ' && r != '\n' && r != '\t', r == 0x7f:
			return -1
		}
		return r
	}, escape.ReplaceAllString(placing.ReplaceAllString(text, "\n"), ""))
}

// end is how a command ended.
type end struct {
	code  *int   // nil where it was ended, or the shell is gone
	ended string // why it was ended; "" when it ended by itself
	shown string
}

// run runs a command, and ends it when it takes too much.
func (r *reader) run(ctx context.Context, text string, limit time.Duration) end {
	mark := r.screen.clear()
	if err := r.shell.Run(text); err != nil {
		r.gone = "the shell is gone"
		return end{ended: r.gone}
	}
	limitTimer := time.NewTimer(limit)
	defer limitTimer.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	why, stage := "", 0
	// stop goes one stage further: Ctrl-C, SIGKILL, the end of the shell.
	stop := func(because string) {
		if why == "" {
			why = because
		}
		stage++
		limitTimer.Reset(interruptTime)
		switch stage {
		case 1:
			_ = r.shell.Interrupt() // a shell that is gone is noticed by its Ends
		case 2:
			_ = r.shell.Kill()
		default:
			r.gone = why + ", and took the shell with it"
		}
	}
	told := r.shell.Told()
	done := ctx.Done()
	for r.gone == "" {
		select {
		case code, ok := <-r.shell.Ends():
			if !ok {
				r.gone = "it ended its shell"
				break
			}
			e := end{ended: why, shown: r.screen.settle(mark)}
			if why == "" {
				e.code = &code
			}
			return e
		case <-limitTimer.C:
			stop("it did not end within " + limit.String())
		case text, ok := <-told:
			if !ok {
				told = nil
				break
			}
			why = text
		case <-look.C:
			if _, total := r.screen.look(); total > maxShown && stage == 0 {
				stop(fmt.Sprintf("it showed more than %d MiB", maxShown>>20))
			}
		case <-done:
			done = nil
			stop("netdojo was ended")
		}
	}
	return end{ended: r.gone, shown: r.screen.settle(mark)}
}

// ownTimeout is what a command waits by itself, as kubectl's --timeout says.
var ownTimeout = regexp.MustCompile(`--timeout[= ](\d+)(s|m)?\b`)

func (r *reader) limit(c page.Command) time.Duration {
	if c.Endless != "" {
		return endlessTime
	}
	limit := r.t.CommandTimeout
	for _, m := range ownTimeout.FindAllStringSubmatch(c.Text, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 600 {
			continue
		}
		own := time.Duration(n) * time.Second
		if m[2] == "m" {
			own = time.Duration(min(n, 10)) * time.Minute
		}
		limit = max(limit, own+10*time.Second)
	}
	return limit
}

// command does one command of the page.
func (r *reader) command(ctx context.Context, c page.Command) record.PageCommand {
	entry := record.PageCommand{Number: c.Number, Line: c.Line, Text: c.Text}
	switch {
	case c.Skip != "":
		entry.State, entry.Why = record.CommandSkipped, c.Skip
		return entry
	case r.gone != "":
		entry.State, entry.Why = record.CommandNotRun, "the shell is gone"
		entry.Claims = unjudged(c, "the command was not run: the shell is gone")
		return entry
	}
	c, filled, unfilled := r.fill(ctx, c)
	if unfilled != "" {
		entry.State, entry.Why = record.CommandSkipped, unfilled
		return entry
	}
	switch {
	case c.Where != "":
		entry = r.typed(ctx, c, entry)
	case c.Opens:
		r.leavePod(ctx)
		entry = r.enterPod(ctx, c, entry)
	case c.Background:
		r.leavePod(ctx)
		entry = r.runBeside(ctx, c, entry)
	default:
		r.leavePod(ctx)
		entry = r.inShell(ctx, c, entry)
	}
	entry.Why = joined(filled, entry.Why)
	return entry
}

// inShell does one in the reader's own shell.
func (r *reader) inShell(ctx context.Context, c page.Command, entry record.PageCommand) record.PageCommand {
	text, renamed := r.hereNames(ctx, c.Text)
	began := time.Now()
	r.screen.mu.Lock()
	r.mark, r.beganAt = r.flows.Mark(), began
	r.screen.mu.Unlock()
	e := r.run(ctx, text, r.limit(c))
	entry.Ms = float64(time.Since(began).Microseconds()) / 1000
	entry.Exit = e.code
	r.shown[c.Number] = e.shown
	entry.Output = e.shown[:min(len(e.shown), keptOutput)]
	executions, writes, refusals := r.api.take()
	var dials []judged
	early := false
	for _, ex := range executions {
		if r.ofBeside(ex, c) {
			continue
		}
		if d := r.dial(ex); d != nil {
			ex.await(ctx)
			j := r.judge(ctx, d)
			dials = append(dials, j)
			early = early || j.look().early
			if ex.Attached && passing.MatchString(c.Text) {
				r.forget(ctx, &pod{ex, true})
			}
		}
	}
	told := append(r.awaitWrites(ctx, writes), refusals...)
	if r.gone == "" {
		if n := r.shell.Processes(); n > maxLeft {
			told = append(told, fmt.Sprintf("it left %d processes, which were ended", n))
			e.ended = told[len(told)-1]
			_ = r.shell.Kill()
		}
	}
	switch {
	case e.ended != "" && c.Endless != "" && r.gone == "":
		entry.State, entry.Why = record.CommandEnded, c.Endless
	case e.ended != "":
		entry.State, entry.Why = record.CommandFailed, e.ended
	case early:
		entry.State, entry.Why = record.CommandEnded, "it has no timeout of its own, and was ended after its drop"
	case e.code != nil && *e.code != 0 && !c.MayFail():
		entry.State, entry.Why = record.CommandFailed, fmt.Sprintf("it ended with exit code %d, and the page does not say so", *e.code)
	default:
		entry.State = record.CommandDone
	}
	if renamed != "" {
		told = append([]string{renamed}, told...)
	}
	if len(told) > 0 {
		if entry.State != record.CommandFailed && len(refusals) > 0 {
			entry.State = record.CommandFailed
		}
		entry.Why = joined(entry.Why, strings.Join(told, "; "))
	}
	if r.gone != "" {
		entry.Claims = unjudged(c, e.ended)
		return entry
	}
	entry.Claims = r.claims(c, e.code, r.shown, dials)
	r.hold(c, &entry, dials)
	return entry
}

// joined are two remarks in one line; either may be none.
func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// await waits for the end of a program that its kubectl did not wait for.
func (e *execution) await(ctx context.Context) {
	limit := time.NewTimer(lingerTime + time.Second)
	defer limit.Stop()
	ends := []<-chan struct{}{e.done}
	if e.told != nil {
		ends = append(ends, e.told)
	}
	for _, end := range ends {
		select {
		case <-end:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// unjudged are the claims of a command that was not done.
func unjudged(c page.Command, why string) []record.PageClaim {
	var all []record.PageClaim
	for _, claim := range c.Claims {
		all = append(all, record.PageClaim{Line: claim.Line, Kind: string(claim.Kind), Says: claim.Says, Observed: why})
	}
	return all
}

// dial is the connection that an execution is about; nil for none.
func (r *reader) dial(e *execution) *dial {
	words := e.Words
	if e.Attached {
		words = r.program(e)
	}
	d, ok := dialOf(e, words)
	if !ok {
		return nil
	}
	d.epoch = r.epoch
	if e.subjectErr != nil || e.subject.State == "" {
		d.subject = checks.Subject{State: checks.PodMissing, Namespace: e.Namespace, Pod: e.Pod}
	}
	return d
}

// begin is where the command that runs began: in the flow log, and in time.
func (r *reader) begin() (mark int, at time.Time) {
	r.screen.mu.Lock()
	defer r.screen.mu.Unlock()
	return r.mark, r.beganAt
}
