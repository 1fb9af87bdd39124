// Package keys is the one list of key bindings. The footer, the help overlay
// and the documentation read it; a page says which of them is off, and why.
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

// Scopes, in the order of the help.
const (
	Everywhere Scope = "everywhere"
	Start      Scope = "start page"
	Provision  Scope = "provisioning page"
	Lab        Scope = "lab page"
)

// Scopes lists them in the order of the help.
func Scopes() []Scope { return []Scope{Everywhere, Start, Provision, Lab} }

// The bindings' names.
const (
	Help    ID = "help"
	Quit    ID = "quit"
	Suspend ID = "suspend"
	Palette ID = "palette"
	Mouse   ID = "mouse"

	Up       ID = "up"
	Down     ID = "down"
	PageUp   ID = "page-up"
	PageDown ID = "page-down"
	Top      ID = "top"
	Bottom   ID = "bottom"

	Open     ID = "open"
	Search   ID = "search"
	TakeDown ID = "take-down"

	Retry   ID = "retry"
	Details ID = "details"
	Back    ID = "back"

	NextPane  ID = "next-pane"
	PrevPane  ID = "previous-pane"
	PaneText  ID = "pane-text"
	PaneShell ID = "pane-shell"
	PaneCheck ID = "pane-checks"
	PaneFlows ID = "pane-flows"
	PaneTable ID = "pane-matrix"
	PaneWhy   ID = "pane-explanation"
	PaneHints ID = "pane-hints"
	Compare   ID = "compare"
	Zoom      ID = "zoom"
	CopyView  ID = "copy-view"

	Check     ID = "check"
	Baseline  ID = "baseline"
	Solve     ID = "solve"
	Hint      ID = "hint"
	Allow     ID = "predict-allow"
	Deny      ID = "predict-deny"
	NextTask  ID = "next-task"
	PrevTask  ID = "previous-task"
	Tasks     ID = "tasks"
	Reset     ID = "reset-task"
	ResetLab  ID = "reset-lab"
	Watch     ID = "watch"
	PrevBlock ID = "previous-block"
	NextBlock ID = "next-block"
	RunBlock  ID = "run-block"
	CopyBlock ID = "copy-block"
)

// Binding is what keys do, and where.
type Binding struct {
	ID    ID
	Keys  []string // as a key press spells itself
	Short string   // for the footer
	Long  string   // for the help and the documentation
	Scope Scope
	// Footer bindings are shown there while they are on.
	Footer bool
}

