package checks

import (
	"fmt"
	"strconv"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

var tcpKind = ProbeKind{
	Name:    "tcp",
	Summary: "Opens a TCP connection to HOST:PORT and closes it again.",
	Evidence: "allowed when the connection opens. denied when it does not, it did before the policy, and the datapath saw a " +
		"policy drop its packets. A port where nobody listens is broken (refused), a name that does not resolve is broken " +
		"(dns-failure), a timeout without a drop is broken.",
	Example: `
- id: database-port
  title: Only the backend reaches the database's port
  from: {app: frontend}
  to: database:5432
  probe: {tcp: {}}
  before: allowed
  after: denied
`,
	New: func() Probe { return &TCP{} },
}

// TCP opens a connection.
type TCP struct{ inPod }

// timeoutExit is how timeout (coreutils, BusyBox) ends when it ended its command;
// BusyBox's tells the signal.
const (
	timeoutExit        = 124
	timeoutExitBusyBox = shellSignalled + 15
)

// netcat is nc with a test that it knows an option.
func netcat(option string, words ...string) CommandLine {
	return CommandLine{
		Program: "nc", Words: append([]string{"nc"}, words...),
		Test: "! nc " + option + " 2>&1 </dev/null | grep -q 'invalid option'",
	}
}

// Commands implements Probe.
func (p TCP) Commands(c Check) []CommandLine {
	host, port := hostPort(c)
	wait := strconv.Itoa(waitSeconds)
	return []CommandLine{
		netcat("-z", "-z", "-v", "-w", wait, host, port),
		{Program: "bash", Words: []string{"timeout", wait, "bash", "-c", fmt.Sprintf("</dev/tcp/%s/%s", host, port)}},
	}
}

// Target implements Probe.
func (p TCP) Target(c Check) string { return c.To }

// Conclude implements Probe.
func (p TCP) Conclude(o *Outcome) {
	switch o.ExitCode {
	case 0:
		o.Reading, o.Stage, o.Answer = CauseOK, StageConnected, "the connection opened"
	case timeoutExit, timeoutExitBusyBox:
		o.Reading, o.Says = CauseTimeout, "connecting timed out"
	default:
		o.readPhrase(CauseProbe, sayOr(signalled("the probe", o.ExitCode), fmt.Sprintf("the probe ended with code %d", o.ExitCode)))
	}
}

// Match implements Probe.
func (p TCP) Match(t Target, f *flowpb.Flow) Relation { return t.Dialled(f, "TCP") }
