package checks

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

var dnsKind = ProbeKind{
	Name: "dns",
	Summary: "Asks a DNS server for a name. to is HOST:PORT of the server, or absent for the pod's own resolver. " +
		"It says nothing about whether the name's addresses can be reached.",
	Evidence: "allowed when the answer is as expected. denied when none comes, one came before the policy, and the datapath saw a " +
		"policy drop the query. denied-l7 when the DNS proxy refused the name. A server that is down or fails is broken " +
		"(dns-failure); so is an answer of another code, one without a record of the type, and one that is truncated or not " +
		"against what is expected (unexpected-answer).",
	Example: `
- id: asks-kubernetes
  title: The backend may ask for kubernetes.io
  from: {app: backend}
  probe: {dns: {name: kubernetes.io}}
  before: allowed
  after: allowed
- id: asks-others
  title: The backend may ask for nothing else
  from: {app: backend}
  probe: {dns: {name: cilium.io}}
  before: allowed
  after: denied-l7
- id: large-answer
  title: A large answer comes by TCP
  from: {app: backend}
  probe: {dns: {name: big.example.com, type: TXT, protocol: tcp}}
  before: allowed
  after: allowed
`,
	New: func() Probe { return &DNS{} },
}

// DNS asks for a name.
type DNS struct {
	inPod
	// The name to ask for, fully qualified: the resolver's search list is not used.
	Name string `yaml:"name" jsonschema:"required,pattern=^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\\.)*[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\\.?$"`
	// The record type; A when absent.
	Type string `yaml:"type" jsonschema:"enum=A,enum=AAAA,enum=CNAME,enum=MX,enum=NS,enum=PTR,enum=SRV,enum=TXT"`
	// How the query goes: by udp, by tcp, or, when absent, by UDP and again by TCP when the answer is truncated, as resolvers do.
	Protocol string `yaml:"protocol" jsonschema:"enum=udp,enum=tcp"`
	// The response code that is expected; NOERROR when absent.
	RCode string `yaml:"rcode" jsonschema:"enum=NOERROR,enum=NXDOMAIN"`
	// That the answer is to be truncated (the TC bit), which needs protocol udp.
	Truncated bool `yaml:"truncated"`
}

// How dig ends (dig's manual, RETURN CODES).
const (
	digOK      = 0
	digNoReply = 9
)

func (p DNS) recordType() string { return sayOr(p.Type, "A") }

func (p DNS) rcode() string { return sayOr(p.RCode, "NOERROR") }

// Commands implements Probe.
func (p DNS) Commands(c Check) []CommandLine {
	host, port := p.server(c)
	wait := strconv.Itoa(waitSeconds)
	dig := []string{"dig", "+tries=1", "+time=" + wait}
	switch p.Protocol {
	case "udp":
		dig = append(dig, "+notcp", "+ignore")
	case "tcp":
		dig = append(dig, "+tcp")
	}
	lookup := []string{"nslookup", "-type=" + strings.ToLower(p.recordType()), p.Name + "."}
	if host != "" {
		dig = append(dig, "@"+host)
		lookup = append(lookup, host)
	}
	if port != "" && port != "53" {
		dig = append(dig, "-p", port)
	}
	commands := []CommandLine{{Program: "dig", Words: append(dig, p.Name, p.recordType())}}
	// Nslookup tells neither the transport nor a truncated answer.
	if p.Protocol == "" && (port == "" || port == "53") {
		commands = append(commands, CommandLine{Program: "nslookup", Words: lookup})
	}
	return commands
}

// Asks is the name that an answer is expected for, "" when it is not to exist.
func (p DNS) Asks() string {
	if p.rcode() == "NXDOMAIN" {
		return ""
	}
	return p.Name
}

// server is whom the query goes to, "" for the pod's resolver.
func (p DNS) server(c Check) (host, port string) {
	if c.To == "" {
		return "", ""
	}
	if host, port, err := net.SplitHostPort(c.To); err == nil {
		return host, port
	}
	return c.To, ""
}

// Destination implements Probe.
func (p DNS) Destination(c Check) (Destination, error) {
	host, port := p.server(c)
	if host == "" {
		return Destination{Port: dnsPort}, nil
	}
	return ParseDestination(net.JoinHostPort(host, sayOr(port, strconv.Itoa(dnsPort))))
}

// Target implements Probe.
func (p DNS) Target(c Check) string {
	target := "dns://" + c.To + "/" + p.Name + "?type=" + p.recordType()
	if p.Protocol != "" {
		target += "&protocol=" + p.Protocol
	}
	return target
}

// digHeader is the line of dig's output with the response code, digFlags the one
// below it; nslookupError is nslookup's line for a code that is not NOERROR.
var (
	digHeader     = regexp.MustCompile(`->>HEADER<<- opcode: \w+, status: (\w+)`)
	digFlags      = regexp.MustCompile(`;; flags:([a-z ]*);`)
	digAnswer     = regexp.MustCompile(`(?m)^[^;\s]\S*\s+\d+\s+IN\s+(\w+)\s+(.+)$`)
	nslookupError = regexp.MustCompile(`can't find \S+: (\w+)`)
	nslookupAddr  = regexp.MustCompile(`(?m)^Address(?: \d+)?:\s*([0-9a-fA-F.:]+)\s*$`)
)

