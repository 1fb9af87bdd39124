package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs/page"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
	"github.com/netdojo/netdojo/runner/report/junit"
)

// PageFormat writes the record of pages when their session has ended.
type PageFormat struct {
	Name  string // as on the command line
	Write func(io.Writer, record.Pages) error
}

// PageFormats are all, in the order in which they are listed.
var PageFormats = []PageFormat{
	{"json", PagesJSON},
	{"junit", PagesJUnit},
	{"html", PagesHTML},
	{"github", PagesGitHub},
}

// PagePlain renders a session of pages as lines.
type PagePlain struct{ *Plain }

// Session is told of steps, objects and remarks.
func (p PagePlain) Session(e event.Event) {
	if a, ok := e.(event.Applied); ok && a.Object.Kind != "" {
		return // what a page needs is not what it is about
	}
	p.Listen(e)
}

// Page begins a page.
func (p PagePlain) Page(pg page.Page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("")
	p.line("%s", p.paint(bold, "Page "+pg.File+"  "+pg.Title))
	for _, n := range pg.Notes {
		p.line("  %s:%d: note: %s", pg.File, n.Line, n.Text)
	}
}

// Command tells what became of a command.
func (p PagePlain) Command(file string, c record.PageCommand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("  %s %s:%d  %s", p.state(c.State), file, c.Line, brieflyTyped(c.Text))
	if c.Why != "" {
		p.wrapped("         ", "         ", c.Why)
	}
	if c.State == record.CommandFailed && len(c.Claims) == 0 {
		for _, l := range lastLines(c.Output, 5) {
			p.line("         | %s", l)
		}
	}
	for _, claim := range c.Claims {
		p.claim(file, claim)
	}
}

func (p PagePlain) state(s record.CommandState) painted {
	switch s {
	case record.CommandFailed:
		return p.paint(red, "FAIL")
	case record.CommandNotRun:
		return p.paint(red, "none")
	case record.CommandSkipped:
		return p.paint(bold, "skip")
	case record.CommandEnded:
		return p.paint(green, "end ")
	case record.CommandBeside:
		return p.paint(green, "side")
	}
	return p.paint(green, "ran ")
}

// Later tells what became of claims that waited.
func (p PagePlain) Later(file string, c record.PageCommand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("  %s %s:%d  %s", p.paint(bold, "then"), file, c.Line, brieflyTyped(c.Text))
	for _, claim := range c.Claims {
		p.claim(file, claim)
	}
}

func (p PagePlain) claim(file string, c record.PageClaim) {
	mark, colour := "ok  ", green
	switch {
	case c.Waits:
		text := claimed(c)
		if c.Verdict != "" {
			text += " so far"
		}
		p.line("    %s %s:%d  %s", p.paint(bold, "wait"), file, c.Line, text)
		return
	case !c.Passed:
		mark, colour = "FAIL", red
	}
	p.line("    %s %s:%d  %s", p.paint(colour, mark), file, c.Line, claimed(c))
	if c.Passed && c.Verdict == "" {
		return
	}
	for _, f := range claimFacts(c) {
		p.wrapped(fmt.Sprintf("         %-8s ", f.Label), "                  ", f.Text)
	}
}

// claimed is what the page says, and what was found.
func claimed(c record.PageClaim) string {
	text := fmt.Sprintf("%s: %q", c.Kind, c.Says)
	if c.Verdict != "" {
		text += " is " + string(c.Verdict)
	}
	return text
}

// claimFacts are what a claim rests on.
func claimFacts(c record.PageClaim) []labelledFact {
	var facts []labelledFact
	add := func(label, text string) {
		if text != "" {
			facts = append(facts, labelledFact{label, text})
		}
	}
	if !c.Passed || c.Verdict != checks.Allowed {
		add("observed", c.Observed)
	}
	add("rule", c.Rule)
	facts = append(facts, labelled(record.Check{Passed: true, Evidence: checks.Evidence{Control: c.Evidence.Control, Drop: c.Evidence.Drop}})...)
	if !c.Passed {
		add("should", c.Should)
	}
	return facts
}

// Finished is the last line.
func (p PagePlain) Finished(r record.Pages, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("")
	var passed, failed, broken, skipped, unclaimed int
	for _, pg := range r.Pages {
		passed, failed, broken = passed+pg.Passed, failed+pg.Failed, broken+pg.Broken
		skipped, unclaimed = skipped+pg.Skipped, unclaimed+pg.Unclaimed
	}
	rest := fmt.Sprintf("%d commands not for netdojo to run, %d outputs without a claim", skipped, unclaimed)
	switch {
	case err != nil:
		p.line("%s: %d claims hold, %d do not", p.paint(red, "Stopped"), passed, failed)
	case r.OK():
		p.line("%s in %s: %d claims hold; %s", p.paint(green, "Passed"), milliseconds(r.TotalMs), passed, rest)
	default:
		p.line("%s in %s: %d claims hold, %d do not, %d commands failed; %s", p.paint(red, "Failed"), milliseconds(r.TotalMs), passed, failed, broken, rest)
	}
}

