package inside

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// tunnel forwards ports of this machine's loopback to those of an agent's node.
type tunnel struct {
	ports map[int]uint16 // remote → local
	stop  chan struct{}
	done  chan struct{} // closed when it forwards no more
}

// openTunnel forwards free ports to the given ones of a pod of kube-system.
func openTunnel(config *rest.Config, client kubernetes.Interface, pod string, remote ...int) (*tunnel, error) {
	fail := func(err error) (*tunnel, error) { return nil, fmt.Errorf("reach agent %s: %w", pod, err) }
	target := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(metav1.NamespaceSystem).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return fail(err)
	}
	websocket, err := portforward.NewSPDYOverWebsocketDialer(target, config)
	if err != nil {
		return fail(err)
	}
	dialer := portforward.NewFallbackDialer(websocket,
		spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target),
		func(err error) bool { return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) })
	var ports []string
	for _, r := range remote {
		ports = append(ports, "0:"+strconv.Itoa(r))
	}
	t := &tunnel{ports: map[int]uint16{}, stop: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, ports, t.stop, ready, io.Discard, io.Discard)
	if err != nil {
		return fail(err)
	}
	failed := make(chan error, 1)
	go func() {
		defer close(t.done)
		failed <- forwarder.ForwardPorts()
	}()
	select {
	case <-ready:
	case err := <-failed:
		return fail(err)
	}
	forwarded, err := forwarder.GetPorts()
	if err != nil {
		t.close()
		return fail(err)
	}
	for _, p := range forwarded {
		t.ports[int(p.Remote)] = p.Local
	}
	return t, nil
}

func (t *tunnel) dial(ctx context.Context, remote int) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(t.ports[remote]))))
}

func (t *tunnel) ended() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func (t *tunnel) close() {
	close(t.stop)
	<-t.done
}
