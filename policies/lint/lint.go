// Package lint judges policy files before they are applied, without a cluster: what
// the API would refuse, and what it would take and does not do what was meant, as
// far as the files and the workloads beside them show. It reads no files and asks no
// engine, so that an editor can call it at each save.
//
// It says nothing where it does not know: of pods in namespaces whose workloads it
// was not given, of addresses and of names outside it judges the form alone. A false
// complaint is worse than a miss.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// Code is the kind of a problem.
type Code string

// The kinds of problems.
const (
	Syntax         Code = "syntax"           // not YAML, or no Kubernetes object
	UnknownKind    Code = "unknown-kind"     // a kind, a group or a version that no cluster has
	UnknownField   Code = "unknown-field"    // the API server drops it or refuses the object
	WrongType      Code = "wrong-type"       // text for a number, a mapping for a list
	MissingField   Code = "missing-field"    // a field that has to be there, or has no value
	BadValue       Code = "bad-value"        // a value that is refused or never matches
	SelectsNothing Code = "selects-nothing"  // a selector that no pod or namespace matches
	WrongNamespace Code = "wrong-namespace"  // a policy where none of the pods that it means lives
	PortNotServed  Code = "port-not-served"  // a port on which no selected pod listens
	NoDNS          Code = "dns-closed"       // names are used and may not be asked for
	NameNotAsked   Code = "name-not-watched" // toFQDNs without a DNS rule that covers the name
	NoEffect       Code = "no-effect"        // a part of a policy that does nothing
	Isolates       Code = "isolates"         // a direction that is closed without being named
	Refused        Code = "refused"          // the policy engine refuses the policy
)

// Problem is one thing that is wrong with a file, where it is and how to mend it.
// Line and Column count from 1; 0 means that the whole file is meant.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Cure    string `json:"cure,omitempty"`
	Code    Code   `json:"code,omitempty"`
	// Object is KIND NAMESPACE/NAME; "" where no object could be read.
	Object string `json:"object,omitempty"`
	// Field is the path of what is meant in the object: spec.egress[0].toPorts.
	Field string `json:"field,omitempty"`
}

// File is a file's name, as it is told of, and its content.
type File struct {
	Name string
	Data []byte
}

// Input is what is judged, and by what.
type Input struct {
	Files []File
	// Beside holds the workloads and policies that are known too.
	Beside Beside
	// Namespace is of objects without one; default when empty.
	Namespace string
}

// Beside is what is known beside the files that are judged. It may be read once and
// used for many of them, at the same time too.
type Beside struct{ objects []object.Object }

// Read reads files to judge others by. What is wrong with them is not told, and what
// cannot be read is not known.
func Read(files []File) Beside {
	var b Beside
	for _, f := range files {
		if len(f.Data) > maxFile {
			continue
		}
		found, _ := object.Parse(f.Name, f.Data)
		for _, o := range found {
			if !isPolicy(o) || len(Schema(o)) == 0 {
				b.objects = append(b.objects, o)
			}
		}
	}
	return b
}

// Report is what was found.
type Report struct {
	// Problems are in the order of Files and, within one, of their lines.
	Problems []Problem
	// Policies is how many policies the files hold, Workloads how many workloads were
	// known to judge them by; without any, selectors and ports were not judged.
	Policies, Workloads int
}

// maxFile bounds a file that is judged: a policy has a few kilobytes, and what an API
// server takes is not much more than a megabyte.
const maxFile = 1 << 20

// maxProblems bounds what is told of one file.
const maxProblems = 100

// Check judges files.
func Check(in Input) Report {
	c := &checker{world: newWorld(), namespace: cmp.Or(in.Namespace, "default")}
	for _, o := range in.Beside.objects {
		c.learn(o)
	}
	var judged []*policy
	for _, f := range in.Files {
		judged = append(judged, c.read(f)...)
	}
	c.world.complete()
	for _, p := range judged {
		c.judge(p)
	}
	for _, p := range c.partly {
		c.selectors(p)
	}
	report := Report{Policies: len(judged) + len(c.partly), Workloads: c.world.workloads}
	report.Problems = ordered(in.Files, c.problems)
	return report
}

