package inquiry

import (
	"cmp"
	"slices"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// Matrix judges every pair of workloads, and each against the outside, at the
// ports that the destination declares. Pods of one workload that have the same
// labels stand in it once.
func Matrix(e *policy.Engine, v View, req explain.MatrixRequest) (*explain.Matrix, error) {
	v.sorted()
	q := &question{engine: e, view: &v, req: explain.Request{Port: req.Port, Protocol: req.Protocol}}
	ends, rows := groups(e, v.Pods, req.Namespace)
	world, _ := v.entity("world")
	ends = append(ends, world...)
	m := &explain.Matrix{Schema: explain.MatrixSchema, Source: v.Source, Revision: e.Revision(), Cells: []explain.Cell{}, Notes: v.Notes}
	m.Services = services(&v, rows)
	for _, p := range ends {
		m.From = append(m.From, p.group)
		m.To = append(m.To, p.group)
	}
	for _, from := range ends {
		for _, to := range ends {
			if from.pod == nil && to.pod == nil {
				continue // the outside among itself
			}
			ports, err := q.ports(to)
			if err != nil {
				return nil, err
			}
			for _, w := range ports {
				c, err := cell(e, from, w)
				if err != nil {
					return nil, err
				}
				m.Cells = append(m.Cells, c)
			}
		}
	}
	return m, nil
}

// groups are the pods on the pod network, one of each workload and identity, and
// the group of each pod by NAMESPACE/NAME.
func groups(e *policy.Engine, pods []Pod, namespace string) (out []place, of map[string]string) {
	type key struct {
		group    string
		identity uint32
	}
	seen, of := map[key]string{}, map[string]string{}
	for _, p := range pods {
		if p.HostNetwork || namespace != "" && p.Namespace != namespace {
			continue
		}
		one := podPlace(p)
		k := key{one.group, e.Peer(p.addr()).Identity}
		if group, ok := seen[k]; ok {
			of[one.name] = group
			continue
		}
		if slices.ContainsFunc(out, func(o place) bool { return o.group == one.group }) {
			one.group = one.name // the same workload, other labels
		}
		seen[k], of[one.name] = one.group, one.group
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b place) int { return cmp.Compare(a.group, b.group) })
	return out, of
}

// services are the ports of Services that lead to pods of the rows, by the row of
// each pod.
func services(v *View, rows map[string]string) []explain.ServicePort {
	var out []explain.ServicePort
	for _, s := range v.Services {
		one := explain.ServicePort{Name: s.Namespace + "/" + s.Name, Protocol: protocolName(s.Proto), Port: s.Addr.Port()}
		for _, b := range s.Backends {
			p, ok := v.podAt(b.Addr())
			if row := rows[p.full()]; ok && row != "" && !slices.Contains(one.To, row) {
				one.To = append(one.To, row)
			}
		}
		// A Service has an address of each family, and is one.
		same := func(o explain.ServicePort) bool {
			return o.Name == one.Name && o.Protocol == one.Protocol && o.Port == one.Port
		}
		if len(one.To) > 0 && !slices.ContainsFunc(out, same) {
			slices.Sort(one.To)
			out = append(out, one)
		}
	}
	return out
}

func cell(e *policy.Engine, from place, w way) (explain.Cell, error) {
	c := explain.Cell{
		From: from.group, To: w.to.group, Protocol: protocolName(w.proto), Port: w.port, Outcome: explain.Allowed,
	}
	v, err := e.Judge(from.end, w.to.end, policy.Ask{Proto: w.proto, Port: w.port})
	if err != nil {
		return c, err
	}
	c.Direction = v.Direction.String()
	switch {
	case v.Action != verdict.Drop && len(v.Rules) > 0:
		c.Reason = explain.AllowRule
	case v.Action != verdict.Drop:
		c.Reason = explain.NoPolicy
	case v.Reason == verdict.ReasonPolicyDeny:
		c.Outcome, c.Reason = explain.Denied, explain.DenyRule
	case v.Reason == verdict.ReasonUnknownPeer:
		c.Outcome, c.Reason = explain.Denied, explain.UnknownPeer
	default:
		c.Outcome, c.Reason = explain.Denied, explain.DefaultDeny
	}
	for _, r := range v.Rules {
		c.Policies = append(c.Policies, policy.Key{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}.String())
	}
	return c, nil
}
