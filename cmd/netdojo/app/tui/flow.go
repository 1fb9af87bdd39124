package tui

import (
	"net"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	"github.com/netdojo/netdojo/tui"
)

// words are the verdicts in the words of the pages.
var words = map[flowpb.Verdict]string{
	flowpb.Verdict_FORWARDED:  "allowed",
	flowpb.Verdict_DROPPED:    "denied",
	flowpb.Verdict_REDIRECTED: "to proxy",
}

// row is a flow as the flow view shows it.
func row(f *flowpb.Flow) tui.Flow {
	out := tui.Flow{
		At:      f.GetTime().AsTime().Local(),
		Verdict: words[f.GetVerdict()],
		From:    end(f.GetSource(), f.GetIP().GetSource(), f.GetSourceNames(), 0),
		To:      end(f.GetDestination(), f.GetIP().GetDestination(), f.GetDestinationNames(), port(f)),
		What:    f.GetSummary(),
	}
	if out.Verdict == "" {
		out.Verdict = strings.ToLower(f.GetVerdict().String())
	}
	if r := f.GetDropReasonDesc(); f.GetVerdict() == flowpb.Verdict_DROPPED && r != flowpb.DropReason_DROP_REASON_UNKNOWN {
		out.Reason = strings.ToLower(strings.ReplaceAll(r.String(), "_", " "))
	}
	var by []string
	for _, list := range [][]*flowpb.Policy{f.GetEgressDeniedBy(), f.GetIngressDeniedBy(), f.GetEgressAllowedBy(), f.GetIngressAllowedBy()} {
		for _, p := range list {
			name := p.GetName()
			if p.GetNamespace() != "" {
				name = p.GetNamespace() + "/" + name
			}
			by = append(by, strings.TrimSpace(p.GetKind()+" "+name))
		}
	}
	out.By = strings.Join(by, ", ")
	return out
}

func port(f *flowpb.Flow) uint32 {
	switch l4 := f.GetL4(); {
	case l4.GetTCP() != nil:
		return l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		return l4.GetUDP().GetDestinationPort()
	case l4.GetSCTP() != nil:
		return l4.GetSCTP().GetDestinationPort()
	}
	return 0
}

// end names one end: the pod, the DNS name, the reserved entity, or the address.
func end(e *flowpb.Endpoint, ip string, names []string, port uint32) string {
	name := ip
	switch {
	case e.GetPodName() != "":
		name = e.GetNamespace() + "/" + e.GetPodName()
	case len(names) > 0:
		name = strings.TrimSuffix(names[0], ".")
	default:
		for _, label := range e.GetLabels() {
			if entity, ok := strings.CutPrefix(label, "reserved:"); ok && entity != "world" {
				name = entity
			}
		}
	}
	if port == 0 {
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(int(port)))
}
