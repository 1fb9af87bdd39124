package netmap

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/runner/record"
)

// Check is a check with what is known of its verdict.
type Check struct {
	From    string   // NAMESPACE/SELECTOR
	To      string   // as the check has it
	Command []string // of the probe
	Verdict string   // as Line has it
	Stale   bool
}

// Names are what is known of the names that checks dial.
type Names struct {
	World      []string // DNS names outside the cluster, in lower case
	Namespaces []string // of the cluster
}

// FromChecks is the graph of checks. Those that open no connection, such as those
// of an object, are left out.
func FromChecks(all []Check, names Names) Graph {
	g := Graph{Schema: Schema, Nodes: []Node{}, Lines: []Line{}, Services: []Link{}}
	for _, c := range all {
		if ns, _, ok := strings.Cut(c.From, "/"); ok {
			names.Namespaces = append(names.Namespaces, ns)
			g.add(client(c.From))
		}
	}
	for _, c := range all {
		if c.From == "" {
			continue
		}
		from := client(c.From)
		line, host := request(c)
		if host == "" {
			continue // it says of no connection which
		}
		to := names.node(host, from.Namespace)
		g.add(to)
		line.From, line.To, line.Verdict, line.Stale = from.ID, to.ID, word(c.Verdict), c.Stale
		if !slices.Contains(g.Lines, line) {
			g.Lines = append(g.Lines, line)
		}
	}
	return g
}

// FromRecord is the graph of a task's checks in one phase.
func FromRecord(t record.Task, phase checks.Phase) Graph {
	var all []Check
	var names Names
	for _, c := range t.Checks {
		if control := c.Evidence.Control; control != nil && control.Subject.Service != nil {
			names.Namespaces = append(names.Namespaces, control.Subject.Service.Namespace)
		}
		if c.Phase == phase {
			all = append(all, Check{From: c.From, To: c.To, Command: c.Command, Verdict: string(c.Verdict)})
		}
	}
	return FromChecks(all, names)
}

// client is the node of pods that probe: those of one value of the label app are
// called by it.
func client(from string) Node {
	ns, selector, _ := strings.Cut(from, "/")
	name := strings.TrimPrefix(selector, "app=")
	if strings.ContainsAny(name, ",=") {
		name = selector
	}
	return Node{ID: ns + "/" + name, Kind: Pods, Namespace: ns, Name: name}
}

// clusterDNS is what a probe asks that names no server.
const clusterDNS = "kube-dns.kube-system"

// request is what a check asks, and of which host.
func request(c Check) (Line, string) {
	program := ""
	if len(c.Command) > 0 {
		program = c.Command[0]
	}
	var l Line
	host, port := c.To, ""
	if u, err := url.Parse(c.To); err == nil && u.Host != "" {
		l.Protocol, l.Path = "TCP", u.RequestURI()
		l.Method = checks.MethodOf(c.To, c.Command)
		if host, port = u.Hostname(), u.Port(); port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
	} else if at := strings.LastIndexByte(c.To, ':'); at > 0 && (strings.Count(c.To, ":") == 1 || strings.HasPrefix(c.To, "[")) {
		host, port = strings.Trim(c.To[:at], "[]"), c.To[at+1:]
	}
	switch program {
	case "nc", "timeout":
		l.Protocol = "TCP"
		if slices.Contains(c.Command, "-u") {
			l.Protocol = "UDP"
		}
	case "ping":
		l.Protocol = "ICMP"
	case "dig", "nslookup":
		l.Protocol = "DNS"
		l.Path = asked(c.Command)
		if port == "" {
			port = "53"
		}
		if host == "" {
			host = clusterDNS
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		l.Port = uint16(n)
	}
	return l, strings.TrimSuffix(strings.ToLower(host), ".")
}

// asked is the name that dig or nslookup asks for.
func asked(command []string) string {
	words := slices.DeleteFunc(slices.Clone(command[1:]), func(w string) bool { return strings.ContainsAny(w[:min(len(w), 1)], "+-@") })
	for _, w := range words {
		if strings.Contains(w, ".") {
			return strings.TrimSuffix(w, ".")
		}
	}
	if len(words) > 0 {
		return words[0]
	}
	return ""
}

// node is whom a host means that is dialled from a namespace.
func (n Names) node(host, from string) Node {
	if _, err := netip.ParseAddr(host); err == nil {
		return Node{ID: host, Kind: Address, Name: host}
	}
	labels := strings.Split(host, ".")
	service := func(ns string) Node {
		return Node{ID: "svc/" + ns + "/" + labels[0], Kind: Service, Namespace: ns, Name: labels[0]}
	}
	switch {
	case slices.Contains(n.World, host):
		return Node{ID: host, Kind: World, Name: host}
	case len(labels) == 1:
		return service(from)
	case len(labels) > 2 && labels[2] == "svc", len(labels) == 2 && (labels[1] == "kube-system" || slices.Contains(n.Namespaces, labels[1])):
		return service(labels[1])
	}
	return Node{ID: host, Kind: Name, Name: host}
}
