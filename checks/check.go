// Package checks knows one check: a probe that runs in a pod, what is expected
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
)

// DefaultTimeout bounds a check from its first probe to a stable verdict.
const DefaultTimeout = 15 * time.Second

// Check is the declared form of a check, as a lab writes it.
type Check struct {
	ID    string `yaml:"id"`
	Title string `yaml:"title"`
	From  From   `yaml:"from"`
	// To is an URL or HOST:PORT. It is what the probe dials and what a drop
	// must be for.
	To    string `yaml:"to"`
	Probe Probe  `yaml:"probe"`
	// Before and After are the expectations of the two phases. An empty one means
	// that the check is not run in that phase.
	Before Expect `yaml:"before"`
	After  Expect `yaml:"after"`
	// Status is the HTTP status that an allowed probe must bring; 0 takes any.
	Status  int           `yaml:"status"`
	Timeout time.Duration `yaml:"timeout"` // 0 means DefaultTimeout
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
	Namespace string            `yaml:"namespace"`
	App       string            `yaml:"app"`
	Labels    map[string]string `yaml:"labels"`
	Container string            `yaml:"container"`
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

// String is NAMESPACE/SELECTOR.
func (f From) String() string { return f.Namespace + "/" + f.Selector() }

// Probe is how a check probes. The zero value is the page's curl command.
type Probe struct {
	// Curl is curl's arguments without the URL; nil means DefaultCurl.
	Curl []string `yaml:"curl"`
	// Command replaces curl: exit code 0 means allowed, any other denied or broken
	// as the datapath says.
	Command []string `yaml:"command"`
}

// DefaultCurl is how the pages of the labs call curl.
var DefaultCurl = []string{"-Ik", "--connect-timeout", "5"}

// CommandLine is the command as a page would show it: what the learner can type.
func (c Check) CommandLine() []string {
	if len(c.Probe.Command) > 0 {
		return slices.Clone(c.Probe.Command)
	}
	args := c.Probe.Curl
	if args == nil {
		args = DefaultCurl
	}
	return append(append([]string{"curl"}, args...), c.To)
}

// Destination is whom a check dials.
type Destination struct {
	Host string // a DNS name in lower case without final dot, or an IP address
	Port uint16
	Path string // of an URL; "" otherwise
}

// IsIP says whether Host is a literal address.
func (d Destination) IsIP() bool {
	_, err := netip.ParseAddr(d.Host)
	return err == nil
}

// String is HOST:PORT.
func (d Destination) String() string {
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
