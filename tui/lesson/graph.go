package lesson

import (
	"io/fs"
	"regexp"

	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/netmap"
)

// Graph is the network as the task's checks see it: with the last verdict of each,
// which is that without a policy until there is another.
func (l *Lesson) Graph() netmap.Graph {
	var all []netmap.Check
	for _, r := range l.Rows {
		c := netmap.Check{From: r.Check.From.String(), To: r.Check.To, Command: r.Check.CommandLine(), Verdict: netmap.Unjudged}
		switch {
		case r.Running != "":
			c.Verdict = netmap.Running
		case r.Now != nil:
			c.Verdict, c.Stale = string(r.Now.Verdict), r.Outdated()
		case r.Before != nil:
			c.Verdict = string(r.Before.Verdict)
		}
		all = append(all, c)
	}
	return netmap.FromChecks(all, netmap.Names{World: l.Lab.World.Names, Namespaces: l.spaces})
}

// inNamespace is where a manifest says what namespace an object is in.
var inNamespace = regexp.MustCompile(`\bnamespace:\s*["']?([a-z0-9-]+)`)

// spacesOf are the namespaces of a lab's workloads, to know Services by. A manifest that
// cannot be read names none: the lab will say so when it is entered.
func spacesOf(lab *labs.Lab) []string {
	all := []string{lab.Namespace}
	if lab.FS == nil {
		return all
	}
	for _, name := range lab.Workloads {
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			continue
		}
		for _, m := range inNamespace.FindAllSubmatch(data, -1) {
			all = append(all, string(m[1]))
		}
	}
	return all
}
