//go:build linux

package datapath

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/ruleset"
)

// benchConns is how many connections are kept open at once.
const benchConns = 8

// httpAllowAll sends every request through the HTTP proxy.
const httpAllowAll = `
metadata: {name: http-ingress}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET, path: "/public/.*"}]}
`

// BenchmarkHTTP measures requests of one pod to another, on kept connections:
// without rules, through our proxy, and through haproxy in its place, when that
// is installed. op is one request; p99-µs are of an open loop of 1,000 a second.
func BenchmarkHTTP(b *testing.B) {
	for _, way := range []string{"direct", "netdojo", "haproxy"} {
		b.Run(way, func(b *testing.B) {
			n := newTestNode(b)
			n.api.serve()
			client, _ := n.pod("default", "client", map[string]string{"app": "client"})
			server, addr := n.pod("default", "server", map[string]string{"app": "server"})
			serveFixed(b, server)
			switch way {
			case "netdojo":
				n.enforced(n.policy(httpAllowAll))
			case "haproxy":
				n.enforced(n.policy(httpAllowAll))
				n.replaceProxy(b)
			}
			target := addr.String() + ":80"
			var latencies []time.Duration
			b.Run("rate", func(b *testing.B) { benchRate(b, client, target) })
			b.Run("at-1000", func(b *testing.B) {
				latencies = latencies[:0]
				for b.Loop() {
					latencies = append(latencies, openLoop(b, client, target, 1000, 3*time.Second)...)
				}
				slices.Sort(latencies)
				at := func(q float64) float64 {
					return float64(latencies[int(q*float64(len(latencies)-1))].Nanoseconds()) / 1000
				}
				b.ReportMetric(at(0.5), "p50-µs")
				b.ReportMetric(at(0.99), "p99-µs")
			})
		})
	}
}

const fixedResponse = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 128\r\n\r\n"

// serveFixed answers every request with the same 128 bytes, as cheaply as it
// can be done.
func serveFixed(b *testing.B, p *testnet.Pod) {
	b.Helper()
	l := p.Listen(b, ":80")
	response := append([]byte(fixedResponse), bytes.Repeat([]byte("x"), 128)...)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) > 2 {
						continue
					}
					if _, err := c.Write(response); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// benchClient is one kept connection.
type benchClient struct {
	net.Conn
	r *bufio.Reader
}

var benchRequest = []byte("GET /public/1 HTTP/1.1\r\nHost: server\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")

func dialBench(b *testing.B, p *testnet.Pod, target string) *benchClient {
	b.Helper()
	c, err := p.Dial(net.Dialer{Timeout: 2 * time.Second}, "tcp4", target)
	must(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return &benchClient{c, bufio.NewReader(c)}
}

// ask sends one request and reads its answer.
func (c *benchClient) ask() error {
	if _, err := c.Write(benchRequest); err != nil {
		return err
	}
	length, first := 0, true
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answer is %q", line)
		}
		first = false
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	_, err := c.r.Discard(length)
	return err
}

func benchRate(b *testing.B, p *testnet.Pod, target string) {
	clients := make([]*benchClient, benchConns)
	for i := range clients {
		clients[i] = dialBench(b, p, target)
		must(b, clients[i].ask())
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for _, c := range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := c.ask(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "req/s")
}

// openLoop sends requests at a rate, whether or not answers come, and returns
// how long each took from the moment that it was due.
func openLoop(b *testing.B, p *testnet.Pod, target string, rate int, d time.Duration) []time.Duration {
	b.Helper()
	due := make(chan time.Time, rate*int(d/time.Second))
	var mu sync.Mutex
	var out []time.Duration
	var wg sync.WaitGroup
	for range benchConns {
		c := dialBench(b, p, target)
		must(b, c.ask())
		wg.Go(func() {
			for at := range due {
				if err := c.ask(); err != nil {
					b.Error(err)
					return
				}
				took := time.Since(at)
				mu.Lock()
				out = append(out, took)
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	for i := range cap(due) {
		at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(at)) // the load's own clock, no wait for anything
		due <- at
	}
	close(due)
	wg.Wait()
	return out
}

// replaceProxy has the table divert to a haproxy that does what ours does,
// without rules: it takes the client's address to the server that the client
// dialled.
func (n *testNode) replaceProxy(b *testing.B) {
	b.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		b.Skip("haproxy is not installed")
	}
	at := netip.MustParseAddrPort("127.0.0.1:18080")
	conf := filepath.Join(b.TempDir(), "haproxy.cfg")
	must(b, os.WriteFile(conf, fmt.Appendf(nil, `global
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend in
  bind %s transparent
  default_backend out
backend out
  http-reuse safe
  source 0.0.0.0 usesrc client
  server original 0.0.0.0:0
`, at), 0o600))
	cmd := exec.Command(program, "-f", conf)
	cmd.Stderr = os.Stderr
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(5 * time.Second); ; {
		c, err := net.Dial("tcp4", at.String())
		if err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			b.Fatal(err)
		}
	}
	cfg := n.agent.tableConfig()
	cfg.HTTPProxy = at
	table, err := ruleset.Apply(cfg)
	must(b, err)
	b.Cleanup(func() { must(b, table.Delete()) })
}
