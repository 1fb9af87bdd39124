// Package netmap draws who reaches whom: workloads, Services and the world as
// boxes, and between them a line for each connection that was judged, with its
// port, its method and its verdict. It takes a matrix of the policy engine or the
// checks of a record, and draws text, a tree or a picture in SVG; it asks nobody.
package netmap

import (
	"cmp"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/datapath/explain"
)

// Schema names the JSON form of a Graph. Fields are added, never renamed.
const Schema = "netdojo.dev/map/v1"

// Kind is what a node is.
type Kind string

// Kinds of nodes.
const (
	Pods    Kind = "pods"    // a workload, or the pods that a selector names
	Service Kind = "Service" // as a client dials it
	World   Kind = "world"   // outside the cluster, or one name there
	Name    Kind = "name"    // a DNS name of which it is not known where it is
	Address Kind = "address" // an IP address that was dialled
)

// Node is one end of connections.
type Node struct {
	// ID is NAMESPACE/NAME for pods, svc/NAMESPACE/NAME for a Service, else the name.
	ID        string `json:"id"`
	Kind      Kind   `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Line is one connection, in one direction.
type Line struct {
	From     string `json:"from"` // the ID of a node
	To       string `json:"to"`
	Protocol string `json:"protocol,omitempty"` // TCP, UDP, SCTP, ICMP, DNS; "" when it is not known
	Port     uint16 `json:"port,omitempty"`
	Method   string `json:"method,omitempty"` // of an HTTP request
	Path     string `json:"path,omitempty"`   // of an HTTP request, or the name that DNS is asked for
	// Verdict is allowed, denied, denied-l7, broken, inconclusive, or one of the
	// words for no verdict: Running and Unjudged.
	Verdict string `json:"verdict"`
	// Stale says that something changed since the verdict.
	Stale bool `json:"stale,omitempty"`
}

// Words that stand in a line's place of a verdict while there is none.
const (
	Running  = "running"
	Unjudged = "unjudged"
)

// Link is a port of a Service, and a workload that it leads to.
type Link struct {
	Service  string `json:"service"` // NAMESPACE/NAME
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
	To       string `json:"to"` // the ID of a node
}

// Graph is what is drawn. The order of nodes and lines is that of the picture.
type Graph struct {
	Schema   string   `json:"schema"`
	Source   string   `json:"source,omitempty"` // of a matrix: "cluster", or the files that were read
	Nodes    []Node   `json:"nodes"`
	Lines    []Line   `json:"lines"`
	Services []Link   `json:"services"`
	Notes    []string `json:"notes,omitempty"`
}

// FromMatrix is the graph of a matrix: a node for each row, a line for each cell.
func FromMatrix(m *explain.Matrix) Graph {
	g := Graph{Schema: Schema, Source: m.Source, Nodes: []Node{}, Lines: []Line{}, Services: []Link{}, Notes: m.Notes}
	for _, name := range append(slices.Clone(m.From), m.To...) {
		g.add(pod(name))
	}
	for _, c := range m.Cells {
		g.Lines = append(g.Lines, Line{From: c.From, To: c.To, Protocol: c.Protocol, Port: c.Port, Verdict: word(string(c.Outcome))})
	}
	for _, s := range m.Services {
		for _, to := range s.To {
			g.Services = append(g.Services, Link{Service: s.Name, Port: s.Port, Protocol: s.Protocol, To: to})
		}
	}
	return g
}

// pod is the node of a matrix's row: NAMESPACE/NAME, or an entity.
func pod(name string) Node {
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		return Node{ID: name, Kind: Pods, Namespace: ns, Name: rest}
	}
	return Node{ID: name, Kind: World, Name: name}
}

// add puts a node in, once.
func (g *Graph) add(n Node) {
	if !slices.ContainsFunc(g.Nodes, func(o Node) bool { return o.ID == n.ID }) {
		g.Nodes = append(g.Nodes, n)
	}
}

// node is the node with an ID; one that is not listed has its ID as name.
func (g *Graph) node(id string) Node {
	for _, n := range g.Nodes {
		if n.ID == id {
			return n
		}
	}
	return Node{ID: id, Kind: Name, Name: id}
}

// workloads counts the nodes that are pods.
func (g *Graph) workloads() int {
	n := 0
	for _, node := range g.Nodes {
		if node.Kind == Pods {
			n++
		}
	}
	return n
}

// ordered are the lines by their source and their destination, in the order of the
// nodes.
func (g *Graph) ordered() []Line {
	at := map[string]int{}
	for i, n := range g.Nodes {
		at[n.ID] = i
	}
	lines := slices.Clone(g.Lines)
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(at[a.From], at[b.From]), cmp.Compare(at[a.To], at[b.To]))
	})
	return lines
}

// home is the namespace of most nodes, which their names are drawn without; ""
// where none has one.
func (g *Graph) home() string {
	count, most := map[string]int{}, ""
	for _, n := range g.Nodes {
		if n.Namespace == "" {
			continue
		}
		if count[n.Namespace]++; most == "" || count[n.Namespace] > count[most] {
			most = n.Namespace
		}
	}
	return most
}
