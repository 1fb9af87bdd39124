package checks

import (
	"fmt"
	"regexp"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"go.yaml.in/yaml/v3"
)

var commandKind = ProbeKind{
	Name: "command",
	Summary: "Runs any command in the pod. With to, it is about a connection; without, it is a claim " +
		"that the command's exit code and output prove.",
	Evidence: "With to: allowed when the command ends as expected; denied when it does not and a policy's drop for to is seen; " +
		"broken otherwise. Without to: met when it ends as expected, unmet when it ends by itself in another way. " +
		"A refusal can only be shown with to.",
	Example: `
- id: backend-port
  title: The client reaches the backend's port
  from: {app: client}
  to: backend:8080
  probe: {command: ["nc", "-z", "-w", "5", "backend", "8080"]}
  before: allowed
  after: denied
- id: resolver
  title: The client asks the cluster's DNS
  from: {app: client}
  probe:
    command:
      run: ["cat", "/etc/resolv.conf"]
      output: nameserver 10\.
  after: met
`,
	New: func() Probe { return &Command{} },
}

// Command runs a command of the lab's author. A list of words is short for Run.
type Command struct {
	// The command and its arguments.
	Run []string `yaml:"run" jsonschema:"required,minItems=1"`
	// The exit code that is expected.
	Exit int `yaml:"exit" jsonschema:"minimum=0,maximum=255"`
	// A regular expression (RE2) that is to match in what the command prints on stdout.
	Output string `yaml:"output"`
}

// outputKept bounds what of a command's output is looked at.
const outputKept = 64 << 10

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *Command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode(&p.Run)
	}
	type fields Command
	return n.Decode((*fields)(p))
}

// Commands implements Probe.
func (p Command) Commands(Check) []CommandLine {
	if len(p.Run) == 0 {
		return []CommandLine{{}}
	}
	return []CommandLine{{Program: p.Run[0], Words: p.Run}}
}

// Script implements Probe.
func (p Command) Script(commands []CommandLine) []string { return plainScript(commands) }

// Destination implements Probe.
func (p Command) Destination(c Check) (Destination, error) {
	if c.To == "" {
		return Destination{}, nil
	}
	return ParseDestination(c.To)
}

// Target implements Probe.
func (p Command) Target(c Check) string { return c.To }

// Read implements Probe.
func (p Command) Read(o *Outcome, res ExecResult) bool {
	if p.Output != "" {
		o.Output = string(res.Stdout[:min(len(res.Stdout), outputKept)])
	}
	return false
}

// Conclude implements Probe.
func (p Command) Conclude(o *Outcome) {
	ended := signalled("the probe", o.ExitCode)
	switch {
	case o.ExitCode != p.Exit && ended != "":
		o.Reading, o.Says = CauseProbe, ended
	case o.ExitCode != p.Exit:
		o.Reading, o.Says = CauseUnmet, fmt.Sprintf("the probe ended with code %d", o.ExitCode)
		if p.Exit != 0 {
			o.Says += fmt.Sprintf(" and not %d", p.Exit)
		}
	case !p.printed(o.Output):
		o.Reading, o.Says = CauseUnmet, fmt.Sprintf("the probe printed %q, in which %q does not match", shorten(o.Output), p.Output)
	default:
		o.Reading = CauseOK
		if p.Output != "" {
			o.Answer = "printed " + shorten(o.Output)
		}
	}
}

func (p Command) printed(output string) bool {
	if p.Output == "" {
		return true
	}
	re, err := regexp.Compile(p.Output)
	return err == nil && re.MatchString(output)
}

// Match implements Probe.
func (p Command) Match(t Target, f *flowpb.Flow) Relation { return t.Dialled(f) }

// Expects implements Probe.
func (p Command) Expects(c Check) []Expect {
	if c.To == "" {
		return claims
	}
	return requests
}

// Problems implements Probe.
func (p Command) Problems(c Check) []Problem {
	var problems []Problem
	if c.To != "" {
		problems = destinationProblems(c)
	}
	if _, err := regexp.Compile(p.Output); err != nil {
		problems = append(problems, Problem{
			Path: []string{"probe", "command", "output"}, Message: err.Error(), Cure: "write a regular expression in Go's syntax (RE2)",
		})
	}
	return problems
}

// shorten makes one short line of a text.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 120 {
		text = string(r[:120]) + "…"
	}
	return text
}
