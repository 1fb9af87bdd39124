package trial

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/labs/mutant"
	"github.com/netdojo/netdojo/manifests/object"
)

// Suspect is a field of an answer with another value of which more checks would pass,
// by the policy engine's word. What to write there it does not say.
type Suspect struct {
	Object string `json:"object"` // KIND [NAMESPACE/]NAME
	Path   string `json:"path"`   // the field: spec.ingress[0].from
	// File, Line and Column are where it is, from 1; 0 where that is not known. Of a field
	// that is not there they are those of the nearest one above it.
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	// Mends are the checks that would pass with another value there, of those that do
	// not. All says that no other check would fail then.
	Mends []string `json:"mends"`
	All   bool     `json:"all"`
}

// Near is what is wrong with an answer by the policy engine's word.
type Near struct {
	Failing  []string  // checks that do not bring what is expected
	Suspects []Suspect // the likeliest first; none where no single change helps
}

// mostSuspects is how many fields are named, mostRepairs how many changes are tried of
// those that are likely, and of the others.
const (
	mostSuspects = 3
	mostRepairs  = 1000
)

// Nearest finds the fields of an answer to a task that a single change could mend.
// Before are the objects that answer the tasks before it. It finds nothing where the
// engine does not take the answer, which tells why itself.
//
// It tries changes, one field at a time, and asks the engine what each would bring:
// the fewest checks that fail come first, then changes of a value before what would
// have to be added, and that before what would have to be removed.
func Nearest(ctx context.Context, e Engine, lab *labs.Lab, task labs.Task, before, answer []object.Object) (Near, error) {
	var out Near
	s, err := settingOf(lab, task)
	if err != nil {
		return out, err
	}
	base, err := read(lab.FS, lab.Workloads)
	if err != nil {
		return out, err
	}
	all, questions := interview(task, s)
	c := Comparison{Namespace: lab.Namespace, Base: append(base, mutant.Files(before)...), Ask: questions}
	first, rest := byLikelihood(mutant.Repairs(answer, s.vocabulary(task)))
	var ranked []helps
	for _, repairs := range [][]mutant.Mutant{first, rest} {
		c.Sets = [][]mutant.File{mutant.Files(answer)}
		for _, r := range repairs {
			c.Sets = append(c.Sets, r.Files)
		}
		found, err := e.Compare(ctx, c)
		if err != nil {
			return out, fmt.Errorf("ask the engine what would mend an answer: %w", err)
		}
		if found[0].Refused != "" {
			return out, nil
		}
		if out.Failing = failing(all, found[0].Said); len(out.Failing) == 0 {
			return out, nil
		}
		for i, r := range repairs {
			if f := found[i+1]; f.Refused == "" {
				after := failing(all, f.Said)
				if len(after) < len(out.Failing) {
					ranked = append(ranked, helps{r, without(out.Failing, after), len(after)})
				}
			}
		}
		if slices.ContainsFunc(ranked, func(h helps) bool { return h.left == 0 }) {
			break
		}
	}
	slices.SortStableFunc(ranked, func(a, b helps) int {
		return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(plausible[a.Operator], plausible[b.Operator]))
	})
	for _, h := range ranked {
		if h.left > ranked[0].left || len(out.Suspects) == mostSuspects {
			break
		}
		if slices.ContainsFunc(out.Suspects, func(s Suspect) bool { return s.Object == h.Object && s.Path == h.Path }) {
			continue
		}
		out.Suspects = append(out.Suspects, Suspect{
			Object: h.Object, Path: h.Path, File: h.File, Line: h.Line, Column: h.Column, Mends: h.mends, All: h.left == 0,
		})
	}
	return out, nil
}

// byLikelihood splits repairs into those of the mistakes that people make most, and
// the rest: where one of the former mends all, no other would come before it.
func byLikelihood(repairs []mutant.Mutant) (first, rest []mutant.Mutant) {
	for _, r := range repairs {
		if plausible[r.Operator] <= likely {
			first = append(first, r)
		} else {
			rest = append(rest, r)
		}
	}
	slices.SortStableFunc(rest, func(a, b mutant.Mutant) int { return cmp.Compare(plausible[a.Operator], plausible[b.Operator]) })
	return first[:min(len(first), mostRepairs)], rest[:min(len(rest), mostRepairs)]
}

// helps is a change with which more checks pass.
type helps struct {
	mutant.Mutant
	mends []string
	left  int // checks that fail with it
}

// plausible orders operators: those of which a person makes the reverse mistake more
// often come first. Values are mistyped; whole fields are left out more rarely.
var plausible = map[mutant.Operator]int{
	mutant.AndToOr: 1, mutant.OrToAnd: 1,
	mutant.PeersAdded: 2, mutant.LabelAdded: 3, mutant.PortAdded: 3, mutant.ExceptAdded: 3, mutant.L7Added: 3,
	mutant.PeerAdded: 4, mutant.NameNarrowed: 4, mutant.ExpressionAdded: 5, mutant.RuleAdded: 6,
	mutant.LabelDropped: 7, mutant.ExpressionDropped: 7, mutant.PortDropped: 7, mutant.SelectorEmptied: 7, mutant.ExceptDropped: 7,
	mutant.L7Dropped: 7, mutant.PeerRemoved: 8, mutant.RuleOpened: 8, mutant.RuleRemoved: 8,
}

// likely is the last place of those that are tried first.
const likely = 1

// failing are the checks that do not bring what is expected, by the engine's word. One
// of which it says nothing is not among them.
func failing(all []asked, said []Said) []string {
	var out []string
	for _, a := range all {
		if noticed(a, said) {
			out = append(out, a.check.ID)
		}
	}
	return out
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(some, id) })
}

// vocabulary is what repairs may write: what the lab has and what its checks ask for.
func (s setting) vocabulary(task labs.Task) mutant.Known {
	k := s.known
	k.Labels = map[string][]string{}
	for key, values := range s.known.Labels {
		k.Labels[key] = values
	}
	k.Labels["k8s-app"] = appendNew(k.Labels["k8s-app"], "kube-dns")
	k.Namespaces = appendNew(slices.Clone(k.Namespaces), "kube-system")
	k.Ports = append(slices.Clone(k.Ports), 53)
	for _, c := range task.Checks {
		learnOf(c, &k)
	}
	slices.Sort(k.Ports)
	k.Ports = slices.Compact(k.Ports)
	return k
}

// learnOf notes what a check dials.
func learnOf(c checks.Check, k *mutant.Known) {
	d, err := c.Destination()
	if err != nil {
		return
	}
	if d.Port != 0 {
		k.Ports = append(k.Ports, int64(d.Port))
	}
	if a, err := netip.ParseAddr(d.Host); err == nil {
		if !slices.Contains(k.Addresses, a) {
			k.Addresses = append(k.Addresses, a)
		}
	} else if strings.Contains(d.Host, ".") {
		k.Names = appendNew(k.Names, d.Host)
	}
	if p, ok := c.Probe.Probe.(*checks.DNS); ok {
		k.Names = appendNew(k.Names, strings.TrimSuffix(p.Name, "."))
	}
	if strings.HasPrefix(c.To, "http://") {
		path := cmp.Or(d.Path, "/")
		r := mutant.Request{Method: checks.Method(c), Path: path}
		if !slices.Contains(k.Requests, r) {
			k.Requests = append(k.Requests, r)
		}
		k.Names = appendNew(k.Names, d.Host)
	}
}
