// Package keys is what a key binding is, and those of the pages; a pane brings
// its own. The footer, the help overlay, the palette and the documentation read
// one list of them all; a page says which of them is off, and why.
package keys

import (
	"fmt"
	"slices"
	"strings"
)

// ID names what a binding does.
type ID string

// Scope is where a binding works.
type Scope string

// Scopes of the pages; a pane has one of its own, see Pane.
const (
	Everywhere Scope = "everywhere"
	Start      Scope = "start page"
	Clusters   Scope = "cluster page"
	Provision  Scope = "provisioning page"
	Lab        Scope = "lab page"
)

// Pane is where a binding works that a pane has only while it has the focus.
func Pane(name string) Scope { return Scope(name + " pane") }

// The names of the pages' bindings.
const (
	Help    ID = "help"
	Quit    ID = "quit"
	Suspend ID = "suspend"
	Palette ID = "palette"
	Mouse   ID = "mouse"
	Restart ID = "restart"

	Up       ID = "up"
	Down     ID = "down"
	PageUp   ID = "page-up"
	PageDown ID = "page-down"
	Top      ID = "top"
	Bottom   ID = "bottom"

	Open     ID = "open"
	Search   ID = "search"
	TakeDown ID = "take-down"
	Cluster  ID = "cluster"
	Use      ID = "use"
	Look     ID = "look"

	Retry      ID = "retry"
	BeginEmpty ID = "begin-empty"
	Details    ID = "details"
	Back       ID = "back"

	NextPane ID = "next-pane"
	PrevPane ID = "previous-pane"
	Zoom     ID = "zoom"
	CopyView ID = "copy-view"

	Check    ID = "check"
	Edit     ID = "edit"
	Apply    ID = "apply"
	Baseline ID = "baseline"
	Solve    ID = "solve"
	NextTask ID = "next-task"
	PrevTask ID = "previous-task"
	Tasks    ID = "tasks"
	Reset    ID = "reset-task"
	ResetLab ID = "reset-lab"
	Watch    ID = "watch"
)

// Binding is what keys do, and where.
type Binding struct {
	ID    ID
	Keys  []string // as a key press spells itself
	Short string   // for the footer
	Long  string   // for the help and the documentation
	Scope Scope
	// Footer bindings are shown there while they are on, the lowest first, as far as
	// there is room; 0 is not shown.
	Footer int
}

// List is bindings in the order of the help.
type List []Binding

// Pages are the bindings of the pages and of everywhere.
func Pages() List {
	return List{
		{Help, []string{"?"}, "help", "show or hide this help", Everywhere, 1},
		{Quit, []string{"q", "ctrl+c"}, "quit", "leave netdojo; the cluster runs on and the progress is kept", Everywhere, 2},
		{Palette, []string{":", "ctrl+p"}, "commands", "find anything that can be done here by its name", Everywhere, 3},
		{Mouse, []string{"m"}, "mouse", "give the mouse to netdojo, or back to the terminal, whose selection then works", Everywhere, 0},
		{Suspend, []string{"ctrl+z"}, "suspend", "suspend netdojo; fg in your shell brings it back", Everywhere, 0},
		{Up, []string{"up", "k"}, "up", "move or scroll up", Everywhere, 0},
		{Down, []string{"down", "j"}, "down", "move or scroll down", Everywhere, 0},
		{PageUp, []string{"pgup"}, "page up", "scroll a page up", Everywhere, 0},
		{PageDown, []string{"pgdown", "space"}, "page down", "scroll a page down", Everywhere, 0},
		{Top, []string{"home", "g"}, "top", "go to the beginning", Everywhere, 0},
		{Bottom, []string{"end", "G"}, "bottom", "go to the end", Everywhere, 0},

		{Open, []string{"enter"}, "open", "open the chosen lab; one in progress goes on where it was left", Start, 1},
		{Search, []string{"/"}, "search", "narrow the labs down", Start, 2},
		{Cluster, []string{"c"}, "cluster", "choose the cluster that labs are done on", Start, 3},
		{TakeDown, []string{"D"}, "take down", "take the cluster down", Start, 4},

		{Use, []string{"enter"}, "use it", "have labs be done on the chosen cluster, also the next time; one that runs is taken down first, after a question", Clusters, 1},
		{Look, []string{"r"}, "look again", "look at what the chosen cluster needs, as netdojo doctor does; nothing is changed", Clusters, 2},
		{Back, []string{"esc"}, "labs", "go back to the labs", Clusters, 3},

		{Retry, []string{"r"}, "retry", "try again after a failure", Provision, 1},
		{BeginEmpty, []string{"D"}, "begin empty", "bring up an empty cluster that has what the lab needs", Provision, 1},
		{Details, []string{"d"}, "details", "show or hide the cluster's log", Provision, 2},
		{Back, []string{"esc"}, "labs", "stop, and go back to the labs", Provision, 3},

		{Check, []string{"c"}, "check", "judge the cluster as it is now", Lab, 1},
		{Edit, []string{"e"}, "edit", "open the file for the task's answer in your editor; it says how to leave that", Lab, 3},
		{Apply, []string{"A"}, "apply", "apply that file to the cluster", Lab, 4},
		{NextPane, []string{"tab"}, "pane", "focus the next pane", Lab, 6},
		{NextTask, []string{"n"}, "next", "go to the next task; after the last one, see how the lab went", Lab, 5},
		{PrevTask, []string{"p"}, "previous task", "go to the task before", Lab, 0},
		{Tasks, []string{"t"}, "tasks", "choose a task to go to", Lab, 0},
		{Solve, []string{"s"}, "solution", "apply the task's solution", Lab, 9},
		{Baseline, []string{"b"}, "baseline", "run the checks before the policy again", Lab, 0},
		{PrevPane, []string{"shift+tab"}, "pane back", "focus the pane before", Lab, 0},
		{Zoom, []string{"z"}, "zoom", "give the focused pane the whole screen, or take it back; the shell gets the terminal itself", Lab, 0},
		{CopyView, []string{"v"}, "copy view", "show the focused pane alone and without borders, to select and copy from", Lab, 0},
		{Watch, []string{"w"}, "watch", "turn the checks that follow every change on or off", Lab, 0},
		{Reset, []string{"R"}, "reset task", "bring the task to its beginning: the lab's policies go, those of earlier tasks are applied", Lab, 0},
		{Restart, []string{"r"}, "mend", "bring the cluster, its DNS or the lab's pods back, with the lab as you left it", Lab, 1},
		{ResetLab, []string{"X"}, "reset lab", "bring the lab to its beginning: its policies and its progress go", Lab, 0},
		{Back, []string{"esc"}, "labs", "go back to the labs", Lab, 0},
	}
}

