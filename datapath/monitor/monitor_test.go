package monitor

import (
	"bytes"
	"context"
	"encoding/gob"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/cilium/pkg/monitor/api"
	"github.com/cilium/cilium/pkg/monitor/format"
	"github.com/cilium/cilium/pkg/monitor/payload"

	"github.com/netdojo/netdojo/datapath/flow"
	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	backend = verdict.Peer{Identity: 4711, Endpoint: 12, Labels: []string{"k8s:app=backend"}}
	db      = verdict.Peer{Identity: 4712, Endpoint: 13, Labels: []string{"k8s:app=db"}}
	world   = verdict.Peer{Identity: 2, Labels: []string{"reserved:world"}}
)

func event(change func(*verdict.Event)) verdict.Event {
	e := verdict.Event{
		Time: time.Unix(1700000000, 0),
		Query: verdict.Query{
			Src: netip.MustParseAddr("10.244.0.10"), Dst: netip.MustParseAddr("203.0.113.7"),
			Proto: 6, SrcPort: 40000, DstPort: 443, TCPFlags: 2,
		},
		Verdict: verdict.Verdict{Action: verdict.Allow, Src: backend, Dst: world},
	}
	if change != nil {
		change(&e)
	}
	return e
}

type noLinks struct{}

func (noLinks) GetIfNameCached(int) (string, bool) { return "", false }
func (noLinks) Name(uint32) string                 { return "0" }

