//go:build conformance

package conformance

import (
	"os"
	"regexp"
)

// group is a part of Kubernetes' suite: its heading in the record, and a regular
// expression of its specs' full texts.
type group struct{ title, focus string }

func (g group) is(spec string) bool { return regexp.MustCompile(g.focus).MatchString(spec) }

// groups are those that are run.
var groups = []group{
	{"Network policies", `\[sig-network\] Netpol `},
	{"DNS", `\[sig-network\] DNS `},
	{"Services", `\[sig-network\] Services `},
	{"EndpointSlices and Endpoints", `\[sig-network\] Endpoint(Slice|SliceMirroring|s|sController) `},
}

// omission are specs that are not tried, and why.
type omission struct{ specs, reason string }

func leftOut() []omission {
	var out []omission
	if _, err := os.Stat("/proc/net/sctp"); err != nil {
		out = append(out, omission{`\[Feature:SCTPConnectivity\]`, "the kernel this ran on has no SCTP sockets (/proc/net/sctp is missing)"})
	}
	return out
}
