// Package page reads pages of training material that nobody wrote for netdojo: text
// in, steps out. A step is prose, commands, output, a file, or a sample that is only
// to be looked at, and knows its line and why it is understood so. What output and
// prose promise of a command are its claims. Nothing here runs anything.
package page

import (
	"slices"
	"strings"
)

// Schema names the JSON form of a Page.
const Schema = "netdojo.dev/page/v1"

// Kind says what a step is.
type Kind string

// Kinds of steps.
const (
	Prose   Kind = "prose"
	Run     Kind = "command" // typed by the reader
	Output  Kind = "output"  // what the page says that a command shows
	File    Kind = "file"    // the content of a file, or the name of one
	Sample  Kind = "sample"  // code that is neither run nor saved
	Hidden  Kind = "hidden"  // a reader of the page does not see it
	Heading Kind = "heading"
)

// Page is what was understood of a page.
type Page struct {
	Schema  string `json:"schema"`
	File    string `json:"file"`
	Dialect string `json:"dialect"`
	Title   string `json:"title,omitempty"`
	Steps   []Step `json:"steps"`
	// Given are variables that its commands use and that it sets nowhere, where it is
	// known what they are.
	Given map[string]string `json:"given,omitempty"`
	// Notes are what was passed over, and what is wrong with the page's form.
	Notes []Note `json:"notes,omitempty"`
}

// Step is a part of a page.
type Step struct {
	Kind Kind `json:"kind"`
	// Line and End are the first and the last line of what the step is made of,
	// without its fence; they count from 1.
	Line int    `json:"line"`
	End  int    `json:"end"`
	Lang string `json:"lang,omitempty"`
	Text string `json:"text"`
	Why  string `json:"why,omitempty"`
	// Name is a file's, as the page writes it; "" where it names none.
	Name     string    `json:"name,omitempty"`
	Commands []Command `json:"commands,omitempty"`

	info string // a fence's words after the language
	flat bool   // its lines are those of another page
}

// Command is what a reader types in one go. Its number counts the page's commands
// from 1.
type Command struct {
	Number int    `json:"number"`
	Line   int    `json:"line"`
	Text   string `json:"text"`
	// Where is "" for the reader's own shell, else the prompt of the shell in a pod that
	// it is typed into, or InPod. Opens tells that it opens such a shell.
	Where string `json:"where,omitempty"`
	Opens bool   `json:"opens,omitempty"`
	// Remote is the address of a file that it applies; "" for none.
	Remote string `json:"remote,omitempty"`
	// Blanks are what it leaves to its reader to fill in. It is run once they are.
	Blanks []Blank `json:"blanks,omitempty"`
	// Skip is why it is not run; "" when it is.
	Skip string `json:"skip,omitempty"`
	// Endless is why it does not end by itself; "" when it does.
	Endless string `json:"endless,omitempty"`
	// Background tells that it runs on beside those that follow.
	Background bool    `json:"background,omitempty"`
	Claims     []Claim `json:"claims,omitempty"`

	sent bool // to another terminal than the reader began with
}

// InPod is where a command is typed whose page shows no prompt.
const InPod = "pod"

// Claim is a promise of the page about a command.
type Claim struct {
	Line int       `json:"line"`
	Kind ClaimKind `json:"kind"`
	Says string    `json:"says"` // the page's own words
	From Kind      `json:"from"` // Output, Prose or Hidden
	// Exit is the exit code of the connection's program; nil where the page has none.
	Exit *int `json:"exit,omitempty"`
	// Status is the HTTP status; 0 where the page has none.
	Status int `json:"status,omitempty"`
	// Want are the lines of a claim of output, and Lines where each of them stands.
	Want  []string `json:"want,omitempty"`
	Lines []int    `json:"lines,omitempty"`
	// Since is the number of the first command whose output counts, where a fence
	// shows that of several; 0 is the claim's own.
	Since int `json:"since,omitempty"`
}

// ClaimKind says what is promised.
type ClaimKind string

// Kinds of claims.
const (
	Allowed  ClaimKind = "allowed"   // the connection gets through
	Denied   ClaimKind = "denied"    // a policy drops it
	DeniedL7 ClaimKind = "denied-l7" // a policy's proxy refuses the request
	Answered ClaimKind = "answered"  // a server or a proxy answers with Status
	Exits    ClaimKind = "exit"      // the program ends with Exit
	Shows    ClaimKind = "output"    // Want is shown
	Fails    ClaimKind = "fails"     // the command does not succeed
	Succeeds ClaimKind = "succeeds"  // the command succeeds: a scenario's script that verifies
)

// Note is a remark about a line.
type Note struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Counts are the numbers of a page.
type Counts struct {
	Commands  int `json:"commands"`
	Skipped   int `json:"skipped"`   // commands that are not run
	Claims    int `json:"claims"`    // of commands that are run
	Unclaimed int `json:"unclaimed"` // outputs of which nothing could be claimed
}

// Count counts.
func (p Page) Count() Counts {
	var c Counts
	for _, s := range p.Steps {
		if s.Kind == Output && strings.HasPrefix(s.Why, noClaim) {
			c.Unclaimed++
		}
		for _, cmd := range s.Commands {
			c.Commands++
			if cmd.Skip != "" {
				c.Skipped++
				continue
			}
			c.Claims += len(cmd.Claims)
		}
	}
	return c
}

// Commands are all commands, in their order.
func (p Page) Commands() []Command {
	var all []Command
	for _, s := range p.Steps {
		all = append(all, s.Commands...)
	}
	return all
}

// Files are the steps that hold a named file's content, in their order.
func (p Page) Files() []Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return s.Kind != File || s.Name == "" || s.Text == "" })
}
