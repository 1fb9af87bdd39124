package grading

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/tui/lesson"
)

// lookEvery is how often a run that goes on is looked at.
const lookEvery = time.Second

// talk is a conversation about results: questions and plain lines, each change told
// once.
type talk struct {
	from  Source
	out   io.Writer
	err   error // the first of writing
	lines *bufio.Reader
	names bool
	seen  grade.Seen
	now   func() time.Time
	every time.Duration
}

// errLeave ends the conversation.
var errLeave = errors.New("leave")

const commands = "list, show WHO, check WHO CHECK, follow, names, help, quit"

const help = `list     tells who has what; list WORDS those alone that have the words
show     WHO: a submission, with all its checks and what was not applied
check    WHO CHECK: what a verdict rests on; alone WHO tells those that failed
follow   tells what is judged, until the run has ended
names    tells people's names, or their pseudonyms again
quit     leaves
WHO is a pseudonym, a name or a number of the list.`

// Talk converses about results until somebody leaves, or in or ctx ends.
func Talk(ctx context.Context, from Source, in io.Reader, out io.Writer, names bool) error {
	t := &talk{from: from, out: out, lines: bufio.NewReader(in), names: names, now: time.Now, every: lookEvery}
	return t.run(ctx)
}

func (t *talk) run(ctx context.Context) error {
	var err error
	if t.seen, err = t.from.Look(); err != nil {
		return err
	}
	t.say("The %s. %s. %s", Title(t.seen), Standing(t.seen), Summary(t.seen))
	t.say("The commands are: %s.", commands)
	for err == nil && t.err == nil {
		var answer string
		if answer, err = t.ask(ctx); err == nil {
			err = t.look()
		}
		if err == nil {
			err = t.command(ctx, strings.Fields(answer))
		}
	}
	if errors.Is(err, errLeave) || errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(t.err, err)
}

func (t *talk) say(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format+"\n", printable.Args(args)...)
	}
}

// ask reads a line; the reader is left to the process's end when ctx ends.
func (t *talk) ask(ctx context.Context) (string, error) {
	if _, err := fmt.Fprint(t.out, "Command: "); err != nil {
		return "", err
	}
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := t.lines.ReadString('\n')
		got <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case <-ctx.Done():
		t.say("")
		return "", context.Cause(ctx)
	case a := <-got:
		if a.err != nil && a.line == "" {
			t.say("")
			return "", a.err
		}
		return a.line, nil
	}
}

// look looks again, and tells what was judged since.
func (t *talk) look() error {
	was := map[string]bool{}
	for _, m := range t.seen.Class.Marks {
		was[m.Submission+m.Digest] = true
	}
	seen, err := t.from.Look()
	if err != nil {
		return err
	}
	ended := t.seen.Now != nil && seen.Now == nil
	t.seen = seen
	for _, r := range Rows(seen, t.names, ByWho) {
		if r.Mark != nil && !was[r.ID+r.Mark.Digest] {
			t.row(r)
		}
	}
	if ended {
		t.say("The run has ended. %s. %s", Standing(seen), Summary(seen))
	}
	return nil
}

func (t *talk) row(r Row) { t.say("%s: %s, %s.", r.Who, r.Points(t.seen.Class.Max), r.Words(t.now())) }

func (t *talk) command(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	rest := strings.Join(words[1:], " ")
	switch words[0] {
	case "list":
		for i, r := range Rows(t.seen, t.names, ByWho) {
			if r.Matches(rest, t.now()) {
				t.say("%d. %s: %s, %s.", i+1, r.Who, r.Points(t.seen.Class.Max), r.Words(t.now()))
			}
		}
	case "show":
		t.about(rest, func(s Submission) { tell(t.say, s, t.seen.Class.Max, t.now()) })
	case "check":
		check := ""
		if len(words) > 2 {
			check, rest = words[len(words)-1], strings.Join(words[1:len(words)-1], " ")
		}
		t.about(rest, func(s Submission) {
			if !tellChecks(t.say, s, check) {
				t.say("There is no such check, or none failed.")
			}
		})
	case "follow":
		return t.follow(ctx)
	case "names":
		if !t.names && !HasNames(t.seen) {
			t.say("There is no map of people beside these results.")
			break
		}
		t.names = !t.names
		t.say("%s are told from now on.", map[bool]string{true: "Names", false: "Pseudonyms"}[t.names])
	case "help":
		for line := range strings.SplitSeq(help, "\n") {
			t.say("%s", line)
		}
	case "quit", "q":
		return errLeave
	default:
		t.say("There is no command %q. The commands are: %s.", words[0], commands)
	}
	return nil
}

// about looks into a submission that somebody means.
func (t *talk) about(who string, then func(Submission)) {
	rows := Rows(t.seen, t.names, ByWho)
	n, _ := strconv.Atoi(who)
	for i, r := range rows {
		if i+1 != n && !strings.EqualFold(r.ID, who) && (!t.names || !strings.EqualFold(r.Who, who)) {
			continue
		}
		sub, err := Into(t.from, t.seen, r, t.names)
		if err != nil {
			t.say("The record cannot be read: %v.", err)
			return
		}
		then(sub)
		return
	}
	t.say("Nobody is called %q; list tells who there is.", who)
}

// follow tells what is judged until the run ends.
func (t *talk) follow(ctx context.Context) error {
	if t.seen.Now == nil {
		t.say("No run goes on.")
		return nil
	}
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for t.seen.Now != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := t.look(); err != nil {
			return err
		}
	}
	return nil
}

// Tell writes a submission in plain lines, with the evidence of the checks that failed,
// or of the one check that is named by its ID or TASK/ID. Where there is none of that
// name it is false.
func Tell(w io.Writer, s Submission, most int, check string) (found bool, err error) {
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", printable.Args(args)...)
		}
	}
	if check == "" {
		tell(say, s, most, time.Now())
		say("")
		tellChecks(say, s, "")
		return true, err
	}
	found = tellChecks(say, s, check)
	return found, err
}

// sayer writes a line; its arguments are made printable.
type sayer func(format string, args ...any)

func tell(say sayer, s Submission, most int, now time.Time) {
	say("%s", s.Row.Who)
	tellFacts(say, s.Facts(most, now))
	for _, c := range s.Checks {
		say("  %s %s: %s", map[bool]string{true: "passed", false: "FAILED"}[c.Passed], c.Name(), c.Words())
	}
	for _, part := range s.Sections() {
		say("%s:", part.Title)
		for _, line := range part.Lines {
			say("  %s", line)
		}
	}
}

// tellChecks tells what the verdict of a check rests on, or of all that failed; false
// where there is none.
func tellChecks(say sayer, s Submission, check string) bool {
	found := false
	for _, c := range s.Checks {
		if check == "" && c.Passed || check != "" && check != c.ID && check != c.Name() {
			continue
		}
		found = true
		say("%s: %s", c.Name(), c.Words())
		tellFacts(say, c.Evidence())
	}
	return found
}

func tellFacts(say sayer, facts []lesson.Fact) {
	for _, f := range facts {
		say("  %-10s %s", f.Label, f.Text)
	}
}
