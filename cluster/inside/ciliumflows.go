package inside

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/cluster"
	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
)

// relayPort is where Hubble's relay serves, in its pod.
const relayPort = 4245

// follow takes flows from the agents' Hubble, each through its own pod: that is on
// the node's network, and no policy reaches it. Hubble's relay, which is next, is a
// pod that a clusterwide policy cuts off; it is for agents that want certificates.
// Then come the agents' own commands.
func (d cilium) Follow(ctx context.Context, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	settings, err := d.settings(ctx)
	if err != nil {
		return nil, err
	}
	open := d.observe
	if port := plainHubble(settings); port != 0 {
		open = func(ctx context.Context, agent string, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
			return flowclient.FollowOver(ctx, func(ctx context.Context) (net.Conn, error) { return d.dial(ctx, agent, port, port) }, req)
		}
	} else {
		relays, err := d.running(ctx, relaySelector)
		if err != nil {
			return nil, err
		}
		if len(relays) > 0 {
			s, err := flowclient.FollowOver(ctx, d.dialRelay(relays[0].Name), req)
			if err != nil {
				return nil, fmt.Errorf("flows of Hubble's relay: %w", err)
			}
			return s, nil
		}
	}
	if settings["enable-hubble"] != "true" {
		if !req.Follow {
			return nil, cluster.ErrNoFlows // the monitor has no past
		}
		open = d.monitor
	}
	agents, err := d.agents(ctx)
	if err != nil {
		return nil, err
	}
	var streams []cluster.FlowStream
	for _, a := range agents {
		s, err := open(ctx, a.Name, req)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("flows of node %s: %w", a.Spec.NodeName, err), merge(streams).Close())
		}
		streams = append(streams, s)
	}
	return merge(streams), nil
}

// plainHubble is the port on which agents serve Hubble's API without TLS; 0 for
// none.
func plainHubble(settings map[string]string) int {
	if settings["enable-hubble"] != "true" || settings["hubble-disable-tls"] != "true" {
		return 0
	}
	_, text, err := net.SplitHostPort(settings["hubble-listen-address"])
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return port
}

func (d cilium) dialRelay(pod string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return d.dial(ctx, pod, relayPort, relayPort) }
}

// relayWaiting says whether the relay, where there is one, has found the agents.
// Its own readiness probe begins ten seconds after it does.
func (d cilium) relayWaiting(ctx context.Context, nodes int) (string, error) {
	_, err := d.Client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, ciliumRelay, metav1.GetOptions{})
	if notFound(err) {
		return "", nil
	}
	if err != nil {
		return "Hubble's relay", fmt.Errorf("look at Hubble's relay: %w", err)
	}
	relays, err := d.running(ctx, relaySelector)
	if err != nil || len(relays) == 0 {
		return "Hubble's relay", err
	}
	dial := d.dialRelay(relays[0].Name)
	conn, err := grpc.NewClient("passthrough:///relay", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		return "Hubble's relay", fmt.Errorf("ask Hubble's relay: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, err := observerpb.NewObserverClient(conn).ServerStatus(ctx, &observerpb.ServerStatusRequest{})
	if err != nil {
		return "Hubble's relay", nil //nolint:nilerr // it starts
	}
	if have := int(status.GetNumConnectedNodes().GetValue()); have < nodes {
		return fmt.Sprintf("Hubble's relay to find %d of %d nodes", nodes-have, nodes), nil
	}
	return "", nil
}

// lines is a command in an agent's pod whose lines are flows.
type lines struct {
	flows  chan *flowpb.Flow
	cancel context.CancelFunc
	once   sync.Once
	mu     sync.Mutex // guards err
	err    error      // why it broke off
}

// lines runs the command and parses its lines; nil is one without a flow. It
// returns with the first line: by then the command listens.
func (d cilium) lines(ctx context.Context, agent string, parse func(line []byte) (*flowpb.Flow, error), command ...string) (*lines, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &lines{flows: make(chan *flowpb.Flow, 64), cancel: cancel}
	r, w := io.Pipe()
	began := make(chan struct{})
	var once sync.Once
	go func() { w.CloseWithError(d.stream(ctx, w, agent, ciliumContainer, command...)) }()
	go func() {
		defer close(l.flows)
		defer once.Do(func() { close(began) })
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			once.Do(func() { close(began) })
			flow, err := parse(scanner.Bytes())
			if err != nil {
				l.fail(err)
				break
			}
			if flow == nil {
				continue
			}
			select {
			case l.flows <- flow:
			case <-ctx.Done():
			}
		}
		if err := scanner.Err(); err != nil && ctx.Err() == nil {
			l.fail(err)
		}
		r.CloseWithError(io.ErrClosedPipe)
	}()
	select {
	case <-began:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		cancel()
		return nil, l.err
	}
	return l, nil
}

