package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/netmap"
	"github.com/netdojo/netdojo/runner/record"
)

//go:embed html.tmpl
var htmlText string

var htmlPage = template.Must(template.New("run").Funcs(template.FuncMap{
	"brief":    func(ms int64) string { return brief(time.Duration(ms) * time.Millisecond) },
	"command":  func(words []string) string { return strings.Join(words, " ") },
	"evidence": labelled,
	"ms":       func(ms float64) string { return fmt.Sprintf("%.0f ms", ms) },
	"phases":   phasesOf,
	"picture":  pictureOf,
	"placed":   placed,
	"verdicts": verdicts,
}).Parse(htmlText))

// HTMLParts are the templates "style", a page's style element, and "task", a task of
// a record as a section, for pages that hold more than one record. The template
// is a copy.
func HTMLParts() *template.Template { return template.Must(htmlPage.Clone()) }

// HTML writes the record as one page that needs nothing else: no script, no
// picture or style that is elsewhere. It can be printed, and read on a phone.
func HTML(w io.Writer, run record.Run) error { return htmlPage.Execute(w, run) }

// labelledFact is one line of evidence: "drop", and what the datapath told.
type labelledFact struct{ Label, Text string }

func labelled(c record.Check) []labelledFact {
	var facts []labelledFact
	for _, line := range evidence(c) {
		label, text, _ := strings.Cut(line, " ")
		facts = append(facts, labelledFact{label, strings.TrimSpace(text)})
	}
	return facts
}

// phaseChecks are the checks of one phase of a task.
type phaseChecks struct {
	Title  string
	Checks []record.Check
}

// phasesOf splits a task's checks by phase. A phase without checks is left out.
func phasesOf(t record.Task) []phaseChecks {
	var phases []phaseChecks
	for _, phase := range []checks.Phase{checks.Before, checks.After} {
		p := phaseChecks{Title: phaseTitle(phase)}
		for _, c := range t.Checks {
			if c.Phase == phase {
				p.Checks = append(p.Checks, c)
			}
		}
		if len(p.Checks) > 0 {
			phases = append(phases, p)
		}
	}
	return phases
}

// pictureOf is the map of a task: of the last phase that opened a connection, "" for
// none.
func pictureOf(t record.Task) (template.HTML, error) {
	for _, phase := range []checks.Phase{checks.After, checks.Before} {
		g := netmap.FromRecord(t, phase)
		if len(g.Lines) == 0 {
			continue
		}
		picture, err := netmap.SVG(g, "Map of task "+t.ID+", "+strings.ToLower(phaseTitle(phase)))
		// The picture escapes what is in it.
		return template.HTML(picture), err
	}
	return "", nil
}
