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

// Curl's exit codes that mean something to a verdict (curl's manual, EXIT CODES).
const (
	curlOK             = 0
	curlUsage          = 2
	curlBadURL         = 3
	curlNoProxy        = 5
	curlNoHost         = 6
	curlNoConnect      = 7
	curlHTTPError      = 22
	curlTimeout        = 28
	curlTLSConnect     = 35
	curlEmptyReply     = 52
	curlSendError      = 55
	curlReceiveError   = 56
	curlPeerFailed     = 60
	shellNotExecutable = 126
	shellNotFound      = 127
	shellSignalled     = 128 // plus the signal's number
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
	Curl     bool // the probe was curl, so the code and Message are curl's
	ExitCode int
	// HTTPStatus is that of the last response, 0 for none.
	HTTPStatus int
	Stage      Stage
	RemoteIP   string // whom curl was connected to; "" for nobody
	LocalPort  uint16
	Connect    time.Duration // from the start to the connection; 0 for none
	Tried      []netip.AddrPort
	Message    string // curl's own last words, without the code
	// Envoy says that the answer is one of Cilium's proxy: its Server header.
	Envoy bool
	PID   int // of the probe in its container, 0 when unknown
}

// HasExit says whether the probe ended by itself with a known code.
func (o Outcome) HasExit() bool { return !o.Cancelled && o.Err == nil }

const (
	pidMark      = "netdojo-pid "
	exitMark     = "netdojo-exit "
	writeOutMark = "netdojo-curl "
	// writeOut appends one line to stderr. A variable that an old curl does not
	// know is left out by it, hence names before the values.
	writeOut = "%{stderr}\n" + writeOutMark + "exit=%{exitcode}\thttp=%{http_code}\tconnect=%{time_connect}\tremote=%{remote_ip}\tlocal=%{local_port}\terror=%{errormsg}\n"
)

// curlCommand is the page's command with two additions that leave its stdout
// alone: -v tells on stderr which addresses curl tries, -w how it ended. The
// shell tells its process id, which exec makes curl's, so that the probe can be
// ended.
func curlCommand(line []string) []string {
	args := append([]string{"curl", "-v", "-w", writeOut}, line[1:]...)
	return append([]string{"sh", "-c", `echo "` + pidMark + `$$" >&2; exec "$@"`, "sh"}, args...)
}

// plainCommand runs any other probe, and has the shell repeat its exit code on
// stderr, where it survives a lost status.
func plainCommand(line []string) []string {
	script := `"$@" & p=$!; echo "` + pidMark + `$p" >&2; wait $p; c=$?; echo "` + exitMark + `$c" >&2; exit $c`
	return append([]string{"sh", "-c", script, "sh"}, line...)
}

// ReadOutcome reads what a probe's process left. It never fails: what cannot be
// read is missing in the outcome. err is Execer's.
func ReadOutcome(curl bool, res ExecResult, err error) Outcome {
	o := Outcome{Curl: curl, ExitCode: res.ExitCode, Err: err}
	exitSeen, connected := false, false
	text := bytes.ReplaceAll(res.Stderr, []byte("\r"), []byte("\n")) // the progress meter
	for _, raw := range bytes.Split(text, []byte("\n")) {
		line := string(raw)
		switch {
		case strings.HasPrefix(line, pidMark):
			o.PID = atoi(line[len(pidMark):])
		case strings.HasPrefix(line, exitMark):
			o.ExitCode, exitSeen = atoi(line[len(exitMark):]), true
		case curl && strings.HasPrefix(line, writeOutMark):
			exitSeen = o.readWriteOut(line[len(writeOutMark):]) || exitSeen
		case curl && strings.HasPrefix(line, "curl: ("):
			o.Message = afterParen(line)
		case curl:
			// The meter ends without a newline, so a remark may follow it.
			if i := strings.Index(line, "* "); i >= 0 {
				o.Tried, connected = readRemark(line[i+2:], o.Tried, connected)
			}
		}
	}
	if curl {
		o.readHeaders(res.Stdout)
	}
	switch {
	case connected || o.Connect > 0 || o.HTTPStatus > 0:
		o.Stage = StageConnected
	case len(o.Tried) > 0:
		o.Stage = StageConnecting
	case curl && o.PID != 0:
		o.Stage = StageResolving
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	case exitSeen && (err == nil || errors.Is(err, ErrStreamLost)):
		o.Err = nil // the command told its code before the stream broke
	case err == nil && o.PID != 0 && res.ExitCode == 0:
		// A stream that ends without a status looks like success to client-go.
		o.Err = fmt.Errorf("%w: the probe did not tell how it ended", ErrStreamLost)
	case err == nil && (res.ExitCode == shellNotFound || res.ExitCode == shellNotExecutable):
		o.Err = fmt.Errorf("%w: %s", ErrNoCommand, lastLine(res.Stderr))
	}
	return o
}

// readWriteOut reads curl's closing line; true when it held the exit code.
func (o *Outcome) readWriteOut(line string) bool {
	exitSeen := false
	for _, field := range strings.Split(line, "\t") {
		key, value, ok := strings.Cut(field, "=")
		if !ok || value == "" {
			continue
		}
		switch key {
		case "exit":
			if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < 256 {
				o.ExitCode, exitSeen = n, true
			}
		case "http":
			if n := atoi(value); n >= 100 && n < 1000 {
				o.HTTPStatus = n
			}
		case "connect":
			if s, err := strconv.ParseFloat(value, 64); err == nil && s > 0 && s < 1e6 {
				o.Connect = time.Duration(s * float64(time.Second))
			}
		case "remote":
			if a, err := netip.ParseAddr(value); err == nil {
				o.RemoteIP = a.Unmap().String()
			}
		case "local":
			if n := atoi(value); n > 0 && n < 1<<16 {
				o.LocalPort = uint16(n)
			}
		case "error":
			if o.Message == "" {
				o.Message = value
			}
		}
	}
	return exitSeen
}

// readRemark reads one line of -v: "  Trying 192.0.2.1:443..." and
// "Connected to …" ("Established connection to …" since curl 8.15).
func readRemark(text string, tried []netip.AddrPort, connected bool) ([]netip.AddrPort, bool) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(text, "Trying "); ok {
		if ap, err := netip.ParseAddrPort(strings.TrimRight(rest, ".")); err == nil {
			tried = append(tried, ap)
		}
	}
	connected = connected || strings.HasPrefix(text, "Connected to ") || strings.HasPrefix(text, "Established connection to ")
	return tried, connected
}

// readHeaders looks for the proxy's Server header in what -I or -i printed.
func (o *Outcome) readHeaders(stdout []byte) {
	for _, line := range bytes.Split(stdout, []byte("\n")) {
		key, value, ok := strings.Cut(strings.TrimSpace(string(line)), ":")
		if ok && strings.EqualFold(key, "server") && strings.EqualFold(strings.TrimSpace(value), "envoy") {
			o.Envoy = true
		}
	}
}

func atoi(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func afterParen(line string) string {
	_, rest, _ := strings.Cut(line, ") ")
	return strings.TrimSpace(rest)
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
