package pagerun

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/record"
)

// beside is a command that runs beside those that follow, in a terminal of its own, to
// the page's end.
type beside struct {
	screen  screen
	record  *record.Page
	at      int // its place in the record's commands
	command page.Command
}

// besideMark ends what such a command shows, where it ends by itself.
var besideMark = regexp.MustCompile("\x1enetdojo beside ([0-9]+)\x1e")

// started is what a command shows that others wait for.
var started = regexp.MustCompile(`(?m)^(?:Forwarding from|Starting to serve on) `)

// startTime is what such a command may take to begin.
const startTime = 15 * time.Second

// endTime is what it may take to end after its first word, when that was its last.
const endTime = 300 * time.Millisecond

// runBeside starts a command in a terminal of its own, and waits until it has begun.
func (r *reader) runBeside(ctx context.Context, c page.Command, entry record.PageCommand) record.PageCommand {
	began := time.Now()
	terminal, path, err := r.shell.Second()
	if err != nil {
		entry.State, entry.Why = record.CommandFailed, err.Error()
		entry.Claims = unjudged(c, entry.Why)
		return entry
	}
	b := &beside{record: r.record, at: len(r.record.Commands), command: c}
	go b.screen.read(io.LimitReader(terminal, maxShown)) // what shows more waits
	text, renamed := r.hereNames(ctx, c.Text)
	// A newline, as the command may end with a comment; the trap, as it may end the shell.
	e := r.run(ctx, fmt.Sprintf("( trap 'printf \"\\036netdojo beside %%s\\036\" $?' EXIT\n%s\n) <%s >%[2]s 2>&1 &", text, path), r.t.CommandTimeout)
	if e.code == nil || *e.code != 0 { // it is parsed before it is run
		entry.State, entry.Why, entry.Output = record.CommandFailed, joined("it did not begin", e.ended), shortOutput(e.shown)
		entry.Claims = unjudged(c, entry.Why)
		return entry
	}
	r.besides = append(r.besides, b)
	b.awaitStart(ctx, c)
	_, writes, refusals := r.api.take()
	told := append(r.awaitWrites(ctx, writes), refusals...)
	shown, code := b.look()
	entry.Ms, entry.State = milliseconds(began), record.CommandBeside
	entry.Why = c.Endless + ", and runs beside what follows"
	if code != nil && *code != 0 {
		entry.State, entry.Exit = record.CommandFailed, code
		entry.Why = fmt.Sprintf("it ended with exit code %d, and others were to run beside it", *code)
	}
	if len(refusals) > 0 {
		entry.State = record.CommandFailed
	}
	entry.Why = joined(joined(renamed, entry.Why), strings.Join(told, "; "))
	entry.Output = shortOutput(shown)
	for _, claim := range c.Claims {
		entry.Claims = append(entry.Claims, record.PageClaim{Line: claim.Line, Kind: string(claim.Kind), Says: claim.Says, Waits: true})
	}
	return entry
}

// look is what it has shown so far, and its exit code where it has ended by itself.
func (b *beside) look() (shown string, code *int) {
	text, _ := b.screen.look()
	if m := besideMark.FindStringSubmatchIndex(text); m != nil {
		n, _ := strconv.Atoi(text[m[2]:m[3]])
		return plainText(text[:m[0]]), &n
	}
	return plainText(text), nil
}

// awaitStart waits until a command says that it serves, or has shown something, or had a
// moment for that; and, where that may be why it ends, for its end.
func (b *beside) awaitStart(ctx context.Context, c page.Command) {
	limit, ready := besideTime, func(shown string) bool { return shown != "" }
	if c.Serves() {
		limit, ready = startTime, started.MatchString
	}
	await(ctx, limit, func() bool {
		shown, code := b.look()
		return ready(shown) || code != nil
	})
	shown, _ := b.look()
	await(ctx, endsIn(shown), func() bool {
		_, code := b.look()
		return code != nil
	})
}

// endsIn is how long a command may take to end after what it has shown first. What kubectl
// and others of Cobra's call an error is their last word.
func endsIn(shown string) time.Duration {
	switch shown = strings.ToLower(strings.TrimSpace(shown)); {
	case strings.HasPrefix(shown, "error"):
		return startTime
	case shown == "":
		return 0 // it had its moment
	}
	return endTime
}

// await waits until something is so, for some time at most.
func await(ctx context.Context, limit time.Duration, is func() bool) {
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// endBesides judges what the page says of what ran beside others. The end of the shell
// ends them.
func (r *reader) endBesides(ctx context.Context) {
	for _, b := range r.besides {
		c := b.command
		claims := func(shown string) (all []record.PageClaim) {
			for _, claim := range c.Claims {
				p := record.PageClaim{Line: claim.Line, Kind: string(claim.Kind), Says: claim.Says}
				if claim.Kind == page.Shows {
					claim.Since = 0
					showClaim(&p, claim, c.Number, map[int]string{c.Number: shown})
				} else {
					p.Observed = "it runs beside other commands, so that nobody can tell which of its connections is meant"
				}
				all = append(all, p)
			}
			return all
		}
		await(ctx, endlessTime, func() bool {
			shown, code := b.look()
			return code != nil || !slices.ContainsFunc(claims(shown), func(p record.PageClaim) bool { return !p.Passed })
		})
		shown, _ := b.look()
		r.shown[c.Number] = shown
		entry := &b.record.Commands[b.at]
		entry.Output = shortOutput(shown)
		if entry.State == record.CommandFailed {
			continue
		}
		if entry.Claims = claims(shown); len(entry.Claims) > 0 {
			r.t.Listener.Later(b.record.File, *entry)
		}
	}
	r.besides = nil
}

// ofBeside says whether a command in a pod was run by what runs beside a command, and not
// by the command.
func (r *reader) ofBeside(e *execution, c page.Command) bool {
	if len(r.besides) == 0 || len(e.Words) == 0 || hasAll(c.Text, e.Words) {
		return false
	}
	return slices.ContainsFunc(r.besides, func(b *beside) bool { return hasAll(b.command.Text, e.Words) })
}

func hasAll(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