func (l *lines) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// Recv implements cluster.FlowStream.
func (l *lines) Recv() (*flowpb.Flow, error) {
	if f, open := <-l.flows; open {
		return f, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	return nil, io.EOF
}

// Close implements cluster.FlowStream.
func (l *lines) Close() error {
	l.once.Do(l.cancel)
	return nil
}

// observe follows an agent's Hubble by its own command. That prints nothing when
// it begins, so one flow more than asked for is taken, and left out: an agent has
// always seen some, if only of cluster DNS.
func (d cilium) observe(ctx context.Context, agent string, req *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	last := req.Number
	command := []string{"hubble", "observe", "--server", "unix:///var/run/cilium/hubble.sock", "-o", "jsonpb"}
	if req.Follow {
		last++
		command = append(command, "--follow")
	}
	first := req.Follow
	return d.lines(ctx, agent, func(line []byte) (*flowpb.Flow, error) {
		if first {
			first = false
			return nil, nil
		}
		return parseObserved(line)
	}, append(command, "--last", strconv.FormatUint(last, 10))...)
}

func parseObserved(line []byte) (*flowpb.Flow, error) {
	var response observerpb.GetFlowsResponse
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &response); err != nil {
		return nil, fmt.Errorf("read a flow of Hubble's: %w", err)
	}
	return response.GetFlow(), nil // nil for lost events and nodes' states
}

// monitor follows what an agent drops, where there is no Hubble. That it listens is
// said on standard error, its first line elsewhere is the first drop.
func (d cilium) monitor(ctx context.Context, agent string, _ *observerpb.GetFlowsRequest) (cluster.FlowStream, error) {
	return d.lines(ctx, agent, parseMonitored,
		"sh", "-c", "exec cilium-dbg monitor --type drop --json 2>&1")
}

// parseMonitored makes a flow of a dropped packet; other lines are none.
func parseMonitored(line []byte) (*flowpb.Flow, error) {
	if len(line) == 0 || line[0] != '{' {
		return nil, nil
	}
	var event struct {
		Type    string `json:"type"`
		Reason  string `json:"reason"`
		Summary struct {
			L3, L4 *struct{ Src, Dst string }
			TCP    string `json:"tcp"`
			UDP    string `json:"udp"`
		} `json:"summary"`
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return nil, fmt.Errorf("read a line of Cilium's monitor: %w", err)
	}
	if event.Type != "drop" || event.Summary.L3 == nil {
		return nil, nil
	}
	f := &flowpb.Flow{
		Verdict: flowpb.Verdict_DROPPED, DropReasonDesc: flowpb.DropReason_DROP_REASON_UNKNOWN,
		IP: &flowpb.IP{Source: event.Summary.L3.Src, Destination: event.Summary.L3.Dst, IpVersion: flowpb.IPVersion_IPv4},
	}
	switch event.Reason {
	case "Policy denied":
		f.DropReasonDesc = flowpb.DropReason_POLICY_DENIED
	case "Policy denied by denylist":
		f.DropReasonDesc = flowpb.DropReason_POLICY_DENY
	}
	if ports := event.Summary.L4; ports != nil {
		from, err := strconv.ParseUint(ports.Src, 10, 16)
		to, err2 := strconv.ParseUint(ports.Dst, 10, 16)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("read a line of Cilium's monitor: %w", err)
		}
		switch {
		case event.Summary.TCP != "":
			f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: uint32(from), DestinationPort: uint32(to)}}}
		case event.Summary.UDP != "":
			f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: uint32(from), DestinationPort: uint32(to)}}}
		}
	}
	return f, nil
}
