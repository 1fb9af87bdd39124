package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

// PlainOptions says what the lines may use.
type PlainOptions struct {
	TTY   bool // progress is rewritten in place; otherwise only what is done is said
	Color bool
	Width int  // of the terminal in cells; 0 means 80
	Quiet bool // verdicts and what is wrong, no steps
	// Tick is how often a terminal's progress line tells the time anew; 0 means
	// twice a second.
	Tick time.Duration
}

// Plain renders events as lines. It belongs to one session at a time; Close
// ends it.
type Plain struct {
	o       PlainOptions
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the ticker has ended

	mu      sync.Mutex // guards what follows
	w       io.Writer
	err     error                // the first of writing; nothing is written after it
	current string               // what the progress line is about; "" when there is none
	since   time.Time            // when that began
	drawn   bool                 // the progress line stands on the terminal
	wide    int                  // width of the destinations of this phase
	asked   []event.CheckStarted // in this phase
}

// NewPlain returns a renderer that writes to w.
func NewPlain(w io.Writer, o PlainOptions) *Plain {
	if o.Width <= 0 {
		o.Width = 80
	}
	if o.Tick <= 0 {
		o.Tick = 500 * time.Millisecond
	}
	p := &Plain{w: w, o: o, stop: make(chan struct{}), stopped: make(chan struct{})}
	if o.TTY {
		go p.tick()
	} else {
		close(p.stopped)
	}
	return p
}

// tick keeps the elapsed time of the progress line moving.
func (p *Plain) tick() {
	defer close(p.stopped)
	ticker := time.NewTicker(p.o.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			if p.current != "" {
				p.draw()
			}
			p.mu.Unlock()
		}
	}
}

// Close ends the progress line and returns the first error of writing. It is
// called once.
func (p *Plain) Close() error {
	close(p.stop)
	<-p.stopped
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	return p.err
}

// Listen renders one event. It is an event.Listener.
func (p *Plain) Listen(e event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := e.(type) {
	case event.RunStarted:
		verb := "Running"
		if e.Checking {
			verb = "Checking"
		}
		p.line("%s lab %s, %s, on cluster %s", verb, e.Lab, e.Title, e.Cluster)
	case event.StepUpdate:
		p.step(e)
	case event.TaskStarted:
		p.line("")
		p.line("%s", p.paint(bold, "Task "+e.ID+"  "+e.Title))
	case event.PhaseStarted:
		p.line("  %s", phaseTitle(e.Phase))
		p.wide, p.asked = 0, e.Checks
		for _, c := range e.Checks {
			p.wide = max(p.wide, len(p.whither(c.Check, c.From, c.To)))
		}
	case event.CheckStarted:
		p.status("    %s  %s …", e.Check, strings.Join(e.Command, " "))
	case event.CheckVerdict:
		p.verdict(e.Check)
	case event.Applied:
		p.applied(e)
	case event.Deleted:
		p.status("  deleted %s %s", e.Kind, nameOf(e.Namespace, e.Name))
	case event.PolicyRejected:
		p.line("  %s %s %s: %s", p.paint(red, "rejected"), e.Object.Kind, placed(e.Object), e.Object.Rejected)
		if e.Object.Cure != "" {
			p.wrapped("    Cure: ", "          ", e.Object.Cure)
		}
	case event.Hint:
		p.line("")
		p.wrapped("  Hint: ", "        ", e.Text)
	case event.Notice:
		p.wrapped("  Note: ", "        ", e.Text)
	case event.Finished:
		p.finished(e)
	}
}

func (p *Plain) step(e event.StepUpdate) {
	indent := strings.Repeat("  ", e.Depth+1)
	switch e.State {
	case step.Started:
		p.status("%s%s …", indent, e.Name)
	case step.Progress:
		p.status("%s%s: %s", indent, e.Name, e.Detail)
		p.since = time.Now().Add(-e.Elapsed)
		p.draw()
	case step.Done:
		if p.o.Quiet {
			return
		}
		text := e.Name
		if e.Detail != "" {
			text += ", " + e.Detail
		}
		p.line("%s%s %s (%s)", indent, p.paint(green, "done"), text, brief(e.Elapsed))
	case step.Failed:
		p.line("%s%s %s (%s)", indent, p.paint(red, "failed"), e.Name, brief(e.Elapsed))
	}
}

func (p *Plain) applied(e event.Applied) {
	if p.o.Quiet {
		return
	}
	text := fmt.Sprintf("  applied %s %s", e.Object.Kind, placed(e.Object))
	if e.Object.EnforcedMs != nil {
		text += fmt.Sprintf(", enforced after %.0f ms", *e.Object.EnforcedMs)
	}
	p.line("%s", text)
}

