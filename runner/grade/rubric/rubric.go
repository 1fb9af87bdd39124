// Package rubric reads what pairs are worth and how points become marks, from a file
// that an instructor writes. It knows no lab: Resolve compares a rubric with the pairs
// that there are.
package rubric

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/netdojo/netdojo/internal/typo"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/grade/result"
	"github.com/netdojo/netdojo/runner/grade/roster"
	"github.com/netdojo/netdojo/runner/grade/submission"
)

// File is a rubric as it is written. The zero File leaves all as the lab has it.
type File struct {
	Name string
	// Due is when submissions are due; zero where the rubric does not say.
	Due   time.Time
	Late  result.Late
	Round result.Rounding
	pairs []pair
}

// pair is an entry of pairs.
type pair struct {
	line int
	result.PairWeight
}

// Error is a rubric that cannot be used.
type Error struct {
	File            string
	Line            int // from 1; 0 for the whole file
	Message, Advice string
}

func (e *Error) Error() string {
	return submission.Problem{File: e.File, Line: e.Line, Message: e.Message}.String()
}

// Cure says how to mend the rubric.
func (e *Error) Cure() string { return e.Advice }

// maxPoints is more than any pair is worth.
const maxPoints = 1000

// Parse reads a rubric; name is its file's, for errors. Errors are *Error.
func Parse(name string, data []byte) (*File, error) {
	p := parser{file: &File{Name: name}}
	data = submission.Text(data)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		p.fail(1, "it is empty", "give it pairs, late or round: docs/grading.md")
		return nil, p.err
	} else if err != nil {
		line, message, advice := object.DescribeYAML(data, err)
		p.fail(line, message, advice)
		return nil, p.err
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		p.fail(more.Line, "a second document begins", "keep one rubric a file")
		return nil, p.err
	}
	top := p.fields(root.Content[0], "the rubric", "pairs", "late", "round")
	if n := top["pairs"]; n != nil {
		p.pairs(n)
	}
	if n := top["late"]; n != nil {
		p.late(n)
	}
	if n := top["round"]; n != nil {
		p.round(n)
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.file, nil
}

// Resolve gives each pair of a lab what it is worth: by the rubric, else what the lab
// says. A pair that the lab does not have is an *Error.
func (f *File) Resolve(tasks []result.Task) (*result.Rubric, error) {
	out := &result.Rubric{Late: f.Late, Round: f.Round}
	var known []string
	for _, t := range tasks {
		for _, p := range t.Pairs {
			out.Pairs = append(out.Pairs, result.PairWeight{Task: t.ID, Allow: p.Allow, Deny: p.Deny, Points: p.Max})
			known = append(known, fmt.Sprintf("{task: %q, allow: %s, deny: %s}", t.ID, p.Allow, p.Deny))
		}
	}
	given := map[int]int{} // the line that gave a pair of out its points
	for _, p := range f.pairs {
		found := false
		for i := range out.Pairs {
			w := &out.Pairs[i]
			if p.Task != "" && p.Task != w.Task || p.Allow != w.Allow || p.Deny != w.Deny {
				continue
			}
			if line, twice := given[i]; twice {
				return nil, &Error{f.Name, p.line, fmt.Sprintf("the pair of %s and %s has points already, in line %d", p.Allow, p.Deny, line), "keep one of the two"}
			}
			given[i], found, w.Points = p.line, true, p.Points
		}
		if !found {
			task := ""
			if p.Task != "" {
				task = "task " + p.Task + " of "
			}
			return nil, &Error{
				f.Name, p.line, fmt.Sprintf("%sthe lab has no pair of %s and %s", task, p.Allow, p.Deny),
				"its pairs are " + strings.Join(known, ", "),
			}
		}
	}
	if out.Most() == 0 {
		return nil, &Error{f.Name, 0, "by it nothing is worth a point", "give points to a pair"}
	}
	return out, nil
}

// parser keeps the first error.
type parser struct {
	file *File
	err  *Error
}

func (p *parser) fail(line int, message, advice string) {
	if p.err == nil {
		p.err = &Error{p.file.Name, line, message, advice}
	}
}

