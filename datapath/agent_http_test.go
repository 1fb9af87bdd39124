//go:build linux

package datapath

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"

	flowclient "github.com/netdojo/netdojo/datapath/flow/client"
	"github.com/netdojo/netdojo/datapath/internal/testnet"
)

const httpIngress = `
metadata: {name: http-ingress}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET, path: "/public.*"}]}
`

const httpEgress = `
metadata: {name: http-egress}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
  - toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{path: "/public"}, {path: "/egress"}]}
`

const namesEgress = `
metadata: {name: names-egress}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
  - toEntities: [world]
    toPorts:
    - ports: [{port: "443", protocol: TCP}]
      serverNames: ["*.example"]
`

// podClient is an HTTP client in a pod that opens a connection for each request, and
// tries that for so long.
func podClient(p *testnet.Pod, patience time.Duration) *http.Client {
	return &http.Client{
		Timeout: plenty,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return p.Dial(net.Dialer{Timeout: patience}, network, addr)
		}},
	}
}

// status is the status of a request, or 0 when nobody answers.
func status(t *testing.T, c *http.Client, method, url string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequest(method, url, http.NoBody)
	must(t, err)
	resp, err := c.Do(req)
	if err != nil {
		if !isTimeout(err) {
			t.Errorf("%s %s: %v", method, url, err)
		}
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(b)
}

func TestHTTPRules(t *testing.T) {
	n := newTestNode(t)
	n.api.serve()
	client, clientAddr := n.pod("default", "client", map[string]string{"app": "client"})
	other, _ := n.pod("default", "other", map[string]string{"app": "other"})
	server, serverAddr := n.pod("default", "server", map[string]string{"app": "server"})
	n.service("default", "server", 80, 80, serverAddr)
	serveHTTP := func(p *testnet.Pod) {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprintf(w, "%s %s from %s", r.Method, r.RequestURI, host)
		})}
		l := p.Listen(t, ":80")
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
	}
	serveHTTP(server)
	serveHTTP(n.world)
	direct := "http://" + at(serverAddr.String(), "80")
	service := "http://" + at(serviceAddr(80).String(), "80")
	c := podClient(client, plenty)

	// A connection that lives when HTTP rules come.
	old, err := connect(client, at(serverAddr.String(), "80"))
	must(t, err)
	defer old.Close()
	ask := func(conn net.Conn) error {
		_ = conn.SetDeadline(time.Now().Add(plenty))
		if _, err := io.WriteString(conn, "GET /public HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	must(t, ask(old))

	ref := n.policy(httpIngress)
	n.enforced(ref)
	if err := ask(old); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was there before the rules: %v, want a reset, as with Cilium", err)
	}
	waitFor(t, "the Service", func() error {
		resp, err := podClient(client, patience).Get(service + "/public")
		if err != nil {
			return err // refused until its endpoints are known
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	for _, want := range []struct {
		method, url, body string
		code              int
	}{
		{"GET", direct + "/public", "GET /public from " + clientAddr.String(), 200},
		{"GET", service + "/public/x?y", "GET /public/x?y from " + clientAddr.String(), 200},
		{"POST", direct + "/public", "Access denied\r\n", 403},
		{"GET", direct + "/private", "Access denied\r\n", 403},
		{"GET", direct + "/public/../private", "Access denied\r\n", 403},
	} {
		if code, body := status(t, c, want.method, want.url); code != want.code || body != want.body {
			t.Errorf("%s %s: %d %q", want.method, want.url, code, body)
		}
	}
	if code, _ := status(t, podClient(other, patience), "GET", direct+"/public"); code != 0 {
		t.Errorf("a pod that is not named: %d, want silence", code)
	}

	// Both ends ask about requests.
	n.enforced(n.policy(httpEgress))
	for path, code := range map[string]int{"/public": 200, "/public/x": 403, "/egress": 403, "/private": 403} {
		if got, _ := status(t, c, "GET", direct+path); got != code {
			t.Errorf("with rules at both ends, GET %s: %d, want %d", path, got, code)
		}
	}
	if code, body := status(t, c, "GET", "http://"+at(goodAddr, "80")+"/egress"); code != 200 || body != "GET /egress from "+ownAddr.String() {
		t.Errorf("to the world: %d %q", code, body)
	}
	if code, _ := status(t, c, "GET", "http://"+at(goodAddr, "80")+"/other"); code != 403 {
		t.Errorf("to the world, not allowed: %d", code)
	}
	n.checkHTTPFlows(clientAddr.String(), serverAddr.String())

	// A connection of the proxy, when the rules change and when they go.
	kept, err := connect(client, at(serverAddr.String(), "80"))
	must(t, err)
	defer kept.Close()
	must(t, ask(kept))
	n.enforced(n.policy(strings.Replace(httpIngress, "http-ingress", "unrelated", 1)))
	if err := ask(kept); err != nil {
		t.Errorf("a connection of the proxy after a change: %v", err)
	}

	// Without its proxy, what has HTTP rules is dropped.
	must(t, n.agent.proxies[len(n.agent.proxies)-1].http.Close())
	if code, _ := status(t, podClient(client, patience), "GET", direct+"/public"); code != 0 {
		t.Errorf("without the proxy: %d, want silence", code)
	}
}

// checkHTTPFlows wants the observer to tell of one refused request, and of the
// answer to an allowed one.
func (n *testNode) checkHTTPFlows(client, server string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), plenty)
	defer cancel()
	stream, err := flowclient.Flows(ctx, n.agent.cfg.FlowSocket, 1000)
	must(n.t, err)
	defer stream.Close()
	refused, answered := false, false
	for !refused || !answered {
		f, err := stream.Recv()
		if err != nil {
			n.t.Fatalf("refused %v, answered %v: %v", refused, answered, err)
		}
		h := f.GetL7().GetHttp()
		switch {
		case h == nil || f.GetType() != flowpb.FlowType_L7:
		case f.GetVerdict() == flowpb.Verdict_DROPPED && h.GetMethod() == "POST":
			refused = true
			by := f.GetIngressDeniedBy()
			if f.GetIP().GetSource() != client || f.GetIP().GetDestination() != server || h.GetUrl() != "http://"+at(server, "80")+"/public" ||
				len(by) != 1 || by[0].GetName() != "http-ingress" || f.GetTrafficDirection() != flowpb.TrafficDirection_INGRESS {
				n.t.Errorf("refused: %v", f)
			}
		case f.GetIsReply().GetValue() && h.GetCode() == 200:
			answered = true
			if f.GetVerdict() != flowpb.Verdict_FORWARDED || f.GetIP().GetDestination() != client || f.GetL7().GetType() != flowpb.L7FlowType_RESPONSE {
				n.t.Errorf("answered: %v", f)
			}
		}
	}
}

// The request that once took a second one past the rules in its body arrives as
// one, and the flows tell of one.
func TestRequestInABody(t *testing.T) {
	n := newTestNode(t)
	n.api.serve()
	client, _ := n.pod("default", "client", map[string]string{"app": "client"})
	server, serverAddr := n.pod("default", "server", map[string]string{"app": "server"})
	executed := make(chan string, 10)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		executed <- fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body)
	})}
	l := server.Listen(t, ":80")
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	n.enforced(n.policy(httpIngress))

	conn, err := connect(client, at(serverAddr.String(), "80"))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(plenty)))
	const hidden = "DELETE /private HTTP/1.1\r\nHost: a\r\n\r\n"
	_, err = fmt.Fprintf(conn, "GET /public HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden)
	must(t, err)
	_, err = io.WriteString(conn, "GET /public/last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	must(t, err)
	answers, err := io.ReadAll(conn)
	must(t, err)
	if got := strings.Count(string(answers), "HTTP/1.1 200 OK"); got != 2 {
		t.Errorf("%d answers to two requests: %q", got, answers)
	}
	close(executed)
	var got []string
	for e := range executed {
		got = append(got, e)
	}
	if want := []string{fmt.Sprintf("GET /public %q", hidden), `GET /public/last ""`}; !slices.Equal(got, want) {
		t.Errorf("the server has executed %q, want %q", got, want)
	}

	ctx, cancel := context.WithTimeout(context.Background(), plenty)
	defer cancel()
	stream, err := flowclient.Flows(ctx, n.agent.cfg.FlowSocket, 1000)
	must(t, err)
	defer stream.Close()
	var flows []string
	for last := false; !last; {
		f, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %q: %v", flows, err)
		}
		if h := f.GetL7().GetHttp(); h != nil {
			flows = append(flows, fmt.Sprintf("%s %s %s %d", f.GetVerdict(), h.GetMethod(), h.GetUrl(), h.GetCode()))
			last = h.GetUrl() == "http://a/public/last" && h.GetCode() != 0
		}
	}
	if want := []string{
		"FORWARDED GET http://a/public 0", "FORWARDED GET http://a/public 200",
		"FORWARDED GET http://a/public/last 0", "FORWARDED GET http://a/public/last 200",
	}; !slices.Equal(flows, want) {
		t.Errorf("flows %q, want %q", flows, want)
	}
}

func TestServerNames(t *testing.T) {
	n := newTestNode(t)
	n.api.serve()
	client, _ := n.pod("default", "client", map[string]string{"app": "client"})
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Listener.Close()
	server.Listener = n.world.Listen(t, ":443")
	server.StartTLS()
	defer server.Close()
	n.enforced(n.policy(namesEgress))
	for name, allowed := range map[string]bool{"good.example": true, "good.example.org": false, "": false} {
		c, err := connect(client, at(goodAddr, "443"))
		must(t, err)
		_ = c.SetDeadline(time.Now().Add(plenty))
		err = tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
		switch {
		case allowed && err != nil:
			t.Errorf("%q: %v", name, err)
		case !allowed && !errors.Is(err, syscall.ECONNRESET):
			t.Errorf("%q: %v, want a reset", name, err)
		}
		_ = c.Close()
	}
	if err := knock(client, at(goodAddr, "80")); !isTimeout(err) {
		t.Errorf("another port: %v", err)
	}
}
