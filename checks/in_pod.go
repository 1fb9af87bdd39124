package checks

import (
	"strconv"
	"strings"
)

// waitSeconds is how long a probe waits for an answer, as the pages' curl does.
const waitSeconds = 5

// inPod has what kinds share that run a program in a pod and dial HOST:PORT.
type inPod struct{}

// Script implements Probe.
func (inPod) Script(commands []CommandLine) []string { return plainScript(commands) }

// Destination implements Probe.
func (inPod) Destination(c Check) (Destination, error) { return ParseDestination(c.To) }

// Read implements Probe.
func (inPod) Read(o *Outcome, res ExecResult) bool {
	o.Output = string(res.Stdout[:min(len(res.Stdout), outputKept)])
	o.Message = lastWords(res.Stderr)
	for line := range lines(res.Stderr) {
		if phraseIn(line) != nil && !strings.HasPrefix(line, "netdojo-") {
			o.Message = strings.TrimSpace(line) // more follows, such as bash's own line
			break
		}
	}
	return false
}

// Expects implements Probe.
func (inPod) Expects(Check) []Expect { return connections }

// Problems implements Probe.
func (inPod) Problems(c Check) []Problem {
	if _, err := ParseDestination(c.To); err != nil || strings.Contains(c.To, "://") {
		return []Problem{{Path: []string{"to"}, Message: strconv.Quote(c.To) + " is not HOST:PORT", Cure: "write HOST:PORT, such as backend:8080"}}
	}
	return nil
}

// hostPort are the host and the port of a check as it writes them.
func hostPort(c Check) (host, port string) {
	d, err := ParseDestination(c.To)
	if err != nil {
		return c.To, ""
	}
	return d.Host, strconv.Itoa(int(d.Port))
}

// phrase is how a program words a failure, in lower case.
type phrase struct {
	text  string
	cause Cause
	stage Stage
}

// phrases are those of nc (OpenBSD's, BusyBox's, Nmap's, the traditional one),
// ping and bash. The first that is found counts.
var phrases = []phrase{
	{"connection refused", CauseRefused, StageConnecting},
	{"unreachable", CauseRefused, StageConnecting},
	{"no route to host", CauseRefused, StageConnecting},
	{"bad address", CauseDNS, StageResolving},
	{"name resolution", CauseDNS, StageResolving},
	{"name or service not known", CauseDNS, StageResolving},
	{"name does not resolve", CauseDNS, StageResolving},
	{"no address associated", CauseDNS, StageResolving},
	{"could not resolve", CauseDNS, StageResolving},
	{"host lookup failed", CauseDNS, StageResolving},
	{"getaddrinfo", CauseDNS, StageResolving},
	{"timed out", CauseTimeout, StageConnecting},
	{"timeout", CauseTimeout, StageConnecting},
	{"reset by peer", CauseReset, StageConnected},
	{"operation not permitted", CauseProbe, StageUnknown},
	{"permission denied", CauseProbe, StageUnknown},
}

func phraseIn(line string) *phrase {
	line = strings.ToLower(line)
	for i, p := range phrases {
		if strings.Contains(line, p.text) {
			return &phrases[i]
		}
	}
	return nil
}

// readPhrase sets what a program that failed says of itself.
func (o *Outcome) readPhrase(otherwise Cause, says string) {
	if p := phraseIn(o.Message); p != nil {
		o.Reading, o.Says, o.Stage = p.cause, o.Message, p.stage
		return
	}
	o.Reading, o.Says = otherwise, sayOr(o.Message, says)
}