// fields are the values of a mapping, by name; none where it is no mapping.
func (p *parser) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		p.fail(n.Line, what+" is no mapping", "its fields are "+strings.Join(known, ", "))
		return out
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !slices.Contains(known, key.Value) {
			advice := "its fields are " + strings.Join(known, ", ")
			if near := typo.Nearest(key.Value, known); near != "" {
				advice = "write " + near + "; " + advice
			}
			p.fail(key.Line, fmt.Sprintf("%s has no field %q", what, key.Value), advice)
		}
		if out[key.Value] != nil {
			p.fail(key.Line, fmt.Sprintf("%s has %s twice", what, key.Value), "keep one of the two")
		}
		out[key.Value] = n.Content[i+1]
	}
	return out
}

func (p *parser) pairs(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n.Line, "pairs is no list", "write each pair as - {allow: CHECK, deny: CHECK, points: N}")
		return
	}
	for _, entry := range n.Content {
		f := p.fields(entry, "a pair", "task", "allow", "deny", "points")
		one := pair{line: entry.Line}
		one.Task, one.Allow, one.Deny = text(f["task"]), text(f["allow"]), text(f["deny"])
		switch {
		case one.Allow == "" || one.Deny == "":
			p.fail(entry.Line, "a pair lacks allow or deny", "name the two checks: {allow: CHECK, deny: CHECK, points: N}")
		case f["points"] == nil:
			p.fail(entry.Line, fmt.Sprintf("the pair of %s and %s has no points", one.Allow, one.Deny), "say what it is worth: points: N, 0 for nothing")
		}
		points := p.number(f["points"], "points", 0, maxPoints)
		if points != math.Trunc(points) {
			p.fail(f["points"].Line, fmt.Sprintf("points are whole numbers, not %v", f["points"].Value), "multiply all points, as by 2 for halves")
		}
		one.Points = int(points)
		p.file.pairs = append(p.file.pairs, one)
	}
}

// text is a scalar's; "" for none.
func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// number reads a number that is to be in a range; 0 for none.
func (p *parser) number(n *yaml.Node, what string, least, most float64) float64 {
	if n == nil {
		return 0
	}
	var v float64
	if n.Decode(&v) != nil || !(v >= least && v <= most) {
		p.fail(n.Line, fmt.Sprintf("%s is no number from %g to %g", what, least, most), fmt.Sprintf("write a number from %g to %g", least, most))
		return 0
	}
	return v
}

func (p *parser) late(n *yaml.Node) {
	f := p.fields(n, "late", "due", "percent", "per", "grace", "most", "closes")
	l := &p.file.Late
	p.file.Due, l.Closes = p.moment(f["due"], "due"), p.moment(f["closes"], "closes")
	l.Percent, l.Most = p.number(f["percent"], "percent", 0, 100), p.number(f["most"], "most", 0, 100)
	switch per := f["per"]; {
	case per == nil || text(per) == "day":
	case text(per) == "hour":
		l.Hourly = true
	default:
		p.fail(per.Line, fmt.Sprintf("per is day or hour, not %q", per.Value), "write per: day, or per: hour")
	}
	if grace := f["grace"]; grace != nil {
		d, err := time.ParseDuration(text(grace))
		if err != nil || d < 0 || d%time.Minute != 0 {
			p.fail(grace.Line, fmt.Sprintf("grace is no time in minutes: %q", grace.Value), "write it as 15m or 2h")
		}
		l.GraceMinutes = int(d / time.Minute)
	}
	if !l.Closes.IsZero() && l.Closes.Before(p.file.Due) {
		p.fail(f["closes"].Line, "closes is before due", "let it be after the due time")
	}
}

// moment reads a time, as --due does.
func (p *parser) moment(n *yaml.Node, what string) time.Time {
	if n == nil {
		return time.Time{}
	}
	t, err := roster.ParseTime(text(n))
	if err != nil {
		p.fail(n.Line, what+" is no time: "+text(n), "write it as 2026-11-20T23:59:00+01:00 or 2026-11-20 23:59")
	}
	return t.UTC()
}

func (p *parser) round(n *yaml.Node) {
	f := p.fields(n, "round", "to", "way")
	r := &p.file.Round
	if f["to"] == nil {
		p.fail(n.Line, "round does not say to what", "write round: {to: 0.5}")
	}
	r.To = p.number(f["to"], "to", 0.01, maxPoints)
	ways := []string{result.Nearest, result.Up, result.Down}
	if way := f["way"]; way != nil {
		if r.Way = text(way); !slices.Contains(ways, r.Way) {
			p.fail(way.Line, fmt.Sprintf("no way of rounding is called %q", way.Value), "choose one of: "+strings.Join(ways, ", "))
		}
	}
}
