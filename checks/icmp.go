package checks

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

var icmpKind = ProbeKind{
	Name:    "icmp",
	Summary: "Pings a host once. to is a HOST without port: an address, a name outside, or a headless Service (a Service's own address answers no ping).",
	Evidence: "allowed when a reply comes. denied when none comes, one came before the policy, and the datapath saw a policy drop " +
		"the echo request. A name that does not resolve is broken (dns-failure), silence without a drop is broken.",
	Example: `
- id: ping-database
  title: The backend pings the database only without the policy
  from: {app: backend}
  to: database-pods
  probe: {icmp: {}}
  before: allowed
  after: denied
`,
	New: func() Probe { return &ICMP{} },
}

// ICMP sends one echo request.
type ICMP struct{ inPod }

// Commands implements Probe.
func (p ICMP) Commands(c Check) []CommandLine {
	return []CommandLine{{Program: "ping", Words: []string{"ping", "-c", "1", "-W", strconv.Itoa(waitSeconds), c.To}}}
}

// Destination implements Probe.
func (p ICMP) Destination(c Check) (Destination, error) {
	host := strings.ToLower(strings.TrimSuffix(c.To, "."))
	if _, _, err := net.SplitHostPort(host); host == "" || err == nil || strings.Contains(host, "/") {
		return Destination{}, fmt.Errorf("destination %q: want a HOST without port", c.To)
	}
	return Destination{Host: host}, nil
}

// Target implements Probe.
func (p ICMP) Target(c Check) string { return "icmp://" + c.To }

// Conclude implements Probe. Ping ends with 1 when no reply came; iputils with 2
// and BusyBox with 1 for everything else.
func (p ICMP) Conclude(o *Outcome) {
	switch {
	case o.ExitCode == 0:
		o.Reading, o.Stage, o.Answer = CauseOK, StageConnected, "a reply came"
	case o.ExitCode == 1 && o.Message == "":
		o.Reading, o.Stage, o.Says = CauseTimeout, StageConnecting, "no reply came"
	default:
		o.readPhrase(CauseProbe, sayOr(signalled("ping", o.ExitCode), fmt.Sprintf("ping ended with code %d", o.ExitCode)))
	}
}

// Match implements Probe.
func (p ICMP) Match(t Target, f *flowpb.Flow) Relation {
	if s := t.Subject.Service; s != nil && protocol(f) == "ICMP" {
		for _, endpoint := range s.Endpoints {
			if f.GetIP().GetDestination() == endpoint {
				return RelationConnection
			}
		}
	}
	return t.Dialled(f, "ICMP")
}

// Problems implements Probe.
func (p ICMP) Problems(c Check) []Problem {
	if _, err := p.Destination(c); err != nil {
		return []Problem{{Path: []string{"to"}, Message: err.Error(), Cure: "write a name or an address, without scheme and port"}}
	}
	return nil
}
