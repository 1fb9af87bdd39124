package tui

import (
	"slices"

	"github.com/netdojo/netdojo/tui/keys"
	"github.com/netdojo/netdojo/tui/pane"
	"github.com/netdojo/netdojo/tui/pane/checks"
	"github.com/netdojo/netdojo/tui/pane/explanation"
	"github.com/netdojo/netdojo/tui/pane/flows"
	"github.com/netdojo/netdojo/tui/pane/hints"
	"github.com/netdojo/netdojo/tui/pane/matrix"
	"github.com/netdojo/netdojo/tui/pane/network"
	"github.com/netdojo/netdojo/tui/pane/problems"
	"github.com/netdojo/netdojo/tui/pane/quiz"
	"github.com/netdojo/netdojo/tui/pane/shell"
	"github.com/netdojo/netdojo/tui/pane/solution"
	"github.com/netdojo/netdojo/tui/pane/text"
)

// kinds are the panes of the lab page, in the order in which tab goes through
// them. The first of a place is there when a lab is opened.
var kinds = []pane.Kind{
	text.Kind,
	shell.Kind,
	checks.Kind,
	flows.Kind,
	matrix.Kind,
	network.Kind,
	explanation.Kind,
	hints.Kind,
	solution.Kind,
	quiz.Kind,
	problems.Kind,
}

// bindings is the list of all keys: of everywhere, the pages and the panes.
var bindings = Bindings()

// Bindings lists all keys: of everywhere, the pages and the panes.
func Bindings() keys.List {
	all := keys.Pages()
	for _, k := range kinds {
		all = append(all, k.Keys...)
	}
	// A scope's bindings stand together.
	return all.In(slices.Concat(keys.Pages().Scopes(), all.Scopes()[len(keys.Pages().Scopes()):])...)
}
