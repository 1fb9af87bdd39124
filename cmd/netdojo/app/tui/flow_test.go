package tui

import (
	"reflect"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/netdojo/netdojo/tui/flow"
)

func TestRow(t *testing.T) {
	at := time.Unix(1700000000, 0)
	tcp := func(from, to uint32) *flowpb.Layer4 {
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: from, DestinationPort: to}}}
	}
	frontend := &flowpb.Endpoint{Namespace: "shop", PodName: "frontend-5d4f8b7c9-x2x8k", Labels: []string{"k8s:app=frontend"}}
	backend := &flowpb.Endpoint{Namespace: "shop", PodName: "backend-5d4f8b7c9-abcde"}
	get := func(kind flowpb.L7FlowType, code uint32) *flowpb.Layer7 {
		return &flowpb.Layer7{Type: kind, Record: &flowpb.Layer7_Http{Http: &flowpb.HTTP{Method: "POST", Url: "http://backend:8080/public", Code: code}}}
	}
	policy := []*flowpb.Policy{{Kind: "CiliumNetworkPolicy", Namespace: "shop", Name: "p"}}
	for name, tc := range map[string]struct {
		in   *flowpb.Flow
		want flow.Flow
	}{
		"a drop on the way out": {
			&flowpb.Flow{Verdict: flowpb.Verdict_DROPPED, DropReasonDesc: flowpb.DropReason_POLICY_DENIED,
				TrafficDirection: flowpb.TrafficDirection_EGRESS, Source: frontend, L4: tcp(40000, 443),
				Destination: &flowpb.Endpoint{Labels: []string{"reserved:world"}}, IP: &flowpb.IP{Destination: "203.0.113.9"},
				DestinationNames: []string{"cilium.io."}, EgressDeniedBy: policy},
			flow.Flow{Verdict: "denied", From: flow.End{Namespace: "shop", Name: "frontend"}, To: flow.End{Name: "cilium.io", Port: 443},
				What: "TCP", Reason: "policy denied at egress", By: []string{"CiliumNetworkPolicy shop/p"}},
		},
		"a request": {
			&flowpb.Flow{Verdict: flowpb.Verdict_FORWARDED, Source: frontend, Destination: backend, L4: tcp(40000, 8080), L7: get(flowpb.L7FlowType_REQUEST, 0)},
			flow.Flow{Verdict: "allowed", From: flow.End{Namespace: "shop", Name: "frontend"}, To: flow.End{Namespace: "shop", Name: "backend", Port: 8080},
				What: "POST /public", L7: true},
		},
		"its answer runs as it does": {
			&flowpb.Flow{Verdict: flowpb.Verdict_FORWARDED, Source: backend, Destination: frontend, L4: tcp(8080, 40000), L7: get(flowpb.L7FlowType_RESPONSE, 403)},
			flow.Flow{Verdict: "allowed", From: flow.End{Namespace: "shop", Name: "frontend"}, To: flow.End{Namespace: "shop", Name: "backend", Port: 8080},
				What: "POST /public", L7: true, Answer: true, Code: 403},
		},
		"the host": {
			&flowpb.Flow{Verdict: flowpb.Verdict_REDIRECTED, Source: &flowpb.Endpoint{Labels: []string{"reserved:host"}}, Destination: backend, L4: tcp(1, 80)},
			flow.Flow{Verdict: "to proxy", From: flow.End{Name: "host"}, To: flow.End{Namespace: "shop", Name: "backend", Port: 80}, What: "TCP"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.in.Time, tc.want.At = timestamppb.New(at), at.Local()
			if got := row(tc.in); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("told as %+v, want %+v", got, tc.want)
			}
		})
	}
}
