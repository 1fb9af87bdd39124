package tui

import (
	"net/url"
	"regexp"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/tui/flow"
)

// words are the verdicts in the words of the pages.
var words = map[flowpb.Verdict]string{
	flowpb.Verdict_FORWARDED:  flow.Allowed,
	flowpb.Verdict_DROPPED:    flow.Denied,
	flowpb.Verdict_REDIRECTED: flow.ToProxy,
}

// row is a flow as the faces tell it: from the client to the server, an answer
// too.
func row(f *flowpb.Flow) flow.Flow {
	answer := f.GetL7().GetType() == flowpb.L7FlowType_RESPONSE
	source, destination := ports(f)
	out := flow.Flow{
		At:      f.GetTime().AsTime().Local(),
		Verdict: words[f.GetVerdict()],
		From:    end(f.GetSource(), f.GetIP().GetSource(), f.GetSourceNames(), 0),
		To:      end(f.GetDestination(), f.GetIP().GetDestination(), f.GetDestinationNames(), destination),
		L7:      f.GetL7() != nil,
		Answer:  answer,
	}
	if answer {
		out.From = end(f.GetDestination(), f.GetIP().GetDestination(), f.GetDestinationNames(), 0)
		out.To = end(f.GetSource(), f.GetIP().GetSource(), f.GetSourceNames(), source)
	}
	out.What, out.Code = what(f)
	if out.Verdict == "" {
		out.Verdict = strings.ToLower(f.GetVerdict().String())
	}
	if r := f.GetDropReasonDesc(); f.GetVerdict() == flowpb.Verdict_DROPPED && r != flowpb.DropReason_DROP_REASON_UNKNOWN {
		out.Reason = strings.ToLower(strings.ReplaceAll(r.String(), "_", " "))
		if d := f.GetTrafficDirection(); d != flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN {
			out.Reason += " at " + strings.ToLower(d.String()) // one policy may close both ends
		}
	}
	for _, list := range [][]*flowpb.Policy{f.GetEgressDeniedBy(), f.GetIngressDeniedBy(), f.GetEgressAllowedBy(), f.GetIngressAllowedBy()} {
		for _, p := range list {
			name := p.GetName()
			if p.GetNamespace() != "" {
				name = p.GetNamespace() + "/" + name
			}
			out.By = append(out.By, strings.TrimSpace(p.GetKind()+" "+name))
		}
	}
	return out
}

// what is asked for or spoken, and an answer's HTTP status. Question and answer
// say the same.
func what(f *flowpb.Flow) (string, int) {
	switch l7 := f.GetL7(); {
	case l7.GetHttp() != nil:
		h := l7.GetHttp()
		path := h.GetUrl()
		if u, err := url.Parse(path); err == nil && u.Path != "" {
			path = u.RequestURI()
		}
		return h.GetMethod() + " " + path, int(h.GetCode())
	case l7.GetDns() != nil:
		return "DNS " + strings.TrimSuffix(l7.GetDns().GetQuery(), "."), 0
	}
	switch l4 := f.GetL4(); {
	case l4.GetTCP() != nil:
		return "TCP", 0
	case l4.GetUDP() != nil:
		return "UDP", 0
	case l4.GetSCTP() != nil:
		return "SCTP", 0
	}
	return f.GetSummary(), 0 //nolint:staticcheck // the rest has no words of its own
}

func ports(f *flowpb.Flow) (source, destination uint32) {
	switch l4 := f.GetL4(); {
	case l4.GetTCP() != nil:
		return l4.GetTCP().GetSourcePort(), l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		return l4.GetUDP().GetSourcePort(), l4.GetUDP().GetDestinationPort()
	case l4.GetSCTP() != nil:
		return l4.GetSCTP().GetSourcePort(), l4.GetSCTP().GetDestinationPort()
	}
	return 0, 0
}

// hash is what a controller appends to its pods' names.
var hash = regexp.MustCompile(`(-[a-f0-9]{6,10})?-[a-z0-9]{5}$`)

// end names one end: the workload, the DNS name, the reserved entity, or the
// address.
func end(e *flowpb.Endpoint, ip string, names []string, port uint32) flow.End {
	out := flow.End{Name: ip, Port: uint16(port)}
	switch {
	case e.GetPodName() != "":
		out.Namespace, out.Name = e.GetNamespace(), workload(e)
	case len(names) > 0:
		out.Name = strings.TrimSuffix(names[0], ".")
	default:
		for _, label := range e.GetLabels() {
			if entity, ok := strings.CutPrefix(label, "reserved:"); ok && entity != "world" {
				out.Name = entity
			}
		}
	}
	return out
}

// workload is what a pod belongs to: its controller, its app label, or its own
// name without what a controller appends.
func workload(e *flowpb.Endpoint) string {
	for _, w := range e.GetWorkloads() {
		if w.GetName() != "" {
			return w.GetName()
		}
	}
	for _, key := range []string{"k8s:app=", "k8s:app.kubernetes.io/name=", "k8s:k8s-app="} {
		for _, label := range e.GetLabels() {
			if name, ok := strings.CutPrefix(label, key); ok {
				return name
			}
		}
	}
	return hash.ReplaceAllString(e.GetPodName(), "")
}
