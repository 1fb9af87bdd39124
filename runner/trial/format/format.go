// Package format renders what trying labs found: lines while it goes on, JSON and
// JUnit at its end. It decides nothing.
package format

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/netdojo/netdojo/internal/printable"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/report/junit"
	"github.com/netdojo/netdojo/runner/trial"
)

// Line writes what was found of one lab: a line, and under it what is wrong.
func Line(w io.Writer, lab trial.Lab) error {
	var text strings.Builder
	word := "ok  "
	if !lab.OK() {
		word = "FAIL"
	}
	title := lab.Title
	if lab.Seed != "" {
		title += ", seed " + lab.Seed
	}
	fmt.Fprintf(&text, "%s  %-4s %s%s\n", word, lab.ID, title, tail(lab))
	for _, p := range lab.Problems {
		fmt.Fprintf(&text, "      %s\n", p)
		cureLine(&text, p.Cure)
	}
	for _, t := range lab.Tasks {
		for _, a := range t.Attempts {
			if a.NotSupported != "" {
				fmt.Fprintf(&text, "      task %s: %s\n", t.ID, a.NotSupported)
				break
			}
		}
	}
	if m := lab.Mutants(); m != nil {
		mutants(&text, *m)
	}
	for _, f := range lab.Failures() {
		fmt.Fprintf(&text, "      %s: %s\n", f.Place, about(f))
		fmt.Fprintf(&text, "        expected: %s\n", f.Expected)
		fmt.Fprintf(&text, "        observed: %s\n", f.Observed)
		if f.Detail != "" {
			fmt.Fprintf(&text, "        detail:   %s\n", f.Detail)
		}
		cureLine(&text, f.Cure)
	}
	if lab.Error != "" {
		fmt.Fprintf(&text, "      it did not come to its end: %s\n", strings.ReplaceAll(strings.TrimSpace(lab.Error), "\n", "\n      "))
		cureLine(&text, lab.Cure)
	}
	_, err := io.WriteString(w, printable.Text(text.String()))
	return err
}

// mutants says how many changes of the solutions are noticed, and which are not.
func mutants(text *strings.Builder, m trial.Mutants) {
	fmt.Fprintf(text, "      mutants: %.1f %% of %d noticed (%d by the engine, %d on the cluster); %d are the same as the solution, %d refused\n",
		m.Score(), m.Counted(), m.Engine, m.Live, m.Equivalent, m.Refused)
	for _, s := range m.Survivors {
		fmt.Fprintf(text, "      %s: survives: %s, %s %s: %s\n", s.Place, s.Object, s.Operator, s.Path, s.Change)
		fmt.Fprintf(text, "        no check: %s\n", s.Missing)
		if s.Because != "" {
			fmt.Fprintf(text, "        because:  %s\n", s.Because)
		}
	}
}

func cureLine(text *strings.Builder, cure string) {
	if cure != "" {
		fmt.Fprintf(text, "        cure:     %s\n", strings.ReplaceAll(cure, "\n", "\n                  "))
	}
}

// tail is what was done with a lab.
func tail(lab trial.Lab) string {
	attempts, checks := 0, 0
	for _, t := range lab.Tasks {
		for _, a := range t.Attempts {
			attempts++
			checks += a.Checks
		}
	}
	if attempts == 0 {
		return ""
	}
	return fmt.Sprintf(": %d answers, %d checks, %s", attempts, checks, duration(lab.TotalMs))
}

func about(f trial.Failure) string {
	if f.Task == "" {
		return f.What
	}
	text := fmt.Sprintf("task %s, answer %s", f.Task, f.Attempt)
	if f.Check != "" {
		text += ", check " + f.Check
	}
	return text + ", " + f.What
}

// End writes the last line, which counts the labs.
func End(w io.Writer, r trial.Record) error {
	failed := 0
	for _, l := range r.Labs {
		if !l.OK() {
			failed++
		}
	}
	verdict := "all are as declared"
	if failed > 0 {
		verdict = fmt.Sprintf("%d failed", failed)
	}
	_, err := fmt.Fprintf(w, "%d labs on %s in %s: %s\n", len(r.Labs), printable.Text(strings.TrimSpace(r.Provider+" "+r.Datapath)), duration(r.TotalMs), verdict)
	return err
}

