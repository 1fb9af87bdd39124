package flows

import (
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/tui/flow"
	"github.com/netdojo/netdojo/tui/lesson"
)

// check is the place of the check that a connection is of, -1 for none: one from
// the same workload to the same place, of the same request where one is seen. The lab's
// own namespace is called here on the cluster.
func check(c flow.Connection, all []lesson.Row, own, here string) int {
	from := c.From.Namespace
	if from == here {
		from = own // as the lab has it
	}
	for i, r := range all {
		d, err := checks.ParseDestination(r.Check.To)
		if err != nil || r.Check.From.App != c.From.Name || from == "" || r.Check.From.Namespace != "" && r.Check.From.Namespace != from {
			continue
		}
		host, rest, _ := strings.Cut(d.Host, ".")
		in, _, _ := strings.Cut(rest, ".")
		switch in {
		case "":
			in = c.From.Namespace // a name alone is of the client's
		case own:
			in = here
		}
		pod := c.To.Namespace != ""
		if pod && (c.To.Namespace != in || c.To.Name != host) || !pod && c.To.Name != d.Host {
			continue
		}
		if method, path, ok := strings.Cut(c.What, " "); c.L7 && ok && method != "DNS" {
			if checks.Method(r.Check) != method || !strings.HasSuffix(path, d.Path) {
				continue
			}
		}
		return i
	}
	return -1
}
