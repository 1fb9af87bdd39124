package flows

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
)

// Line is a flow in one line of plain text: time, verdict, who to whom, what, of a
// drop why and at which end, and the policies that decided.
func Line(f *flowpb.Flow) string {
	port, peer := ports(f)
	parts := []string{
		f.GetTime().AsTime().Local().Format("15:04:05.000"),
		fmt.Sprintf("%-10s", strings.ToLower(f.GetVerdict().String())),
		end(f.GetSource(), f.GetIP().GetSource(), port, f.GetSourceNames()),
		"->",
		end(f.GetDestination(), f.GetIP().GetDestination(), peer, f.GetDestinationNames()),
	}
	if s := f.GetSummary(); s != "" {
		parts = append(parts, s)
	}
	if f.GetVerdict() == flowpb.Verdict_DROPPED {
		var drop []string
		if r := f.GetDropReasonDesc(); r != flowpb.DropReason_DROP_REASON_UNKNOWN {
			drop = append(drop, strings.ToLower(r.String()))
		}
		if d := f.GetTrafficDirection(); d != flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN {
			drop = append(drop, "at "+strings.ToLower(d.String()))
		}
		if len(drop) > 0 {
			parts = append(parts, "("+strings.Join(drop, ", ")+")")
		}
	}
	if by := deciders(f); by != "" {
		parts = append(parts, "by "+by)
	}
	return strings.Join(parts, " ")
}

func ports(f *flowpb.Flow) (source, destination uint32) {
	l4 := f.GetL4()
	switch {
	case l4.GetTCP() != nil:
		return l4.GetTCP().GetSourcePort(), l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		return l4.GetUDP().GetSourcePort(), l4.GetUDP().GetDestinationPort()
	case l4.GetSCTP() != nil:
		return l4.GetSCTP().GetSourcePort(), l4.GetSCTP().GetDestinationPort()
	}
	return 0, 0
}

// end names one end of a flow: the pod, else the DNS name or reserved entity
// with its address.
func end(e *flowpb.Endpoint, ip string, port uint32, names []string) string {
	address := ip
	if port != 0 {
		address = net.JoinHostPort(ip, strconv.Itoa(int(port)))
	}
	if e.GetPodName() != "" {
		name := e.GetNamespace() + "/" + e.GetPodName()
		if port != 0 {
			name += ":" + strconv.Itoa(int(port))
		}
		return name
	}
	if len(names) > 0 {
		return strings.TrimSuffix(names[0], ".") + " (" + address + ")"
	}
	for _, label := range e.GetLabels() {
		if entity, ok := strings.CutPrefix(label, "reserved:"); ok {
			return entity + " (" + address + ")"
		}
	}
	return address
}

// deciders names the policies that allowed or denied the flow.
func deciders(f *flowpb.Flow) string {
	var names []string
	for _, list := range [][]*flowpb.Policy{f.GetEgressDeniedBy(), f.GetIngressDeniedBy(), f.GetEgressAllowedBy(), f.GetIngressAllowedBy()} {
		for _, p := range list {
			name := p.GetName()
			if p.GetNamespace() != "" {
				name = p.GetNamespace() + "/" + name
			}
			if p.GetKind() != "" {
				name = p.GetKind() + " " + name
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// jsonLine is a flow as the Hubble exporter writes it.
func jsonLine(f *flowpb.Flow) (string, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&observerpb.GetFlowsResponse{
		ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: f},
		NodeName:      f.GetNodeName(),
		Time:          f.GetTime(),
	})
	return string(data), err
}
