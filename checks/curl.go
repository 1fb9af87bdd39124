package checks

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"go.yaml.in/yaml/v3"
)

var curlKind = ProbeKind{
	Name: "curl",
	Summary: "Asks a web server with curl; the value is a list of curl's arguments without the URL, which is to. " +
		"It is what a check does that names no probe, with -Ik --connect-timeout 5.",
	Evidence: "allowed when the server answers, whatever its status (see status). denied when it does not, it did before the " +
		"policy, and the datapath saw a policy drop the connection. denied-l7 when the datapath's HTTP proxy answered 403. " +
		"A name that does not resolve, a refused port, a reset, a TLS failure and a timeout without a drop are broken.",
	Example: `
- id: read-public
  title: The frontend reads /public
  from: {app: frontend}
  to: http://backend:8080/public
  before: allowed
  after: allowed
  status: 200
- id: write-public
  title: The frontend writes nothing
  from: {app: frontend}
  to: http://backend:8080/public
  probe: {curl: ["-s", "-i", "--connect-timeout", "5", "-X", "POST"]}
  before: allowed
  after: denied-l7
`,
	New: func() Probe { return &Curl{} },
}

// Curl calls curl as a page does.
type Curl struct {
	Args []string // without the URL; nil means DefaultCurl
}

// DefaultCurl is how the pages of the labs call curl.
var DefaultCurl = []string{"-Ik", "--connect-timeout", "5"}

// CurlExit is an exit code of curl.
type CurlExit int

// The exit codes that mean something to a verdict (curl's manual, EXIT CODES).
const (
	CurlOK                CurlExit = 0
	CurlUsage             CurlExit = 2
	CurlBadURL            CurlExit = 3
	CurlNoProxy           CurlExit = 5
	CurlNoHost            CurlExit = 6
	CurlNoConnect         CurlExit = 7
	CurlHTTPError         CurlExit = 22
	CurlTimeout           CurlExit = 28
	CurlTLSConnect        CurlExit = 35
	CurlPeerFingerprint   CurlExit = 51
	CurlEmptyReply        CurlExit = 52
	CurlNoEngine          CurlExit = 53
	CurlEngineDefault     CurlExit = 54
	CurlSendError         CurlExit = 55
	CurlReceiveError      CurlExit = 56
	CurlClientCertificate CurlExit = 58
	CurlCipher            CurlExit = 59
	CurlPeerCertificate   CurlExit = 60
	CurlEngineFailed      CurlExit = 66
	CurlCAFile            CurlExit = 77
	CurlTLSShutdown       CurlExit = 80
	CurlRevocationList    CurlExit = 82
	CurlIssuer            CurlExit = 83
	CurlPinnedKey         CurlExit = 90
	CurlCertificateStatus CurlExit = 91
)

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *Curl) UnmarshalYAML(n *yaml.Node) error { return n.Decode(&p.Args) }

// Commands implements Probe.
func (p Curl) Commands(c Check) []CommandLine {
	args := p.Args
	if args == nil {
		args = DefaultCurl
	}
	return []CommandLine{{Program: "curl", Words: append(append([]string{"curl"}, args...), c.To)}}
}

const (
	writeOutMark = "netdojo-curl "
	// writeOut appends one line to stderr. A variable that an old curl does not
	// know is left out by it, hence names before the values.
	writeOut = "%{stderr}\n" + writeOutMark + "exit=%{exitcode}\thttp=%{http_code}\tconnect=%{time_connect}\tremote=%{remote_ip}\tlocal=%{local_port}\terror=%{errormsg}\n"
)

// Script implements Probe: the page's command with two additions that leave its
// stdout alone. -v tells on stderr which addresses curl tries, -w how it ended.
// The shell tells its process id, which exec makes curl's, so that the probe can
// be ended.
func (p Curl) Script(commands []CommandLine) []string {
	args := append([]string{"curl", "-v", "-w", writeOut}, commands[0].Words[1:]...)
	return append([]string{"sh", "-c", `echo "` + pidMark + `$$" >&2; exec "$@"`, "sh"}, args...)
}

