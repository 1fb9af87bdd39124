package record

import (
	"time"

	"github.com/netdojo/netdojo/checks"
)

// PagesSchema names the shape of Pages.
const PagesSchema = "netdojo.dev/page-run/v1"

// Pages is what a session found of the claims of pages.
type Pages struct {
	Schema   string    `json:"schema"`
	Provider string    `json:"provider"`
	Datapath string    `json:"datapath"`
	Started  time.Time `json:"started"`
	TotalMs  int64     `json:"totalMs"`
	Pages    []Page    `json:"pages"`
	// Error is why the session did not come to its end; absent when it did.
	Error string `json:"error,omitempty"`
}

// Page is what became of one page.
type Page struct {
	File     string        `json:"file"`
	Title    string        `json:"title,omitempty"`
	Commands []PageCommand `json:"commands"`
	Passed   int           `json:"passed"` // claims that hold
	Failed   int           `json:"failed"` // claims that do not
	// Broken are the commands that failed, where no claim says that they do.
	Broken int `json:"broken"`
	// Skipped are the commands that were not run, and Unclaimed the outputs of which
	// nothing could be claimed. Neither is a pass.
	Skipped   int      `json:"skipped"`
	Unclaimed int      `json:"unclaimed"`
	Notes     []string `json:"notes,omitempty"` // FILE:LINE: TEXT
}

// CommandState says what became of a command of a page.
type CommandState string

// States of a command.
const (
	CommandDone    CommandState = "done"
	CommandFailed  CommandState = "failed"  // it ended with an exit code that no claim explains, or was ended
	CommandEnded   CommandState = "ended"   // it does not end by itself, and was ended
	CommandBeside  CommandState = "beside"  // it ran beside what follows, in a terminal of its own, to the page's end
	CommandSkipped CommandState = "skipped" // it is not for netdojo to run
	CommandNotRun  CommandState = "not-run" // the shell was gone before its turn
)

// PageCommand is what became of a command.
type PageCommand struct {
	Number int          `json:"number"`
	Line   int          `json:"line"`
	Text   string       `json:"text"`
	State  CommandState `json:"state"`
	Why    string       `json:"why,omitempty"`
	Exit   *int         `json:"exit"` // of the shell; null where it did not end by itself
	Ms     float64      `json:"ms"`
	Output string       `json:"output,omitempty"` // the beginning of what it showed
	Claims []PageClaim  `json:"claims,omitempty"`
}

// PageClaim is a claim with what was observed.
type PageClaim struct {
	Line   int    `json:"line"`
	Kind   string `json:"kind"` // of page.ClaimKind
	Says   string `json:"says"`
	Passed bool   `json:"passed"`
	// Waits tells that it waits for what comes later on the page. When the page is done,
	// none does.
	Waits bool `json:"-"`
	// Verdict is of the connection that the claim is about; "" for a claim of output.
	Verdict  checks.Kind  `json:"verdict,omitempty"`
	Cause    checks.Cause `json:"cause,omitempty"`
	From     string       `json:"from,omitempty"` // who dialled: NAMESPACE/POD
	To       string       `json:"to,omitempty"`
	ExitCode *int         `json:"exitCode"` // of the connection's program; null where there is none
	// Observed is what was seen instead, or with it; Rule what decided it.
	Observed string `json:"observed,omitempty"`
	Rule     string `json:"rule,omitempty"`
	// Should is what the page should say; "" when it says so.
	Should     string          `json:"should,omitempty"`
	HTTPStatus int             `json:"httpStatus,omitempty"`
	Evidence   checks.Evidence `json:"evidence"`
}

// OK says whether the session came to its end, a command ran, and no claim and no
// command failed.
func (p Pages) OK() bool {
	ran := 0
	for _, page := range p.Pages {
		if page.Failed > 0 || page.Broken > 0 {
			return false
		}
		for _, c := range page.Commands {
			if c.State == CommandDone || c.State == CommandEnded || c.State == CommandBeside {
				ran++
			}
		}
	}
	return ran > 0 && p.Error == ""
}
