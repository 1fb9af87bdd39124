// Package flow is what the datapath judged, as learners read it: connections
// between workloads, each once, with what decided. It draws nothing.
package flow

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verdicts, in the words of the pages.
const (
	Allowed = "allowed"
	Denied  = "denied"
	ToProxy = "to proxy"
)

// End is one end of a connection.
type End struct {
	Namespace string // of a pod, "" for what is none
	// Name is the workload's, a DNS name, an entity such as host, or an address.
	Name string
	Port uint16 // 0 for none
}

// in is what the end is called in a namespace: its own is told where that is
// another.
func (e End) in(here string) string {
	name := e.Name
	if e.Namespace != "" && e.Namespace != here {
		name = e.Namespace + "/" + name
	}
	if e.Port == 0 {
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(int(e.Port)))
}

// Flow is a connection, a request or a query that the datapath judged. It runs
// from the client to the server, an answer too.
type Flow struct {
	At       time.Time
	Verdict  string
	From, To End
	What     string   // TCP, GET /path, DNS name
	L7       bool     // What is of layer 7
	Answer   bool     // to what was asked before
	Code     int      // HTTP status of an answer, 0 for none
	Reason   string   // of a drop, with the end that it was at
	By       []string // the policies that decided, each KIND NAMESPACE/NAME
}

// Connection is flows that say the same.
type Connection struct {
	Flow      // the last of them
	Count int // how many there were; answers are not counted
	First time.Time
}

// Refused says whether the connection came to nothing by a verdict: dropped, or
// answered 403 by a proxy or a server.
func (c Connection) Refused() bool { return c.Verdict == Denied || c.Code == 403 }

// Policies names the policies that decided, without kind and namespace.
func (c Connection) Policies() string {
	var names []string
	for _, p := range c.By {
		if name := p[strings.LastIndexAny(p, " /")+1:]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Ends are both ends as one writes them in a namespace.
func (c Connection) Ends(namespace string) (from, to string) {
	return c.From.in(namespace), c.To.in(namespace)
}

// Of says whether a pod of one of these namespaces is at one end.
func (c Connection) Of(namespaces ...string) bool {
	return slices.Contains(namespaces, c.From.Namespace) || slices.Contains(namespaces, c.To.Namespace)
}

// Holds says whether a text is somewhere in what is told of the connection.
func (c Connection) Holds(text string) bool {
	from, to := c.Ends("")
	all := strings.Join(append([]string{c.Verdict, from, to, c.What, c.Reason, strconv.Itoa(c.Code)}, c.By...), " ")
	return strings.Contains(strings.ToLower(all), strings.ToLower(text))
}

// Sentence tells the connection in words.
func (c Connection) Sentence(namespace string) string {
	from, to := c.Ends(namespace)
	text := c.Verdict
	if c.Code == 403 {
		text = "refused with HTTP 403"
	}
	if c.Count > 1 {
		text += fmt.Sprintf(", %d times", c.Count)
	}
	text += ": from " + from + " to " + to
	if c.What != "" {
		text += ", " + c.What
	}
	if c.Code != 0 && c.Code != 403 {
		text += fmt.Sprintf(", HTTP %d", c.Code)
	}
	if c.Reason != "" {
		text += ", reason " + c.Reason
	}
	if len(c.By) > 0 {
		text += ", by " + strings.Join(c.By, ", ")
	}
	return text + "."
}

// Log keeps connections, the one that was last seen last. The zero value keeps
// none: make it with NewLog. It belongs to one goroutine.
type Log struct {
	limit  int
	all    []Connection
	missed int
}

// NewLog keeps at most limit connections.
func NewLog(limit int) *Log { return &Log{limit: limit} }

// Add takes a flow into its connection. An answer tells the request before it
// what became of it.
func (l *Log) Add(f Flow) {
	for i := len(l.all) - 1; i >= 0; i-- {
		c := l.all[i]
		if !same(c.Flow, f) {
			continue
		}
		switch {
		case f.Answer:
			c.At = f.At
			if f.Code != 0 {
				c.Code = f.Code
			}
		default:
			code := c.Code
			c.Flow = f
			c.Code = code
			c.Count++
		}
		l.all = append(append(l.all[:i:i], l.all[i+1:]...), c)
		return
	}
	f.Answer = false // one to what was asked before anybody looked stands for it
	l.all = append(l.all, Connection{Flow: f, Count: 1, First: f.At})
	if over := len(l.all) - l.limit; over > 0 {
		l.missed += over
		l.all = slices.Clone(l.all[over:])
	}
}

// same says whether a flow is of the connection that another began.
func same(c, f Flow) bool {
	if c.From != f.From || c.To != f.To || c.What != f.What {
		return false
	}
	return f.Answer || c.Verdict == f.Verdict && c.Reason == f.Reason && slices.Equal(c.By, f.By)
}

// asked is what a client asked of a server.
type asked struct {
	from, to End
	what     string
}

// All are the connections, without those to a proxy whose requests are known, and
// without the names that a resolver's search list makes of one that is asked for.
func (l *Log) All() []Connection {
	known := map[asked]bool{}
	for _, c := range l.all {
		if c.L7 {
			known[asked{c.From, c.To, ""}] = true
			known[asked{c.From, c.To, c.What}] = true
		}
	}
	out := make([]Connection, 0, len(l.all))
	for _, c := range l.all {
		if c.Verdict == ToProxy && known[asked{c.From, c.To, ""}] || searched(c, known) {
			continue
		}
		out = append(out, c)
	}
	return out
}

// searched says whether a query is for a name of which the beginning is asked for
// too.
func searched(c Connection, known map[asked]bool) bool {
	if !strings.HasPrefix(c.What, "DNS ") || c.Verdict != Allowed {
		return false
	}
	name := c.What
	for i := strings.LastIndex(name, "."); i > 0; i = strings.LastIndex(name, ".") {
		name = name[:i]
		if known[asked{c.From, c.To, name}] {
			return true
		}
	}
	return false
}

// Take returns the connections and how many were not kept, and forgets them.
func (l *Log) Take() (all []Connection, missed int) {
	all, missed = l.All(), l.missed
	l.all, l.missed = nil, 0
	return all, missed
}
