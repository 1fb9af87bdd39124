package checks

import (
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// TestQueriesByTCP: a query that is dropped by UDP settles every probe that waits for
// an answer; one by TCP only explains a probe that ended without.
func TestQueriesByTCP(t *testing.T) {
	tg := Target{Subject: backend(), Dest: Destination{Host: "cilium.io", Port: 443}, Outcome: Outcome{Started: probeStart}, probe: Curl{}}
	byTCP := flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.L4.GetTCP().DestinationPort = dnsPort })
	if got := tg.search([]*flowpb.Flow{byTCP}); got.dns == nil || got.dnsL4 {
		t.Errorf("by TCP: %+v, want a reason and no end", got)
	}
	if got := tg.search([]*flowpb.Flow{byTCP, dnsDrop()}); !got.dnsL4 || got.dns.Protocol != "UDP" {
		t.Errorf("by UDP: %+v, want an end", got)
	}
}

// TestUntriedAddresses: a name of several addresses is dropped when all of them are that
// the probe may try.
func TestUntriedAddresses(t *testing.T) {
	drop := func(ip string) *flowpb.Flow {
		return flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.IP.Destination = ip })
	}
	tg := Target{Subject: backend(), Dest: Destination{Host: "cilium.io", Port: 443}, Outcome: Outcome{Started: probeStart}, probe: Curl{}}
	flows := []*flowpb.Flow{dnsProxy(flowpb.Verdict_FORWARDED, "cilium.io.", "203.0.113.7", "203.0.113.8", "2001:db8::1"), drop("203.0.113.7")}
	if got := tg.search(flows); got.drop == nil || got.untried != 1 {
		t.Errorf("after one drop: %+v, want one address untried", got)
	}
	if got := tg.search(append(flows, drop("203.0.113.7"), drop("203.0.113.8"))); got.untried != 0 {
		t.Errorf("after both: %d addresses untried", got.untried)
	}
	tg.Subject.IPs = []string{"10.244.0.9", "fd00::9"}
	if got := tg.search(append(flows, drop("203.0.113.8"))); got.untried != 1 {
		t.Errorf("a pod of two families, after both of one: %d addresses untried, want the other's", got.untried)
	}
	tg.family = 4
	if got := tg.search(append(flows, drop("203.0.113.8"))); got.untried != 0 {
		t.Errorf("told to take IPv4, after both: %d addresses untried", got.untried)
	}
}

// TestUntriedFamilies: where no answer of DNS is seen, a pod of two families may try the
// other one after a drop.
func TestUntriedFamilies(t *testing.T) {
	both := []string{"10.244.0.9", "fd00::9"}
	web := func(ips ...string) *Service {
		return &Service{Namespace: "default", Name: "web", ClusterIP: ips[0], ClusterIPs: ips, Port: 443, Endpoints: []string{"203.0.113.7", "2001:db8::7"}}
	}
	for _, c := range []struct {
		name    string
		pod     []string
		host    string
		service *Service
		command []string
		dropped []string
		want    int
	}{
		{"one family", both[:1], "cilium.io", nil, nil, []string{"203.0.113.7"}, 0},
		{"the first of two", both, "cilium.io", nil, nil, []string{"2001:db8::7"}, 1},
		{"both", both, "cilium.io", nil, nil, []string{"2001:db8::7", "203.0.113.7"}, 0},
		{"an address", both, "203.0.113.7", nil, nil, []string{"203.0.113.7"}, 0},
		{"told to take one", both, "cilium.io", nil, []string{"curl", "-6", "https://cilium.io"}, []string{"2001:db8::7"}, 0},
		{"a Service of one", both, "web", web("10.96.0.7"), nil, []string{"203.0.113.7"}, 0},
		{"a Service of two", both, "web", web("10.96.0.7", "fd01::7"), nil, []string{"203.0.113.7"}, 1},
		{"a headless Service of two", both, "web", web("None"), nil, []string{"203.0.113.7"}, 1},
	} {
		subject := backend()
		subject.IPs, subject.Service = c.pod, c.service
		tg := Target{Subject: subject, Dest: Destination{Host: c.host, Port: 443}, Outcome: Outcome{Started: probeStart}, probe: Curl{}, family: familyOf(c.command), known: c.dropped}
		var flows []*flowpb.Flow
		for _, ip := range c.dropped {
			flows = append(flows, flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.IP.Destination = ip }))
		}
		if got := tg.search(flows); got.drop == nil || got.untried != c.want {
			t.Errorf("%s: drop %v, %d untried, want %d", c.name, got.drop, got.untried, c.want)
		}
	}
}

// TestServiceIsTried: what was dropped at a pod of a Service was sent to the Service's
// address, whoever asked for that.
func TestServiceIsTried(t *testing.T) {
	subject := backend()
	subject.Service = &Service{Namespace: "default", Name: "web", ClusterIP: "10.96.0.7", Port: 443, Endpoints: []string{"10.244.1.2"}}
	tg := Target{Subject: subject, Dest: Destination{Host: "web", Port: 443}, Outcome: Outcome{Started: probeStart}, probe: Curl{}}
	flows := []*flowpb.Flow{
		dnsProxy(flowpb.Verdict_FORWARDED, "web.default.svc.cluster.local.", "10.96.0.7"),
		flowOf(flowpb.Verdict_DROPPED, func(f *flowpb.Flow) { f.IP.Destination, f.DestinationService = "10.244.1.2", nil }),
	}
	if got := tg.search(flows); got.drop == nil || got.untried != 0 {
		t.Errorf("after the drop: %+v, want nothing untried", got)
	}
}