// TestNotifications: Cilium's own formatter prints what happened.
func TestNotifications(t *testing.T) {
	toDB := func(e *verdict.Event) { e.Query.Dst, e.Dst = netip.MustParseAddr("10.244.0.11"), db }
	for name, tc := range map[string]struct {
		event verdict.Event
		want  []string // parts of each line
	}{
		"allowed without policy": {event(nil), []string{
			"-> stack flow | identity 4711->world state new | orig-ip 0.0.0.0: 10.244.0.10:40000 -> 203.0.113.7:443 tcp SYN",
		}},
		"allowed to a pod by a rule": {event(func(e *verdict.Event) { toDB(e); e.Direction, e.Match = verdict.Ingress, uint8(api.PolicyMatchL3Proto) }), []string{
			"Policy verdict log: | local EP ID 13, remote ID 4711, proto 6, ingress, action allow, | match L3-Proto, | 10.244.0.10:40000 -> 10.244.0.11:443 tcp SYN",
			"-> endpoint 13 | 10.244.0.10:40000 -> 10.244.0.11:443 tcp SYN",
		}},
		"default deny": {event(func(e *verdict.Event) {
			e.Action, e.Direction, e.Reason = verdict.Drop, verdict.Egress, verdict.ReasonPolicy
		}), []string{
			"Policy verdict log: | local EP ID 12, remote ID world, proto 6, egress, action deny, | match none, | 203.0.113.7:443 tcp SYN",
			"xx drop (Policy denied) flow | to endpoint 0, | identity 4711->world: 10.244.0.10:40000 -> 203.0.113.7:443 tcp SYN",
		}},
		"deny rule on ingress": {event(func(e *verdict.Event) {
			toDB(e)
			e.Action, e.Direction, e.Reason = verdict.Drop, verdict.Ingress, verdict.ReasonPolicyDeny
			e.Match = uint8(api.PolicyMatchL3Proto) // the largest number but one, and no other
		}), []string{
			"ingress, action deny, | match L3-Proto,",
			"xx drop (Policy denied by denylist) flow | to endpoint 13, | identity 4711->4712: 10.244.0.10:40000 -> 10.244.0.11:443",
		}},
		"diverted UDP": {event(func(e *verdict.Event) {
			e.Action, e.Direction, e.Query.Proto, e.Query.DstPort = verdict.RedirectDNS, verdict.Egress, 17, 53
			e.Match = uint8(api.PolicyMatchL4Only)
		}), []string{
			"egress, action redirect, | match L4-Only, | 10.244.0.10:40000 -> 203.0.113.7:53 udp", "-> proxy | 203.0.113.7:53 udp",
		}},
		"SYN-ACK": {event(func(e *verdict.Event) {
			toDB(e)
			e.Later, e.Query.TCPFlags, e.Direction = verdict.LaterReply, 18, 0
		}), []string{"-> endpoint 13 flow | identity 4711->4712 state reply | 10.244.0.10:40000 -> 10.244.0.11:443 tcp SYN, ACK"}},
		"FIN to a proxy": {event(func(e *verdict.Event) { e.Later, e.Query.TCPFlags = verdict.LaterProxied, 17 }), []string{
			"-> proxy flow | identity 4711->world state established | tcp ACK, FIN",
		}},
		"to the node": {event(func(e *verdict.Event) { e.Dst = verdict.Peer{Identity: 1} }), []string{"-> host | identity 4711->host state new"}},
		"ping": {event(func(e *verdict.Event) { e.Query.Proto, e.Query.DstPort, e.Query.SrcPort = 1, 8, 0 }), []string{
			"-> stack | 10.244.0.10 -> 203.0.113.7 icmp EchoRequest",
		}},
		"DNS question": {event(func(e *verdict.Event) {
			e.Direction, e.DNS = verdict.Egress, &verdict.DNS{Name: "cilium.io.", Type: 1}
		}), []string{
			"-> Request dns from 12 ([k8s:app=backend]) to 0 ([reserved:world]), identity 4711->2, verdict Forwarded DNS proxy: cilium.io. A",
		}},
		"DNS answer": {event(func(e *verdict.Event) {
			e.Direction = verdict.Egress
			e.DNS = &verdict.DNS{Name: "cilium.io.", Type: 1, Response: true, TTL: 30, Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.7")}}
		}), []string{
			"-> Response dns to 12 ([k8s:app=backend]) from 0 ([reserved:world]), identity 2->4711, verdict Forwarded DNS proxy: cilium.io. A TTL: 30 Answer: '203.0.113.7'",
		}},
		"HTTP denied": {event(func(e *verdict.Event) {
			toDB(e)
			e.Direction, e.Action, e.Reason = verdict.Ingress, verdict.Drop, verdict.ReasonL7
			e.HTTP = &verdict.HTTP{Method: "GET", URL: "http://db/private", Protocol: "HTTP/1.1"}
		}), []string{
			"<- Request http from 12 ([k8s:app=backend]) to 13 ([k8s:app=db]), identity 4711->4712, verdict Denied GET http://db/private => 0",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			f := format.NewMonitorFormatter(api.INFO, noLinks{}, &out)
			cfg := Config{Node: "192.168.77.2"}
			for _, data := range cfg.notifications(tc.event) {
				f.FormatSample(data, 0)
			}
			text := out.String()
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if len(lines) != len(tc.want) {
				t.Fatalf("got\n%s", text)
			}
			for i, want := range tc.want {
				for _, part := range strings.Split(want, " | ") {
					if !strings.Contains(lines[i], part) {
						t.Errorf("%q is not in %s", part, lines[i])
					}
				}
			}
		})
	}
}

// TestServe: each client sees what happens after it came, and Close ends it.
func TestServe(t *testing.T) {
	log, err := flow.Start(t.Context(), flow.Config{Node: "node"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	socket := filepath.Join(t.TempDir(), "m.sock")
	s, err := Start(t.Context(), Config{Socket: socket, Events: log})
	if err != nil {
		t.Fatal(err)
	}
	log.Publish(event(func(e *verdict.Event) { e.Query.DstPort = 1 })) // before: nobody sees it
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	in := gob.NewDecoder(conn)
	// The server may take a moment to accept: publish until something arrives.
	got := make(chan payload.Payload, 1)
	go func() {
		var p payload.Payload
		if err := p.DecodeBinary(in); err == nil {
			got <- p
		}
		close(got)
	}()
	var p payload.Payload
	for arrived := false; !arrived; {
		log.Publish(event(func(e *verdict.Event) { e.Query.DstPort = 443 }))
		select {
		case p, arrived = <-got:
			if !arrived {
				t.Fatal("nothing arrived")
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
	if p.Type != payload.EventSample || p.Data[0] != api.MessageTypeTrace || !bytes.HasSuffix(p.Data, packet(event(nil).Query)) {
		t.Errorf("got %+v", p)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	for err == nil {
		err = p.DecodeBinary(in)
	}
	if os.IsTimeout(err) {
		t.Errorf("the stream lives on: %v", err)
	}
}

// silent is a log in which nothing happens.
type silent struct{ asked chan struct{} }

func (silent) Head() uint64 { return 0 }
func (s silent) Next(ctx context.Context, _ uint64) (verdict.Event, uint64, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return verdict.Event{}, 0, ctx.Err()
}

// TestCloseEndsClients: a client that waits for an event is told of the end, whichever
// of the server's goroutines learns of it first.
func TestCloseEndsClients(t *testing.T) {
	for range 300 {
		log := silent{asked: make(chan struct{})}
		socket := filepath.Join(t.TempDir(), "m.sock")
		s, err := Start(t.Context(), Config{Socket: socket, Events: log})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		<-log.asked
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Close waits for a client that nobody tells")
		}
		conn.Close()
	}
}

// overrun is a log that has lost what a slow client did not read.
type overrun struct{ calls int }

func (o *overrun) Head() uint64 { return 5 }
func (o *overrun) Next(ctx context.Context, number uint64) (verdict.Event, uint64, error) {
	if o.calls++; o.calls > 1 {
		<-ctx.Done()
		return verdict.Event{}, 0, ctx.Err()
	}
	return event(nil), number + 7, nil
}

func TestLostEventsAreTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "m.sock")
	s, err := Start(t.Context(), Config{Socket: socket, Events: &overrun{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var p payload.Payload
	if err := p.DecodeBinary(gob.NewDecoder(conn)); err != nil || p.Type != payload.RecordLost || p.Lost != 7 {
		t.Errorf("got %+v, %v", p, err)
	}
}