// Read implements Probe. Dig and nslookup say on stdout what went wrong.
func (p DNS) Read(o *Outcome, res ExecResult) bool {
	p.inPod.Read(o, res)
	for line := range lines(res.Stdout) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, ";; ") &&
			(strings.Contains(line, "timed out") || strings.Contains(line, "refused") || strings.Contains(line, "no servers")) {
			o.Message = strings.TrimPrefix(line, ";; ")
		}
	}
	return false
}

// Conclude implements Probe.
func (p DNS) Conclude(o *Outcome) {
	rcode, truncated, answers := p.answer(o)
	if rcode == "" {
		o.Stage = StageConnecting
		message := strings.ToLower(o.Message)
		switch {
		case strings.Contains(strings.ToLower(o.Output), "refused"):
			o.Reading, o.Says = CauseDNS, "no DNS server listens there"
		case o.ExitCode == digNoReply, strings.Contains(message, "timed out"), strings.Contains(message, "no servers"):
			o.Reading, o.Says = CauseTimeout, "no answer came from the DNS server"
		case strings.Contains(message, "couldn't get address"), strings.Contains(message, "bad address"), strings.Contains(message, "can't resolve"):
			o.Reading, o.Stage, o.Says = CauseDNS, StageResolving, o.Message
		default:
			o.Reading = CauseProbe
			o.Says = sayOr(signalled("the probe", o.ExitCode), sayOr(o.Message, fmt.Sprintf("the probe ended with code %d", o.ExitCode)))
		}
		return
	}
	o.Stage = StageConnected
	o.Answer = rcode
	if len(answers) > 0 {
		o.Answer += ", " + strings.Join(answers, ", ")
	}
	switch {
	case rcode == "REFUSED" || rcode == "SERVFAIL":
		o.Reading, o.Says = CauseDNS, "the DNS server answered "+rcode
	case rcode != p.rcode():
		o.Reading, o.Says = CauseAnswer, fmt.Sprintf("the DNS server answered %s for %s, not %s", rcode, p.Name, p.rcode())
	case truncated != p.Truncated && p.Truncated:
		o.Reading, o.Says = CauseAnswer, "the answer was not truncated"
	case truncated != p.Truncated:
		o.Reading, o.Says = CauseAnswer, "the answer was truncated, and the query was not sent again by TCP"
	case p.rcode() == "NOERROR" && len(answers) == 0 && !truncated:
		o.Reading, o.Says = CauseAnswer, fmt.Sprintf("%s has no %s record", p.Name, p.recordType())
	default:
		o.Reading, o.Message = CauseOK, ""
	}
}

// answer reads the response: "" for a code when there was none.
func (p DNS) answer(o *Outcome) (rcode string, truncated bool, records []string) {
	if o.Program == "nslookup" {
		if m := nslookupError.FindStringSubmatch(o.Output + "\n" + o.Message); m != nil {
			return m[1], false, nil
		}
		if o.ExitCode != 0 {
			return "", false, nil
		}
		// The first address is the server's.
		_, body, _ := strings.Cut(o.Output, "\n\n")
		for _, m := range nslookupAddr.FindAllStringSubmatch(body, -1) {
			records = append(records, m[1])
		}
		if len(records) == 0 && strings.TrimSpace(body) != "" && !slices.Contains([]string{"A", "AAAA"}, p.recordType()) {
			records = append(records, shorten(body))
		}
		return "NOERROR", false, records
	}
	m := digHeader.FindStringSubmatch(o.Output)
	if m == nil {
		return "", false, nil
	}
	if flags := digFlags.FindStringSubmatch(o.Output); flags != nil {
		truncated = slices.Contains(strings.Fields(flags[1]), "tc")
	}
	for _, a := range digAnswer.FindAllStringSubmatch(o.Output, -1) {
		if a[1] == p.recordType() {
			records = append(records, a[2])
		}
	}
	return m[1], truncated, records
}

// Match implements Probe.
func (p DNS) Match(t Target, f *flowpb.Flow) Relation {
	if want := strings.ToUpper(p.Protocol); want != "" && protocol(f) != want {
		return RelationNone
	}
	if l7 := f.GetL7().GetDns(); l7 != nil {
		if canonical(l7.GetQuery()) == canonical(p.Name) {
			return RelationRequest
		}
		return RelationNone
	}
	if f.GetL7() != nil {
		return RelationNone
	}
	if t.Dest.Host == "" && isDNS(f) || t.Dest.Host != "" && t.Reaches(f) {
		return RelationConnection
	}
	return RelationNone
}

// Expects implements Probe.
func (p DNS) Expects(Check) []Expect { return requests }

// Problems implements Probe.
func (p DNS) Problems(c Check) []Problem {
	var problems []Problem
	if _, err := p.Destination(c); err != nil {
		problems = append(problems, Problem{Path: []string{"to"}, Message: err.Error(), Cure: "write the DNS server as HOST:PORT, or leave to out for the pod's own resolver"})
	}
	if p.Truncated && p.Protocol != "udp" {
		problems = append(problems, Problem{
			Path: []string{"probe", "dns", "truncated"}, Message: "a truncated answer is asked for again by TCP, so that it is never seen",
			Cure: "add protocol: udp",
		})
	}
	return problems
}