// Destination implements Probe.
func (p Curl) Destination(c Check) (Destination, error) { return ParseDestination(c.To) }

// Target implements Probe.
func (p Curl) Target(c Check) string { return c.To }

// Read implements Probe.
func (p Curl) Read(o *Outcome, res ExecResult) bool {
	exitSeen, connected := false, false
	for line := range lines(res.Stderr) {
		switch {
		case strings.HasPrefix(line, writeOutMark):
			exitSeen = o.readWriteOut(line[len(writeOutMark):]) || exitSeen
		case strings.HasPrefix(line, "curl: ("):
			o.Message = afterParen(line)
		default:
			// The meter ends without a newline, so a remark may follow it.
			if i := strings.Index(line, "* "); i >= 0 {
				o.Tried, connected = readRemark(line[i+2:], o.Tried, connected)
			}
		}
	}
	o.readHeaders(res.Stdout)
	switch {
	case connected || o.Connect > 0 || o.HTTPStatus > 0:
		o.Stage = StageConnected
	case len(o.Tried) > 0:
		o.Stage = StageConnecting
	case o.PID != 0:
		o.Stage = StageResolving
	}
	return exitSeen
}

// Conclude implements Probe.
func (p Curl) Conclude(o *Outcome) {
	code := CurlExit(o.ExitCode)
	say := func(cause Cause, otherwise string) { o.Reading, o.Says = cause, sayOr(o.Message, otherwise) }
	resolving := code == CurlNoHost || code == CurlNoProxy ||
		code == CurlTimeout && (o.Stage == StageResolving || strings.Contains(o.Message, "Resolving timed out"))
	switch {
	case resolving:
		o.Stage = StageResolving
	case o.Stage != StageConnected:
		o.Stage = StageConnecting
	}
	switch code {
	case CurlOK, CurlHTTPError:
		o.Reading = CauseOK
		if o.HTTPStatus > 0 {
			o.Answer = fmt.Sprintf("HTTP %d", o.HTTPStatus)
		}
	case CurlNoHost, CurlNoProxy:
		say(CauseDNS, "the name could not be resolved")
	case CurlTimeout:
		if resolving {
			say(CauseDNS, "the name could not be resolved")
			return
		}
		say(CauseTimeout, "timed out")
	case CurlNoConnect:
		say(CauseRefused, "refused")
	case CurlTLSConnect, CurlEmptyReply, CurlSendError, CurlReceiveError:
		say(CauseReset, "the connection was reset")
	case CurlPeerFingerprint, CurlNoEngine, CurlEngineDefault, CurlClientCertificate, CurlCipher, CurlPeerCertificate,
		CurlEngineFailed, CurlCAFile, CurlTLSShutdown, CurlRevocationList, CurlIssuer, CurlPinnedKey, CurlCertificateStatus:
		say(CauseTLS, "TLS failed")
	case CurlUsage, CurlBadURL:
		say(CauseProbe, "curl does not understand the probe")
	default:
		o.Reading = CauseProbe
		o.Says = sayOr(signalled("curl", o.ExitCode), sayOr(o.Message, fmt.Sprintf("curl ended with code %d", code)))
	}
}

// Match implements Probe. A pod's other probes may ask the same server at the
// same time, and curl tells its own port.
func (p Curl) Match(t Target, f *flowpb.Flow) Relation {
	r := t.Dialled(f)
	if r == RelationRequest && sourcePort(f) != t.Outcome.LocalPort {
		return RelationNone
	}
	return r
}

// Expects implements Probe.
func (p Curl) Expects(Check) []Expect { return requests }

// Problems implements Probe.
func (p Curl) Problems(c Check) []Problem { return destinationProblems(c) }

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

func afterParen(line string) string {
	_, rest, _ := strings.Cut(line, ") ")
	return strings.TrimSpace(rest)
}