func (p *Plain) verdict(c record.Check) {
	mark, colour := "ok  ", green
	if !c.Passed {
		mark, colour = "FAIL", red
	}
	p.line("    %s %-*s  %-12s %s", p.paint(colour, mark), p.wide, p.whither(c.ID, c.From, c.To), string(c.Verdict), tail(c))
	if c.Passed && c.Verdict == checks.Allowed {
		return
	}
	if !c.Passed {
		if c.From != "" { // a matrix has the same destination in many rows
			p.line("         from     %s", c.From)
		}
		facts := strings.Split(c.Detail, "; ")
		p.line("         expected %s, cause %s: %s", string(c.Expect), string(c.Cause), facts[0])
		for _, fact := range facts[1:] {
			p.line("           %s", fact)
		}
	}
	for _, line := range evidence(c) {
		p.line("         %s", line)
	}
}

// whither is what tells a check from the others of its phase, which end in any order:
// its destination, and what else it takes where several have that.
func (p *Plain) whither(id, from, to string) string {
	text := to
	others := slices.DeleteFunc(slices.Clone(p.asked), func(c event.CheckStarted) bool { return c.Check == id || c.To != to })
	if len(others) > 0 {
		text += " from " + from
	}
	if slices.ContainsFunc(others, func(c event.CheckStarted) bool { return c.From == from }) {
		text += ", " + id
	}
	return text
}

// tail is the short facts after a verdict.
func tail(c record.Check) string {
	facts := []string{fmt.Sprintf("%.0f ms", c.LatencyMs)}
	if c.HTTPStatus > 0 {
		facts = append([]string{fmt.Sprintf("HTTP %d", c.HTTPStatus)}, facts...)
	}
	switch {
	case c.ExitCode != nil:
		facts = append(facts, fmt.Sprintf("exit code %d", *c.ExitCode))
	case c.Evidence.Drop != nil:
		facts = append(facts, "probe ended at the drop")
	}
	return "(" + strings.Join(facts, ", ") + ")"
}

// Evidence is what proves a verdict, a line each.
func Evidence(c record.Check) []string { return evidence(c) }

func evidence(c record.Check) []string {
	var lines []string
	if k := c.Evidence.Control; k != nil {
		what := map[checks.ControlKind]string{
			checks.ControlBefore:        "the same probe was allowed before the policy",
			checks.ControlAfter:         "the same probe was allowed later, without the policy",
			checks.ControlSiblingClient: "another pod reaches the same destination",
			checks.ControlSibling:       "the same pod reaches another destination",
		}[k.Kind]
		text := fmt.Sprintf("control  %s: %s from %s/%s", what, k.To, k.Subject.Namespace, k.Subject.Pod)
		if k.HTTPStatus > 0 {
			text += fmt.Sprintf(", HTTP %d", k.HTTPStatus)
		}
		lines = append(lines, text)
	}
	if d := c.Evidence.Drop; d != nil {
		to := d.Destination
		if len(d.Names) > 0 {
			to += " (" + strings.Join(d.Names, ", ") + ")"
		}
		text := fmt.Sprintf("drop     %s %s %s to %s, %s", d.Direction, d.Protocol, d.Source, to, d.Reason)
		for _, by := range d.Policies {
			text += ", by " + strings.TrimSpace(by.Kind+" "+by.String())
		}
		lines = append(lines, text)
	}
	if !c.Passed {
		for _, by := range c.Evidence.Allow {
			lines = append(lines, "allowed by "+strings.TrimSpace(by.Kind+" "+by.String()))
		}
	}
	if c.Evidence.Message != "" {
		code := ""
		if c.ExitCode != nil {
			code = fmt.Sprintf("(%d) ", *c.ExitCode)
		}
		lines = append(lines, "curl     "+code+c.Evidence.Message)
	}
	for _, w := range c.Why {
		lines = append(lines, "why      "+w)
	}
	return lines
}

func (p *Plain) finished(e event.Finished) {
	p.line("")
	r := e.Run
	switch {
	case e.Err != nil:
		p.line("%s after %s: %s, %d not as expected", p.paint(red, "Stopped"), brief(e.Elapsed), verdicts(r.Passed+r.Failed), r.Failed)
	case r.OK():
		p.line("%s in %s: %s as expected; pods ready after %s",
			p.paint(green, "Passed"), brief(e.Elapsed), verdicts(r.Passed), brief(time.Duration(r.ReadyMs)*time.Millisecond))
	default:
		p.line("%s in %s: %d of %s not as expected",
			p.paint(red, "Failed"), brief(e.Elapsed), r.Failed, verdicts(r.Passed+r.Failed))
	}
}

func verdicts(n int) string {
	if n == 1 {
		return "1 verdict"
	}
	return fmt.Sprintf("%d verdicts", n)
}

func phaseTitle(p checks.Phase) string {
	if p == checks.Before {
		return "Before the policy"
	}
	return "With the policy"
}

func placed(o record.Applied) string {
	text := nameOf(o.Namespace, o.Name)
	switch {
	case o.Line > 0:
		text += fmt.Sprintf(" (%s:%d)", o.File, o.Line)
	case o.File != "":
		text += " (" + o.File + ")"
	}
	return text
}

func nameOf(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// brief is a duration for people: 480ms, 2.3s, 1m05s.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
