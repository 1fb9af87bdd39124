//go:build linux

package datapath

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"

	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

const denyEgress = `
metadata: {name: deny-egress}
spec:
  endpointSelector: {matchLabels: {app: shut}}
  egress: [{}]
`

const denyIngress = `
metadata: {name: deny-ingress}
spec:
  endpointSelector: {matchLabels: {app: closed}}
  ingress: [{}]
`

// observed are the flows from or to an address, as a client of Hubble follows them.
type observed struct {
	mu    sync.Mutex
	flows []*flowpb.Flow
}

// observe follows as `cilium connectivity test` does: by the address of a pod, both ways.
func (n *testNode) observe(addr string) *observed {
	n.t.Helper()
	stream, err := flowclient.Follow(n.t.Context(), n.agent.cfg.FlowSocket, &observerpb.GetFlowsRequest{
		Follow: true, Whitelist: []*flowpb.FlowFilter{{SourceIp: []string{addr}}, {DestinationIp: []string{addr}}},
	})
	must(n.t, err)
	n.t.Cleanup(func() { must(n.t, stream.Close()) })
	o := &observed{}
	go func() {
		for {
			f, err := stream.Recv()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.flows = append(o.flows, f)
			o.mu.Unlock()
		}
	}()
	return o
}

// connection is one whose flows are looked for, by what `cilium connectivity test` knows
// of it: not the client's port, which its first packet tells.
type connection struct{ client, server netip.AddrPort }

