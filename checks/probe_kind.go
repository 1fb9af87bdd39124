package checks

import (
	"fmt"
	"slices"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"go.yaml.in/yaml/v3"
)

// Probe is one way to find out whether something is possible: what to run, how
// to read what it left, and which flows are its own. It judges nothing; Judge
// does, by the same rules for every kind.
type Probe interface {
	// Commands are what a person would type, the preferred one first. Each does the
	// same with another program, since images have one or the other.
	Commands(c Check) []CommandLine
	// Script is what is run in the pod for these commands. It may add to their
	// stderr what Read understands, and leaves their stdout alone.
	Script(commands []CommandLine) []string
	// Destination is whom the probe dials: what a drop must be for.
	Destination(c Check) (Destination, error)
	// Target names what is probed; equal texts are the same experiment from
	// perhaps another pod.
	Target(c Check) string
	// Read adds to an outcome what the probe's process has left so far. True means
	// that the process told its exit code itself.
	Read(o *Outcome, res ExecResult) bool
	// Conclude says what a probe that ended by itself means where the datapath has
	// no word: it sets Reading, and Stage where the exit code tells it.
	Conclude(o *Outcome)
	// Match says what a flow of the probing pod is to the probe.
	Match(t Target, f *flowpb.Flow) Relation
	// Expects are the expectations that the probe can meet.
	Expects(c Check) []Expect
	// Problems returns what is wrong with a check's declaration.
	Problems(c Check) []Problem
}

// CommandLine is a command as one types it, and the program that it needs.
type CommandLine struct {
	Program string
	Test    string // a shell command that fails where Program lacks what is needed; "" for none
	Words   []string
}

// Relation is what a flow is to a probe.
type Relation int

// Relations.
const (
	RelationNone       Relation = iota
	RelationLookup              // a DNS query for the destination's name
	RelationConnection          // the probe's own packets
	RelationRequest             // what the probe asks in its connection, as a proxy sees it
)

// Problem is what is wrong with a check's declaration.
type Problem struct {
	Path    []string // of the field, below the check
	Message string
	Cure    string
}

// ProbeKind is a kind of probe as lab.yaml names it.
type ProbeKind struct {
	Name    string // the key below probe
	Summary string // one sentence: what it finds out
	// Evidence says in plain words what makes each verdict.
	Evidence string
	// Example is a list of checks in YAML.
	Example string
	New     func() Probe // a pointer to the zero value, to decode into
}

// kinds are the kinds of probes: a line each, in the order of the reference.
var kinds = []ProbeKind{
	curlKind,
	tcpKind,
	udpKind,
	dnsKind,
	icmpKind,
	commandKind,
	kubectlKind,
}

// ProbeKinds returns every kind of probe.
func ProbeKinds() []ProbeKind { return slices.Clone(kinds) }

// Spec is a probe as a check declares it: a mapping of the kind's name to its
// fields. The zero value is curl with DefaultCurl.
type Spec struct {
	Probe
	several []string // the kinds that were declared, when there is more than one
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Spec) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a probe is one of %s", n.Line, kindNames())
	}
	if len(n.Content) == 0 {
		return nil
	}
	for i := 0; i < len(n.Content) && len(n.Content) > 2; i += 2 {
		s.several = append(s.several, n.Content[i].Value)
	}
	for _, k := range kinds {
		if k.Name == n.Content[0].Value {
			s.Probe = k.New()
			return n.Content[1].Decode(s.Probe)
		}
	}
	return fmt.Errorf("line %d: no probe %q; known: %s", n.Line, n.Content[0].Value, kindNames())
}

func kindNames() string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	return strings.Join(names, ", ")
}

// objectProbe is a probe that reads an object of the API server and runs in no
// pod.
type objectProbe interface {
	Probe
	// Object names the object.
	Object(c Check) ObjectRef
	// Look says what the object means; obj is nil where there is none.
	Look(o *Outcome, obj map[string]any)
}

// ObjectRef names an object as kubectl does.
type ObjectRef struct {
	Resource        string // a kind, a resource or a short name
	Namespace, Name string
}