// Find returns the binding of a key, that of the first scope that has one.
func (l List) Find(key string, scopes ...Scope) (Binding, bool) {
	for _, where := range scopes {
		for _, b := range l {
			if b.Scope == where && slices.Contains(b.Keys, key) {
				return b, true
			}
		}
	}
	return Binding{}, false
}

// Get returns the first binding with a name.
func (l List) Get(id ID) (Binding, bool) {
	for _, b := range l {
		if b.ID == id {
			return b, true
		}
	}
	return Binding{}, false
}

// In lists the bindings of scopes, scope by scope.
func (l List) In(scopes ...Scope) List {
	var out List
	for _, where := range scopes {
		for _, b := range l {
			if b.Scope == where {
				out = append(out, b)
			}
		}
	}
	return out
}

// Foot are the bindings of scopes for the footer, the first first.
func (l List) Foot(scopes ...Scope) List {
	var out List
	for _, b := range l.In(scopes...) {
		if b.Footer > 0 {
			out = append(out, b)
		}
	}
	slices.SortStableFunc(out, func(a, b Binding) int { return a.Footer - b.Footer })
	return out
}

// Scopes are those of the list, each once.
func (l List) Scopes() []Scope {
	var out []Scope
	for _, b := range l {
		if !slices.Contains(out, b.Scope) {
			out = append(out, b.Scope)
		}
	}
	return out
}

// Label spells a binding's keys for people.
func (b Binding) Label() string {
	names := make([]string, len(b.Keys))
	for i, k := range b.Keys {
		names[i] = Spell(k)
	}
	return strings.Join(names, ", ")
}

// First spells the first of a binding's keys.
func (b Binding) First() string { return Spell(b.Keys[0]) }

// Spell is a key for people: ctrl-g for ctrl+g.
func Spell(key string) string {
	if mod, rest, ok := strings.Cut(key, "+"); ok && rest != "" {
		return mod + "-" + rest
	}
	return key
}

// Markdown is the table for the documentation.
func (l List) Markdown() string {
	var b strings.Builder
	for _, scope := range l.Scopes() {
		fmt.Fprintf(&b, "### %s\n\n| key | what it does |\n| --- | --- |\n", strings.ToUpper(string(scope)[:1])+string(scope)[1:])
		for _, k := range l.In(scope) {
			names := make([]string, len(k.Keys))
			for i, key := range k.Keys {
				names[i] = "`" + Spell(key) + "`"
			}
			fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names, ", "), k.Long)
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