// seen are the packets of the connection as flows told of them: "> SYN" or "< SYN ACK",
// and "drop" or "L7 drop" with a direction.
func (o *observed) seen(c connection) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	port := uint32(0)
	for _, f := range o.flows {
		tcp := f.GetL4().GetTCP()
		src, dst := fmt.Sprint(tcp.GetSourcePort()), fmt.Sprint(tcp.GetDestinationPort())
		forward := f.GetIP().GetSource() == c.client.Addr().String() && f.GetIP().GetDestination() == c.server.Addr().String() && dst == fmt.Sprint(c.server.Port())
		reply := f.GetIP().GetDestination() == c.client.Addr().String() && f.GetIP().GetSource() == c.server.Addr().String() && src == fmt.Sprint(c.server.Port())
		flags := tcp.GetFlags()
		syn := flags.GetSYN() && !flags.GetACK()
		switch {
		case forward && syn:
			port = tcp.GetSourcePort()
		case forward && tcp.GetSourcePort() != port, reply && tcp.GetDestinationPort() != port, !forward && !reply:
			continue
		}
		switch {
		case f.GetL7() != nil && f.GetVerdict() == flowpb.Verdict_DROPPED:
			out = append(out, "L7 drop")
			continue
		case f.GetL7() != nil:
			continue
		case f.GetDropReasonDesc() != flowpb.DropReason_DROP_REASON_UNKNOWN:
			out = append(out, "drop "+f.GetTrafficDirection().String())
		}
		words := []string{">"}
		if reply {
			words[0] = "<"
		}
		for _, flag := range []struct {
			set  bool
			name string
		}{{flags.GetSYN(), "SYN"}, {flags.GetACK(), "ACK"}, {flags.GetFIN(), "FIN"}, {flags.GetRST(), "RST"}} {
			if flag.set {
				words = append(words, flag.name)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

// TestFlowsOfConnectivityTest: what the flow validation of `cilium connectivity test`
// wants of a connection (cilium-cli/connectivity/check/action.go, GetEgressRequirements
// and GetIngressRequirements): of one that is allowed its SYN, SYN-ACK and FIN and no
// reset or drop, of one that is denied its SYN and a drop in the direction that denies.
func TestFlowsOfConnectivityTest(t *testing.T) {
	n := newTestNode(t)
	n.api.serve()
	client, clientAddr := n.pod("default", "client", map[string]string{"app": "client"})
	shut, shutAddr := n.pod("default", "shut", map[string]string{"app": "shut"})
	server, serverAddr := n.pod("default", "server", map[string]string{"app": "server"})
	closed, closedAddr := n.pod("default", "closed", map[string]string{"app": "closed"})
	dnsPod, dnsAddr := n.pod("kube-system", "dns", map[string]string{"k8s-app": "kube-dns"})
	dnsServer(t, dnsPod)
	accept(t, closed, ":80")
	accept(t, server, ":8080")
	n.service("default", "server", 80, 8080, serverAddr)
	n.service("kube-system", "kube-dns", 10, 53, dnsAddr)
	s := &http.Server{Handler: http.NotFoundHandler()}
	l := server.Listen(t, ":80")
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	for _, p := range []string{denyEgress, denyIngress, httpEgress} {
		n.enforced(n.policy(p))
	}
	from := func(addr netip.Addr) netip.AddrPort { return netip.AddrPortFrom(addr, 0) }
	wants := func(o *observed, c connection, want []string, never ...string) {
		t.Helper()
		waitFor(t, fmt.Sprintf("flows of %v", c), func() error {
			seen := o.seen(c)
			for _, w := range want {
				if !slices.Contains(seen, w) {
					return fmt.Errorf("%q is not in %q", w, seen)
				}
			}
			return nil
		})
		for _, w := range o.seen(c) {
			if slices.ContainsFunc(never, func(n string) bool { return strings.Contains(w, n) }) {
				t.Errorf("%q in %q", w, o.seen(c))
			}
		}
	}

	t.Run("allowed by a Service", func(t *testing.T) {
		o := n.observe(serverAddr.String())
		waitFor(t, "the Service", func() error {
			c, err := connect(closed, at(serviceAddr(80).String(), "8080"))
			if err != nil {
				return err
			}
			return c.Close()
		})
		wants(o, connection{from(closedAddr), netip.AddrPortFrom(serverAddr, 8080)}, []string{"> SYN", "< SYN ACK", "> ACK FIN", "< ACK FIN"}, "drop", "RST")
	})
	t.Run("through the HTTP proxy", func(t *testing.T) {
		for path, code := range map[string]int{"/public": 404, "/private": 403} {
			o := n.observe(clientAddr.String())
			if got, _ := status(t, podClient(client, plenty), "GET", "http://"+at(serverAddr.String(), "80")+path); got != code {
				t.Fatalf("%s: status %d, want %d", path, got, code)
			}
			c := connection{from(clientAddr), netip.AddrPortFrom(serverAddr, 80)}
			if code == 403 {
				wants(o, c, []string{"> SYN", "< SYN ACK", "L7 drop"}, "drop EGRESS", "drop INGRESS", "RST")
			} else {
				wants(o, c, []string{"> SYN", "< SYN ACK", "> ACK FIN"}, "drop", "RST")
			}
		}
	})
	t.Run("denied", func(t *testing.T) {
		o := n.observe(shutAddr.String())
		if err := knock(shut, at(serverAddr.String(), "8080")); !isTimeout(err) {
			t.Fatalf("egress: %v", err)
		}
		wants(o, connection{from(shutAddr), netip.AddrPortFrom(serverAddr, 8080)}, []string{"> SYN", "drop EGRESS"}, "INGRESS", "<", "FIN", "RST")

		o = n.observe(closedAddr.String())
		if err := knock(server, at(closedAddr.String(), "80")); !isTimeout(err) {
			t.Fatalf("ingress: %v", err)
		}
		wants(o, connection{from(serverAddr), netip.AddrPortFrom(closedAddr, 80)}, []string{"> SYN", "drop INGRESS"}, "EGRESS", "<", "FIN", "RST")
	})
	t.Run("DNS without its proxy", func(t *testing.T) {
		o := n.observe(closedAddr.String())
		waitFor(t, "DNS", func() error {
			_, err := resolve(closed, "good.example.", 2*time.Second)
			return err
		})
		waitFor(t, "the answer", func() error {
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, f := range o.flows {
				if udp := f.GetL4().GetUDP(); udp.GetSourcePort() == 53 && f.GetIsReply().GetValue() && f.GetDestination().GetPodName() == "closed" {
					return nil
				}
			}
			return fmt.Errorf("not in %d flows", len(o.flows))
		})
	})

	// netdojo's own readers are told once of each connection.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := flowclient.Follow(ctx, n.agent.cfg.FlowSocket, flowclient.Judged(&observerpb.GetFlowsRequest{Number: 1000}))
	must(t, err)
	defer stream.Close()
	once := map[string]bool{}
	for {
		f, err := stream.Recv()
		if err != nil {
			break
		}
		tcp := f.GetL4().GetTCP()
		if tcp == nil || f.GetL7() != nil || !tcp.GetFlags().GetSYN() {
			if f.GetIsReply().GetValue() && f.GetL7() == nil {
				t.Errorf("a reply: %v", f)
			}
			continue
		}
		// A SYN that was dropped comes again.
		key := fmt.Sprint(f.GetIP(), tcp.GetSourcePort(), tcp.GetDestinationPort())
		if once[key] && f.GetVerdict() != flowpb.Verdict_DROPPED {
			t.Errorf("twice: %v", f)
		}
		once[key] = true
	}
	if len(once) < 4 {
		t.Errorf("%d connections", len(once))
	}
}
