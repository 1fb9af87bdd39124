// Package checks knows one check: a probe (a file a kind), what is expected
// of it, and the evidence that turns what was seen into a verdict. It knows no
// lab, no provider and no screen; how to run a command in a pod and where flows
// come from it asks through interfaces.
package checks

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Phase is the moment of a check relative to the task's policy.
type Phase string

// Phases.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// Expect is what a check wants to see.
type Expect string

// Expectations.
const (
	ExpectAllowed  Expect = "allowed"
	ExpectDenied   Expect = "denied"
	ExpectDeniedL7 Expect = "denied-l7"
	ExpectMet      Expect = "met"
	ExpectUnmet    Expect = "unmet"
)

// What probes can be expected to find: a connection is allowed or denied, a
// claim is met or unmet.
var (
	connections = []Expect{ExpectAllowed, ExpectDenied}
	requests    = []Expect{ExpectAllowed, ExpectDenied, ExpectDeniedL7}
	claims      = []Expect{ExpectMet, ExpectUnmet}
)

// DefaultTimeout bounds a check from its first probe to a stable verdict.
const DefaultTimeout = 15 * time.Second

// Check is the declared form of a check, as a lab writes it.
type Check struct {
	// How the check is called.
	ID string `yaml:"id" jsonschema:"required,pattern=^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"`
	// What the check shows, in a sentence.
	Title string `yaml:"title" jsonschema:"minLength=1"`
	// The pod that probes, by its labels; app is short for the label app.
	From From `yaml:"from"`
	// What the probe dials and what a drop must be for. Its form is the probe's: an URL or HOST:PORT for most.
	To string `yaml:"to" jsonschema:"minLength=1"`
	// How it is probed: one of the kinds; curl when absent.
	Probe Spec `yaml:"probe"`
	// What is expected before the policy; not checked when absent.
	Before Expect `yaml:"before"`
	// What is expected after the policy; not checked when absent.
	After Expect `yaml:"after"`
	// The HTTP status that an allowed probe must bring; any when absent.
	Status int `yaml:"status" jsonschema:"minimum=100,maximum=599"`
	// From the first probe to a stable verdict: 500ms, 20s, 1m; 15s when absent.
	Timeout time.Duration `yaml:"timeout"`
	// Many checks at once, in place of from, to, probe, before and after.
	Matrix *Matrix `yaml:"matrix"`

	// Cell is set for a check that Cells made of a matrix.
	Cell *Cell `yaml:"-"`
}

// Expect returns the expectation of a phase, or "".
func (c Check) Expect(p Phase) Expect {
	if p == Before {
		return c.Before
	}
	return c.After
}