func duration(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
}

// JSON writes the record.
func JSON(w io.Writer, r trial.Record) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// JUnit writes the record as JUnit XML: a suite a lab, a case an attempt. What keeps
// a lab from being tried is an error of its own.
func JUnit(w io.Writer, r trial.Record) error {
	all := junit.Suites{Name: "netdojo lab test", Time: junit.Seconds(float64(r.TotalMs))}
	for _, l := range r.Labs {
		s := junit.Suite{
			Name: strings.TrimSpace(called(l) + " " + l.Title), Timestamp: r.Started.UTC().Format(time.RFC3339),
			Time: junit.Seconds(float64(l.TotalMs)),
		}
		for _, t := range l.Tasks {
			for _, a := range t.Attempts {
				s.Cases = append(s.Cases, attemptCase(called(l), t.ID, a))
			}
		}
		if m := l.Mutants(); m != nil {
			s.Cases = append(s.Cases, mutantCase(l, *m))
		}
		if c, ok := labError(l); ok {
			s.Cases = append(s.Cases, c)
		}
		all.Suites = append(all.Suites, s)
	}
	return junit.Write(w, all)
}

// called is a lab's id, with its seed where it has one.
func called(l trial.Lab) string {
	if l.Seed == "" {
		return l.ID
	}
	return l.ID + labs.SeedMark + l.Seed
}

func attemptCase(lab, task string, a trial.Attempt) junit.Case {
	c := junit.Case{Name: a.Name, Class: "lab-" + lab + "." + task, Time: junit.Seconds(0)}
	if a.NotSupported != "" {
		c.Skipped = &junit.Skipped{Message: a.NotSupported}
		return c
	}
	if len(a.Failures) == 0 {
		return c
	}
	first := a.Failures[0]
	c.File, c.Line = first.File, first.Line
	var text strings.Builder
	for _, f := range a.Failures {
		fmt.Fprintf(&text, "%s: %s\n  expected: %s\n  observed: %s\n", f.Place, about(f), f.Expected, f.Observed)
		if f.Detail != "" {
			fmt.Fprintf(&text, "  detail: %s\n", f.Detail)
		}
	}
	c.Failure = &junit.Failure{
		Message: fmt.Sprintf("%s: expected %s, observed %s", about(first), first.Expected, first.Observed), Type: string(a.Kind), Text: text.String(),
	}
	return c
}

// mutantCase fails where too few are noticed; the survivors are told anyway.
func mutantCase(l trial.Lab, m trial.Mutants) junit.Case {
	var text strings.Builder
	mutants(&text, m)
	c := junit.Case{Name: "mutants", Class: "lab-" + called(l), Time: junit.Seconds(0), Out: text.String()}
	if len(m.Failures) > 0 {
		first := m.Failures[0]
		c.File, c.Line = first.File, first.Line
		c.Failure = &junit.Failure{Message: fmt.Sprintf("%s: expected %s, observed %s", first.What, first.Expected, first.Observed), Type: "mutants", Text: text.String()}
		return c
	}
	if !m.OK() {
		c.File, c.Line = m.Survivors[0].File, m.Survivors[0].Line
		c.Failure = &junit.Failure{Message: fmt.Sprintf("%.1f %% noticed, want %d %%", m.Score(), trial.LeastScore), Type: "mutants", Text: text.String()}
	}
	return c
}

func labError(l trial.Lab) (junit.Case, bool) {
	c := junit.Case{Name: "lab", Class: "lab-" + called(l), Time: junit.Seconds(0)}
	switch {
	case len(l.Problems) > 0:
		first := l.Problems[0]
		c.File, c.Line = first.File, first.Line
		var lines []string
		for _, p := range l.Problems {
			lines = append(lines, p.String())
		}
		c.Error = &junit.Failure{Message: first.String(), Type: "lab", Text: strings.Join(lines, "\n")}
	case l.Error != "":
		line, _, _ := strings.Cut(l.Error, "\n")
		c.Error = &junit.Failure{Message: line, Type: "environment", Text: l.Error}
	}
	return c, c.Error != nil
}