// All is the list, in the order of the help.
func All() []Binding {
	return []Binding{
		{Help, []string{"?"}, "help", "show or hide this help", Everywhere, true},
		{Quit, []string{"q", "ctrl+c"}, "quit", "leave netdojo; the cluster runs on and the progress is kept", Everywhere, true},
		{Palette, []string{":", "ctrl+p"}, "commands", "find anything that can be done here by its name", Everywhere, true},
		{Mouse, []string{"m"}, "mouse", "give the mouse to netdojo, or back to the terminal, whose selection then works", Everywhere, false},
		{Suspend, []string{"ctrl+z"}, "suspend", "suspend netdojo; fg in your shell brings it back", Everywhere, false},
		{Up, []string{"up", "k"}, "up", "move or scroll up", Everywhere, false},
		{Down, []string{"down", "j"}, "down", "move or scroll down", Everywhere, false},
		{PageUp, []string{"pgup"}, "page up", "scroll a page up", Everywhere, false},
		{PageDown, []string{"pgdown", "space"}, "page down", "scroll a page down", Everywhere, false},
		{Top, []string{"home", "g"}, "top", "go to the beginning", Everywhere, false},
		{Bottom, []string{"end", "G"}, "bottom", "go to the end", Everywhere, false},

		{Open, []string{"enter"}, "open", "open the chosen lab; one in progress goes on where it was left", Start, true},
		{Search, []string{"/"}, "search", "narrow the labs down", Start, true},
		{TakeDown, []string{"D"}, "take down", "take the cluster down", Start, true},

		{Retry, []string{"r"}, "retry", "try again after a failure", Provision, true},
		{Details, []string{"d"}, "details", "show or hide the cluster's log", Provision, true},
		{Back, []string{"esc"}, "labs", "stop, and go back to the labs", Provision, true},

		{Check, []string{"c"}, "check", "judge the cluster as it is now", Lab, true},
		{Hint, []string{"h"}, "hint", "one hint more; each gives more away", Lab, true},
		{NextPane, []string{"tab"}, "pane", "focus the next pane", Lab, true},
		{Solve, []string{"s"}, "solution", "apply the task's solution", Lab, true},
		{Allow, []string{"a"}, "predict allow", "predict that the chosen check will be allowed", Lab, true},
		{Deny, []string{"d"}, "predict deny", "predict that the chosen check will be denied", Lab, true},
		{Baseline, []string{"b"}, "baseline", "run the checks before the policy again", Lab, false},
		{PrevPane, []string{"shift+tab"}, "pane back", "focus the pane before", Lab, false},
		{PaneText, []string{"1"}, "text", "show the text", Lab, false},
		{PaneShell, []string{"2"}, "shell", "go to the shell, or start one where it has ended", Lab, true},
		{PaneCheck, []string{"3"}, "checks", "show the checks and their evidence", Lab, false},
		{PaneFlows, []string{"4"}, "flows", "show connections as they are allowed and dropped", Lab, false},
		{PaneTable, []string{"5"}, "matrix", "show who reaches whom", Lab, false},
		{PaneWhy, []string{"6"}, "explanation", "explain the chosen check: prediction, outcome, and the rule that decided", Lab, false},
		{PaneHints, []string{"7"}, "hints", "show the hints seen so far", Lab, false},
		{Compare, []string{"8"}, "compare", "set the solution beside what you have applied", Lab, false},
		{Zoom, []string{"z"}, "zoom", "give the focused pane the whole screen, or take it back; the shell gets the terminal itself", Lab, false},
		{CopyView, []string{"v"}, "copy view", "show the focused pane alone and without borders, to select and copy from", Lab, false},
		{PrevBlock, []string{"["}, "block back", "choose the code block before", Lab, false},
		{NextBlock, []string{"]"}, "block", "choose the next code block", Lab, false},
		{RunBlock, []string{"x"}, "run block", "type the chosen code block into the shell, and press Enter at an empty prompt", Lab, false},
		{CopyBlock, []string{"y"}, "copy block", "send the chosen code block to the clipboard, and write it to a file", Lab, false},
		{NextTask, []string{"n"}, "next task", "go to the next task", Lab, false},
		{PrevTask, []string{"p"}, "previous task", "go to the task before", Lab, false},
		{Tasks, []string{"t"}, "tasks", "choose a task to go to", Lab, false},
		{Watch, []string{"w"}, "watch", "turn the checks that follow every change on or off", Lab, false},
		{Reset, []string{"R"}, "reset task", "bring the task to its beginning: the lab's policies go, those of earlier tasks are applied", Lab, false},
		{ResetLab, []string{"X"}, "reset lab", "bring the lab to its beginning: its policies and its progress go", Lab, false},
		{Back, []string{"esc"}, "labs", "go back to the labs", Lab, false},
	}
}

// Find returns the binding of a key in a scope, those of the scope before those
// of everywhere.
func Find(key string, scope Scope) (Binding, bool) {
	for _, where := range []Scope{scope, Everywhere} {
		for _, b := range All() {
			if b.Scope == where && slices.Contains(b.Keys, key) {
				return b, true
			}
		}
	}
	return Binding{}, false
}

// In lists the bindings of scopes.
func In(scopes ...Scope) []Binding {
	var out []Binding
	for _, b := range All() {
		if slices.Contains(scopes, b.Scope) {
			out = append(out, b)
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

// Spell is a key for people: ctrl-g for ctrl+g.
func Spell(key string) string {
	if mod, rest, ok := strings.Cut(key, "+"); ok && rest != "" {
		return mod + "-" + rest
	}
	return key
}

// Markdown is the table for the documentation.
func Markdown() string {
	var b strings.Builder
	for _, scope := range Scopes() {
		fmt.Fprintf(&b, "### %s\n\n| key | what it does |\n| --- | --- |\n", strings.ToUpper(string(scope)[:1])+string(scope)[1:])
		for _, k := range In(scope) {
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