func brieflyTyped(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if more {
		line += " …"
	}
	return line
}

func milliseconds(ms int64) string { return brief(time.Duration(ms) * time.Millisecond) }

func lastLines(text string, n int) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[max(len(lines)-n, 0):]
}

// PagesJSON writes the record as it is.
func PagesJSON(w io.Writer, r record.Pages) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// PagesJUnit writes JUnit XML: a suite a page, a case a command and a case a claim.
func PagesJUnit(w io.Writer, r record.Pages) error {
	all := junit.Suites{Name: "netdojo pages", Time: junit.Seconds(float64(r.TotalMs))}
	for _, pg := range r.Pages {
		s := junit.Suite{Name: pg.File, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05Z07:00")}
		total := 0.0
		for _, c := range pg.Commands {
			total += c.Ms
			entry := junit.Case{Name: fmt.Sprintf("line %d: %s", c.Line, brieflyTyped(c.Text)), Class: pg.File, Time: junit.Seconds(c.Ms), Out: xmlText(c.Output)}
			switch c.State {
			case record.CommandFailed, record.CommandNotRun:
				entry.Failure = &junit.Failure{Message: fmt.Sprintf("%s:%d: %s", pg.File, c.Line, c.Why), Type: string(c.State), Text: c.Why}
			case record.CommandSkipped:
				entry.Skipped = &junit.Skipped{Message: c.Why}
			}
			s.Cases = append(s.Cases, entry)
			for _, claim := range c.Claims {
				entry := junit.Case{Name: fmt.Sprintf("line %d: %s %s", claim.Line, claim.Kind, claim.Says), Class: pg.File, Time: junit.Seconds(0), Out: factText(claim)}
				if !claim.Passed {
					entry.Failure = &junit.Failure{Message: fmt.Sprintf("%s:%d: %s", pg.File, claim.Line, claimed(claim)), Type: claim.Kind, Text: factText(claim)}
				}
				s.Cases = append(s.Cases, entry)
			}
		}
		s.Time = junit.Seconds(total)
		all.Suites = append(all.Suites, s)
	}
	if r.Error != "" {
		all.Suites = append(all.Suites, junit.Suite{Name: "session", Time: junit.Seconds(0), Cases: []junit.Case{{
			Name: "session", Class: "netdojo", Time: junit.Seconds(0), Error: &junit.Failure{Message: firstLine(r.Error), Type: "environment", Text: r.Error},
		}}})
	}
	return junit.Write(w, all)
}

// xmlText is text without what XML 1.0 cannot hold.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, s)
}

func factText(c record.PageClaim) string {
	var lines []string
	for _, f := range claimFacts(c) {
		lines = append(lines, f.Label+": "+f.Text)
	}
	return xmlText(strings.Join(lines, "\n"))
}

// PagesGitHub writes GitHub Actions' workflow commands: an error for each claim and
// each command that fails, at its line.
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func PagesGitHub(w io.Writer, r record.Pages) error {
	var b strings.Builder
	say := func(level, file string, line int, title, text string) {
		escape := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
		property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
		fmt.Fprintf(&b, "::%s file=%s,line=%d,title=%s::%s\n", level, property.Replace(printable.Line(file)), line, property.Replace(title), escape.Replace(printable.Text(text)))
	}
	for _, pg := range r.Pages {
		for _, c := range pg.Commands {
			switch c.State {
			case record.CommandFailed, record.CommandNotRun:
				say("error", pg.File, c.Line, "This command fails", brieflyTyped(c.Text)+"\n"+c.Why)
			case record.CommandSkipped:
				say("notice", pg.File, c.Line, "This command is not run", c.Why)
			}
			for _, claim := range c.Claims {
				if !claim.Passed {
					say("error", pg.File, claim.Line, "This claim does not hold", claimed(claim)+"\n"+factText(claim))
				}
			}
		}
		fmt.Fprintf(&b, "%s: %d claims hold, %d do not, %d commands failed\n", printable.Line(pg.File), pg.Passed, pg.Failed, pg.Broken)
	}
	if r.Error != "" {
		say("error", "", 0, "netdojo", r.Error)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

//go:embed page.tmpl
var pagesText string

var pagesPage = template.Must(template.New("pages").Funcs(template.FuncMap{
	"brief":   milliseconds,
	"claimed": claimed,
	"facts":   claimFacts,
	"typed":   brieflyTyped,
}).Parse(pagesText))

// PagesHTML writes the record as one page that needs nothing else.
func PagesHTML(w io.Writer, r record.Pages) error {
	return pagesPage.Execute(printable.NewWriter(w), r)
}