// From selects the pod that probes: by labels, App being short for the label
// "app". An empty Container is the pod's first.
type From struct {
	// The pod's namespace; the lab's when absent.
	Namespace string `yaml:"namespace" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
	// The value of the pod's label app.
	App string `yaml:"app" jsonschema:"minLength=1"`
	// Labels of the pod.
	Labels map[string]string `yaml:"labels" jsonschema:"minProperties=1"`
	// The container to probe from; the pod's first when absent.
	Container string `yaml:"container" jsonschema:"pattern=^[a-z0-9]([a-z0-9-]{0\\,61}[a-z0-9])?$"`
}

// Selector is the label selector in its canonical text form.
func (f From) Selector() string {
	pairs := make([]string, 0, len(f.Labels)+1)
	if f.App != "" {
		pairs = append(pairs, "app="+f.App)
	}
	for k, v := range f.Labels {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return strings.Join(slices.Compact(pairs), ",")
}

// String is NAMESPACE/SELECTOR, "" when no pod is meant.
func (f From) String() string {
	if f.Selector() == "" {
		return ""
	}
	return f.Namespace + "/" + f.Selector()
}

// Destination returns whom the probe dials; the zero value when it dials nobody.
func (c Check) Destination() (Destination, error) { return c.probe().Destination(c) }

// InPod says whether the probe runs in a pod, which From selects.
func (c Check) InPod() bool {
	_, asks := c.probe().(objectProbe)
	return !asks
}

// CommandLine is the command as a page would show it: what the learner can type.
func (c Check) CommandLine() []string { return slices.Clone(c.probe().Commands(c)[0].Words) }

// Commands are all commands that the probe may run, the preferred first.
func (c Check) Commands() []CommandLine { return c.probe().Commands(c) }

// Names says whether a DNS name that the check dials, asks for or has in its
// command is one of a namespace, so that it means something else when the lab
// moves to another.
func (c Check) Names(namespace string) bool {
	words := c.CommandLine()
	if d, err := c.Destination(); err == nil {
		words = append(words, d.Host)
	}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w+".", "."+namespace+".") })
}

// Resolves are the DNS names that the check needs an answer for, in lower case
// without final dot: the one that it dials, and the one that it asks for.
func (c Check) Resolves() []string {
	var names []string
	if d, err := c.Destination(); err == nil && d.Host != "" && !d.IsIP() {
		names = append(names, d.Host)
	}
	if p, ok := c.probe().(interface{ Asks() string }); ok && p.Asks() != "" {
		names = append(names, canonical(p.Asks()))
	}
	return names
}

// Target names what is probed, for people and to tell whether two checks probe
// the same: To where that says it all.
func (c Check) Target() string { return c.probe().Target(c) }

// Problems returns what is wrong with the check's probe beyond its schema.
func (c Check) Problems() []Problem {
	if c.Matrix != nil {
		return c.matrixProblems()
	}
	problems := c.probe().Problems(c)
	if several := c.Probe.several; len(several) > 0 {
		problems = append(problems, Problem{
			Path: []string{"probe"}, Message: "has both " + strings.Join(several, " and "), Cure: "keep one of them",
		})
	}
	return problems
}

// Expects are the expectations that the check's probe can meet.
func (c Check) Expects() []Expect { return slices.Clone(c.probe().Expects(c)) }

// claims says whether the check is about a claim, and not about a connection
// that the datapath judges.
func (c Check) claims() bool { return slices.Contains(c.probe().Expects(c), ExpectMet) }

func (c Check) probe() Probe {
	if c.Probe.Probe == nil {
		return Curl{}
	}
	return c.Probe.Probe
}

// Destination is whom a check dials.
type Destination struct {
	Host string // a DNS name in lower case without final dot, or an IP address
	Port uint16 // 0 for a protocol without ports
	Path string // of an URL; "" otherwise
}

// IsIP says whether Host is a literal address.
func (d Destination) IsIP() bool {
	_, err := netip.ParseAddr(d.Host)
	return err == nil
}

// String is HOST:PORT, or HOST where there is no port.
func (d Destination) String() string {
	if d.Port == 0 {
		return d.Host
	}
	return net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port)))
}

// ParseDestination reads a check's To.
func ParseDestination(to string) (Destination, error) {
	if !strings.Contains(to, "://") {
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			return Destination{}, fmt.Errorf("destination %q: want an URL or HOST:PORT", to)
		}
		return destination(to, host, port, "")
	}
	u, err := url.Parse(to)
	if err != nil {
		return Destination{}, fmt.Errorf("destination %q: %w", to, err)
	}
	port := u.Port()
	if port == "" {
		switch u.Scheme {
		case "https":
			port = "443"
		case "http":
			port = "80"
		default:
			return Destination{}, fmt.Errorf("destination %q: scheme %q has no port that netdojo knows; write HOST:PORT", to, u.Scheme)
		}
	}
	return destination(to, u.Hostname(), port, u.RequestURI())
}

func destination(to, host, port, path string) (Destination, error) {
	if host == "" {
		return Destination{}, fmt.Errorf("destination %q has no host", to)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Destination{}, fmt.Errorf("destination %q: port %q is not in 1..65535", to, port)
	}
	return Destination{Host: strings.ToLower(strings.TrimSuffix(host, ".")), Port: uint16(n), Path: path}, nil
}

// destinationProblems are those of a check that dials an URL or HOST:PORT.
func destinationProblems(c Check) []Problem {
	if _, err := ParseDestination(c.To); err != nil {
		return []Problem{{Path: []string{"to"}, Message: err.Error(), Cure: "write an URL (https://kubernetes.io) or HOST:PORT"}}
	}
	return nil
}
