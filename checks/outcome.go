package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Stage is how far a probe came.
type Stage string

// Stages of a connection.
const (
	StageUnknown    Stage = ""
	StageResolving  Stage = "resolving"
	StageConnecting Stage = "connecting"
	StageConnected  Stage = "connected"
)

// Outcome is what one probe brought, read and not judged.
type Outcome struct {
	Started time.Time
	Latency time.Duration
	// Cancelled says that netdojo ended the probe because it knew enough.
	Cancelled bool
	// Err is why there is no exit code: one of Execer's errors. Nil when Cancelled.
	Err      error
	ExitCode int
	PID      int    // of the probe in its container, 0 when unknown
	Program  string // which of the probe's commands was run, "" when there is one only

	// Reading is what the probe itself says, without the datapath: CauseOK when it
	// got through, else why it did not; "" while it has not ended by itself. Says
	// words it.
	Reading Cause
	Says    string
	Message string  // the program's own last words, without its code
	Answer  string  // what came back, in a few words
	Output  string  // what the probe printed, where that is asked for
	Object  *Object // what was read of the API server

	// HTTPStatus is that of the last response, 0 for none.
	HTTPStatus int
	// Envoy says that the answer is one of Cilium's proxy: its Server header.
	Envoy     bool
	Stage     Stage
	RemoteIP  string // whom the probe was connected to; "" for nobody
	LocalPort uint16
	Connect   time.Duration // from the start to the connection; 0 for none
	Tried     []netip.AddrPort
}

// HasExit says whether the probe ended by itself with a known code.
func (o Outcome) HasExit() bool { return !o.Cancelled && o.Err == nil }

// Marks of what a wrapped probe tells on stderr.
const (
	pidMark     = "netdojo-pid "
	exitMark    = "netdojo-exit "
	programMark = "netdojo-program "
)

// Exit codes of a POSIX shell for what it could not run (2.8.2 of the standard).
const (
	shellNotExecutable = 126
	shellNotFound      = 127
	shellSignalled     = 128 // plus the signal's number
)

// runScript runs the command in its arguments, tells its process id, and has
// the shell repeat its exit code on stderr, where it survives a lost status.
const runScript = `"$@" & p=$!; echo "` + pidMark + `$p" >&2; wait $p; c=$?; echo "` + exitMark + `$c" >&2; exit $c`

// plainScript runs the first of the commands whose program the image has.
func plainScript(commands []CommandLine) []string {
	if len(commands) == 1 && commands[0].Test == "" {
		return append([]string{"sh", "-c", runScript, "sh"}, commands[0].Words...)
	}
	var script strings.Builder
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.Program
		word := "elif"
		if i == 0 {
			word = "if"
		}
		test := ""
		if c.Test != "" {
			test = " && " + c.Test
		}
		fmt.Fprintf(&script, "%s command -v %s >/dev/null 2>&1%s; then echo %s%s >&2; set --", word, c.Program, test, quote(programMark), c.Program)
		for _, w := range c.Words {
			script.WriteString(" " + quote(w))
		}
		script.WriteString("\n")
	}
	fmt.Fprintf(&script, "else echo %s >&2; exit %d; fi\n%s",
		quote("the image has no "+strings.Join(names, " and no ")+" that can do it"), shellNotFound, runScript)
	return []string{"sh", "-c", script.String()}
}

// quote makes one word of the shell of a text.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// ReadOutcome reads what a probe's process left. It never fails: what cannot be
// read is missing in the outcome. err is Execer's.
func ReadOutcome(p Probe, res ExecResult, err error) Outcome {
	o := Outcome{ExitCode: res.ExitCode, Err: err}
	exitSeen := false
	for line := range lines(res.Stderr) {
		switch {
		case strings.HasPrefix(line, pidMark):
			o.PID = atoi(line[len(pidMark):])
		case strings.HasPrefix(line, exitMark):
			o.ExitCode, exitSeen = atoi(line[len(exitMark):]), true
		case strings.HasPrefix(line, programMark):
			o.Program = line[len(programMark):]
		}
	}
	exitSeen = p.Read(&o, res) || exitSeen
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case exitSeen && (err == nil || errors.Is(err, ErrStreamLost)):
		o.Err = nil // the command told its code before the stream broke
	case err == nil && o.PID != 0 && res.ExitCode == 0:
		// A stream that ends without a status looks like success to client-go.
		o.Err = fmt.Errorf("%w: the probe did not tell how it ended", ErrStreamLost)
	}
	if o.Err == nil && (o.ExitCode == shellNotFound || o.ExitCode == shellNotExecutable) {
		o.Err = fmt.Errorf("%w: %s", ErrNoCommand, lastWords(res.Stderr))
	}
	if o.HasExit() {
		p.Conclude(&o)
	}
	return o
}

// lines yields the lines of a program's stderr; a progress meter's carriage
// returns end lines too.
func lines(text []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for raw := range bytes.SplitSeq(bytes.ReplaceAll(text, []byte("\r"), []byte("\n")), []byte("\n")) {
			if !yield(string(raw)) {
				return
			}
		}
	}
}

// lastWords is the last line of a text that no wrapper wrote.
func lastWords(text []byte) string {
	last := ""
	for line := range lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "netdojo-") {
			last = line
		}
	}
	return last
}

// signalled words the end of a program that a signal ended; "" when none did.
func signalled(program string, code int) string {
	if code <= shellSignalled {
		return ""
	}
	return fmt.Sprintf("%s was ended by signal %d", program, code-shellSignalled)
}

func atoi(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func sayOr(message, otherwise string) string {
	if message != "" {
		return message
	}
	return otherwise
}
