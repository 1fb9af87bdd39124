package offline

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
)

// survey asks everything that policies of several sets could tell apart: it reads
// which labels, namespaces, ports, addresses, names and requests any of them
// mentions, and adds one of each that none does.
type survey struct {
	unseen control.File // namespaces and pods that the files do not have
	words  vocabulary
	first  []explain.Outcome // of the first set, in the order of cells
}

// Bounds of a survey: its cells are pairs of pods times ports.
const (
	mostUnseen = 60
	mostPorts  = 12
	unusedPort = 7        // that no policy mentions
	unseenName = "unseen" // of namespaces and pods, and the value of labels
)

func newSurvey(q control.Offline) (*survey, error) {
	s := &survey{words: vocabulary{
		labels: map[string]map[string]bool{}, namespaces: map[string]bool{}, teams: map[string]string{}, ports: map[uint16]bool{},
		addrs: map[netip.Addr]bool{}, names: map[string]bool{}, methods: map[string]bool{}, paths: map[string]bool{},
		servers: map[string]bool{}, dns: map[string]bool{},
	}}
	base, err := parseAll(q.Files)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(base)
	for _, set := range q.Variants.Sets {
		objects, err := parseAll(set)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	for _, o := range all {
		s.words.read(o.Object, "", false)
	}
	s.words.complete()
	s.unseen = s.words.strangers(base, cmp.Or(q.Variants.Namespace, "default"))
	return s, nil
}

func parseAll(files []control.File) ([]manifests.Object, error) {
	var objects []manifests.Object
	for _, f := range files {
		found, err := object.Parse(f.Name, f.Data)
		if err != nil {
			return nil, fileError{err}
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// endpoint is an end of a survey's connections.
type endpoint struct {
	end    policy.End
	name   string
	unseen bool
	pod    bool
	system bool // of kube-system
}

// cell is one connection, and what may travel in it.
type cell struct {
	from, to endpoint
	asks     []policy.Ask // the first is about the connection alone
}

// differs judges every connection, and returns those that the first set judges
// otherwise. Called first for that set, it remembers it.
func (s *survey) differs(c *cluster) ([]control.Differs, error) {
	isFirst := s.first == nil
	var found []difference
	i := 0
	err := s.cells(c, func(x cell) error {
		outcomes, err := x.judge(c.engine)
		if err != nil {
			return err
		}
		if isFirst {
			s.first = append(s.first, outcomes...)
			return nil
		}
		for j, outcome := range outcomes {
			if first := s.first[i+j]; first != outcome {
				found = append(found, difference{rank(x, j), control.Differs{
					From: x.from.name, To: x.to.name, What: what(x.asks[j]), First: first, Here: outcome, Unseen: x.from.unseen || x.to.unseen,
				}})
			}
		}
		i += len(outcomes)
		return nil
	})
	slices.SortStableFunc(found, func(a, b difference) int { return cmp.Compare(a.rank, b.rank) })
	var out []control.Differs
	for _, d := range found[:min(len(found), control.MostDiffers)] {
		out = append(out, d.Differs)
	}
	return out, err
}

// difference is one of many, of which those that a check can best show come first.
type difference struct {
	rank int
	control.Differs
}

// rank is 0 for what pods of the files send each other to ports that somebody
// mentions, and higher the harder a check of it is to write.
func rank(x cell, ask int) int {
	rank := 0
	if !x.from.pod || x.from.system {
		rank += 8
	}
	if x.to.system {
		rank += 2
	}
	if x.from.unseen || x.to.unseen {
		rank += 16
	}
	if a := x.asks[ask]; a.Port == unusedPort || a.Proto == 132 {
		rank += 4
	}
	return rank
}

// seenByDNS is allowed, where rules for names learn of what is asked.
const seenByDNS explain.Outcome = "allowed by the DNS proxy"

// judge judges what may travel in a connection. Only a proxy looks into it.
func (x cell) judge(e *policy.Engine) ([]explain.Outcome, error) {
	out := make([]explain.Outcome, len(x.asks))
	var whole verdict.Action
	for i, ask := range x.asks {
		if i > 0 && (whole == verdict.Drop || whole == verdict.Allow) {
			out[i] = out[0]
			continue
		}
		v, err := e.Judge(x.from.end, x.to.end, ask)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			whole = v.Action
		}
		switch v.Action {
		case verdict.Drop:
			out[i] = explain.Denied
		case verdict.RedirectDNS:
			out[i] = seenByDNS
		default:
			out[i] = explain.Allowed
		}
	}
	return out, nil
}

// cells visits every connection, always in the same order.
func (s *survey) cells(c *cluster, visit func(cell) error) error {
	var pods, outside []endpoint
	for _, p := range c.view.Pods {
		if p.HostNetwork || len(p.Addrs) == 0 {
			continue
		}
		e := endpoint{end: policy.End{Addr: p.Addrs[0]}, name: p.Namespace + "/" + p.Name, unseen: strings.HasPrefix(p.Name, unseenName), pod: true, system: p.Namespace == "kube-system"}
		if e.unseen {
			e.name = fmt.Sprintf("a pod of namespace %s with labels %v", p.Namespace, p.Labels)
		}
		pods = append(pods, e)
	}
	for _, a := range slices.SortedFunc(maps.Keys(s.words.addrs), netip.Addr.Compare) {
		if a.Is4() || c.view.Node.V6.IsValid() {
			outside = append(outside, endpoint{end: policy.End{Addr: a}, name: a.String()})
		}
	}
	outside = append(outside, endpoint{end: policy.End{Addr: nodeAddr, Host: true}, name: "the node"})
	names := slices.Clone(outside)
	for _, n := range slices.Sorted(maps.Keys(s.words.names)) {
		names = append(names, endpoint{end: policy.End{Name: n, Entity: "world"}, name: n})
	}
	connections := s.connections()
	for _, from := range slices.Concat(pods, outside) {
		ends := pods
		if from.pod {
			ends = slices.Concat(pods, names)
		}
		for _, to := range ends {
			if from.name == to.name {
				continue
			}
			for _, asks := range connections {
				if err := visit(cell{from, to, asks}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// connections are the protocols and ports, each with what may travel there.
func (s *survey) connections() [][]policy.Ask {
	var out [][]policy.Ask
	for _, port := range slices.Sorted(maps.Keys(s.words.ports)) {
		tcp, udp := []policy.Ask{{Proto: 6, Port: port}}, []policy.Ask{{Proto: 17, Port: port}}
		for _, method := range slices.Sorted(maps.Keys(s.words.methods)) {
			for _, path := range slices.Sorted(maps.Keys(s.words.paths)) {
				tcp = append(tcp, policy.Ask{Proto: 6, Port: port, HTTP: &explain.HTTP{Method: method, Path: path}})
			}
		}
		for _, server := range slices.Sorted(maps.Keys(s.words.servers)) {
			tcp = append(tcp, policy.Ask{Proto: 6, Port: port, SNI: server})
		}
		for _, name := range slices.Sorted(maps.Keys(s.words.dns)) {
			tcp = append(tcp, policy.Ask{Proto: 6, Port: port, DNS: name})
			udp = append(udp, policy.Ask{Proto: 17, Port: port, DNS: name})
		}
		out = append(out, tcp, udp, []policy.Ask{{Proto: 132, Port: port}})
	}
	if s.words.icmp {
		out = append(out, []policy.Ask{{Proto: 1, Port: 8}}, []policy.Ask{{Proto: 1, Port: 13}})
	}
	return out
}

// what names what travels.
func what(a policy.Ask) string {
	text := fmt.Sprintf("%s %d", map[uint8]string{1: "ICMP type", 6: "TCP", 17: "UDP", 132: "SCTP"}[a.Proto], a.Port)
	switch {
	case a.HTTP != nil:
		text += fmt.Sprintf(", %s %s", a.HTTP.Method, a.HTTP.Path)
	case a.DNS != "":
		text += ", the DNS question " + a.DNS
	case a.SNI != "":
		text += ", the TLS name " + a.SNI
	}
	return text
}
