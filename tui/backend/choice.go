package backend

import (
	"context"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/runner/event"
)

// Chooser knows the clusters that labs can be done on, and which of them is wanted.
type Chooser interface {
	// Choices are all of them in a fixed order. An error comes beside those that
	// could be found.
	Choices(ctx context.Context) ([]Choice, error)
	// Examine looks at what a choice needs. It ends within a fixed time, and then
	// says what did not answer.
	Examine(ctx context.Context, id string) Findings
	// Choose has labs be done on a choice from now on, and remembers it. A cluster
	// of another choice that runs is taken down first; where that fails, nothing
	// else changes.
	Choose(ctx context.Context, id string, listen event.Listener) error
	// Agree notes a yes to what a choice asks, until the program ends.
	Agree(id string)
}

// Choice is a cluster that labs can be done on.
type Choice struct {
	ID    string // stable
	Title string // kind with real Cilium
	Good  string // what it is good for, in sentences
	Takes string // how long it takes to come up on this machine, in sentences
	// Leave is what becomes of it when it runs and another is chosen, in a sentence.
	Leave string
	// Chosen says that labs are done on it. One choice has it.
	Chosen bool
	// Asks is what the learner has to agree to before a lab is opened on it, as a
	// question; "" is nothing.
	Asks string
	// Partial says that there may be labs that it cannot do.
	Partial bool
	// Foreign says that netdojo did not make it: it is examined only when the learner
	// wants that.
	Foreign bool
}

// Findings are what this machine, and a cluster that is there, say of a choice.
type Findings struct {
	Missing []Missing
	// Cannot is why labs cannot be done on it, by the lab.
	Cannot map[string]string
	// Refused says that those labs are refused; else they are judged as far as
	// that goes.
	Refused bool
}

// Fatal is the first thing without which no cluster can be brought up, nil for none.
func (f Findings) Fatal() *Missing {
	for i := range f.Missing {
		if f.Missing[i].Fatal {
			return &f.Missing[i]
		}
	}
	return nil
}

// Unable says which labs cannot be done, and why; "" when all can.
func (f Findings) Unable() string {
	by := map[string][]string{} // labs by the reason
	for lab, why := range f.Cannot {
		by[why] = append(by[why], lab)
	}
	var groups [][]string
	for _, labs := range by {
		slices.Sort(labs)
		groups = append(groups, labs)
	}
	if len(groups) == 0 {
		return ""
	}
	slices.SortFunc(groups, slices.Compare)
	var texts []string
	for _, labs := range groups {
		word := "lab "
		if len(labs) > 1 {
			word = "labs "
		}
		texts = append(texts, word+strings.Join(labs, ", ")+" ("+f.Cannot[labs[0]]+")")
	}
	head := "It cannot do "
	if !f.Refused {
		head = "It cannot judge all of "
	}
	return head + strings.Join(texts, "; ") + "."
}