// checker gathers the problems.
type checker struct {
	namespace string
	world     *world
	policies  []*policy // all that are known and whose form is right
	// partly are judged policies whose form is wrong in a place: what their selectors
	// match is told all the same.
	partly []*policy
	// broken tells that a judged file holds a policy that could not be read, so that
	// what is missing may be in it.
	broken   bool
	problems []Problem
}

// learn takes up an object that is known beside the files.
func (c *checker) learn(o object.Object) {
	if p := readPolicy(o, c.namespace); p != nil {
		c.policies = append(c.policies, p)
		return
	}
	c.world.add(o, c.namespace)
}

// read takes up a file that is judged: its form is, and what it holds is known. It
// returns the policies whose form is right.
func (c *checker) read(f File) []*policy {
	if len(f.Data) > maxFile {
		c.problems = append(c.problems, Problem{
			File: f.Name, Code: Syntax, Message: fmt.Sprintf("is larger than %d bytes, and is not judged", maxFile),
			Cure: "keep policies in files of their own",
		})
		return nil
	}
	objects, err := object.Parse(f.Name, f.Data)
	if err != nil {
		c.broken = true
		c.problems = append(c.problems, syntaxProblems(f.Name, err)...)
	}
	var judged []*policy
	for _, o := range objects {
		wrong, p := Schema(o), readPolicy(o, c.namespace)
		for i := range wrong {
			if p != nil {
				wrong[i].Object = p.title()
			}
		}
		c.problems = append(c.problems, wrong...)
		switch {
		case len(wrong) > 0:
			c.broken = true
			if p != nil && !slices.ContainsFunc(wrong, func(w Problem) bool { return w.Field == "" || strings.HasPrefix(w.Field, "metadata") }) {
				c.partly = append(c.partly, p)
			}
		case p != nil:
			judged = append(judged, p)
			c.policies = append(c.policies, p)
			continue
		}
		if p == nil {
			c.world.add(o, c.namespace)
		}
	}
	return judged
}

// syntaxProblems takes the errors of object.Parse apart.
func syntaxProblems(file string, err error) []Problem {
	var problems []Problem
	for _, s := range object.SyntaxErrors(file, err) {
		problems = append(problems, Problem{File: s.File, Line: s.Line, Column: s.Column, Message: s.Message, Cure: s.Advice, Code: Syntax})
	}
	return problems
}

// ordered sorts by file and line, drops what is said twice, and bounds the rest.
func ordered(files []File, problems []Problem) []Problem {
	rank := map[string]int{}
	for i, f := range files {
		rank[f.Name] = i
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	var out []Problem
	count := map[string]int{}
	for _, p := range problems {
		if len(out) > 0 && out[len(out)-1] == p {
			continue
		}
		if count[p.File]++; count[p.File] <= maxProblems {
			out = append(out, p)
		}
	}
	return out
}

// judge looks at what a policy does, its form being right.
func (c *checker) judge(p *policy) {
	c.values(p)
	c.directions(p)
	if c.place(p) {
		return // its selectors are about pods of another namespace
	}
	c.selectors(p)
	c.dns(p)
}

// told adds a problem of a policy at a place in it.
func (c *checker) told(p *policy, at value, code Code, cure, format string, args ...any) {
	c.problems = append(c.problems, p.problem(at, code, cure, format, args...))
}

// isPolicy says whether an object is one of the policies that are judged.
func isPolicy(o object.Object) bool {
	k, ok := policies.Find(o.GetKind())
	return ok && k.GVK() == o.GroupVersionKind()
}

// String is the problem in one line, without its cure: FILE:LINE:COLUMN: message.
func (p Problem) String() string {
	switch {
	case p.Line == 0:
		return p.File + ": " + p.Message
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}
