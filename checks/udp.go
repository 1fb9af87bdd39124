package checks

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

var udpKind = ProbeKind{
	Name:    "udp",
	Summary: "Sends a datagram to HOST:PORT and waits for the answer. What listens there has to answer: a datagram that gets none proves nothing.",
	Evidence: "allowed when an answer comes that matches. denied when none comes, one came before the policy, and the datapath " +
		"saw a policy drop the datagram. Silence without a drop is broken, as when nobody listens; so is a name that does not " +
		"resolve (dns-failure) and an answer that does not match (unexpected-answer).",
	Example: `
- id: answers
  title: The client asks the server by UDP only without the policy
  from: {app: client}
  to: server:8081
  probe: {udp: {send: hostname, answer: "^server"}}
  before: allowed
  after: denied
`,
	New: func() Probe { return &UDP{} },
}

// UDP sends a datagram and reads the answer.
type UDP struct {
	inPod
	// The datagram's text; ping when absent.
	Send string `yaml:"send" jsonschema:"minLength=1"`
	// A regular expression (RE2) that is to match in the answer; any answer will do when absent.
	Answer string `yaml:"answer" jsonschema:"minLength=1"`
}

// udpWait is how many seconds an answer is waited for. Nothing tells a datagram's
// sender that no more will come, so every probe takes that long.
const udpWait = 2

// Commands implements Probe.
func (p UDP) Commands(c Check) []CommandLine {
	host, port := hostPort(c)
	send, wait := quote(sayOr(p.Send, "ping")), strconv.Itoa(udpWait)
	nc := netcat("-u")
	nc.Words = []string{"sh", "-c", fmt.Sprintf("printf %%s %s | nc -u -w %s %s %s", send, wait, host, port)}
	return []CommandLine{nc, {
		Program: "bash",
		Words: []string{
			"timeout", wait, "bash", "-c",
			fmt.Sprintf("exec 3<>/dev/udp/%s/%s && printf %%s %s >&3 && cat <&3", host, port, send),
		},
	}}
}

// Target implements Probe.
func (p UDP) Target(c Check) string { return "udp://" + c.To }

// Conclude implements Probe. The answer counts, not the exit code: programs that
// wait for more end as if they had failed.
func (p UDP) Conclude(o *Outcome) {
	answer := strings.TrimSpace(o.Output)
	re, err := regexp.Compile(p.Answer)
	switch {
	case answer != "" && err == nil && re.MatchString(answer):
		o.Reading, o.Stage, o.Answer, o.Message = CauseOK, StageConnected, "answered "+shorten(answer), ""
	case answer != "":
		o.Reading, o.Stage = CauseAnswer, StageConnected
		o.Says = fmt.Sprintf("the answer %q is not one that %q matches", shorten(answer), p.Answer)
	case o.ExitCode != timeoutExit && o.ExitCode != timeoutExitBusyBox && o.ExitCode > shellSignalled:
		o.Reading, o.Says = CauseProbe, signalled("the probe", o.ExitCode)
	default:
		o.Stage = StageConnecting
		o.readPhrase(CauseTimeout, "no answer came")
	}
}

// Match implements Probe.
func (p UDP) Match(t Target, f *flowpb.Flow) Relation { return t.Dialled(f, "UDP") }

// Problems implements Probe.
func (p UDP) Problems(c Check) []Problem {
	problems := p.inPod.Problems(c)
	if _, err := regexp.Compile(p.Answer); err != nil {
		problems = append(problems, Problem{
			Path: []string{"probe", "udp", "answer"}, Message: err.Error(), Cure: "write a regular expression in Go's syntax (RE2)",
		})
	}
	return problems
}
