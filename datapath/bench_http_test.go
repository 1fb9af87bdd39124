//go:build linux

package datapath

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netdojo/netdojo/datapath/internal/testnet"
	"github.com/netdojo/netdojo/datapath/ruleset"
)

// benchConns is how many connections are kept open at once.
const benchConns = 8

// httpAllowAll sends every request to port 80 through the HTTP proxy, and none to 81.
const httpAllowAll = `
metadata: {name: http-ingress}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{method: GET, path: "/public/.*"}]}
  - fromEndpoints: [{matchLabels: {app: client}}]
    toPorts: [{ports: [{port: "81", protocol: TCP}]}]
`

// benchWay is how requests go from the client to the server.
type benchWay struct {
	name  string
	port  uint16         // of the server
	proxy netip.AddrPort // what the table diverts port 80 to
	pid   int            // of the proxy
}

// BenchmarkHTTP measures requests of one pod to another, on kept connections:
// without rules, through our proxy, and through haproxy and Envoy in its place, where
// those are in PATH. Client and server are a process of their own. The ways take turns, so
// that whatever else the machine does meets them all; op is a turn of each.
//
// rate is as fast as answers come; cpu-µs/op is what the process of the proxy spends on a
// request, which another load on the machine changes least. at-1000 is an open loop of
// 1,000 requests a second. What is told are medians of the turns; added is that of
// what a turn took at the 99th percentile beside the direct one before it.
func BenchmarkHTTP(b *testing.B) {
	n := newTestNode(b)
	n.api.serve()
	client, _ := n.pod("default", "client", map[string]string{"app": "client"})
	server, addr := n.pod("default", "server", map[string]string{"app": "server"})
	n.enforced(n.policy(httpAllowAll))
	cfg := n.agent.tableConfig()
	ways := []benchWay{
		{"direct", 81, cfg.Addresses.V4.HTTPProxy, os.Getpid()},
		{"netdojo", 80, cfg.Addresses.V4.HTTPProxy, os.Getpid()},
	}
	if program, err := exec.LookPath("haproxy"); err == nil {
		at, pid := startHAProxy(b, program)
		ways = append(ways, benchWay{"haproxy", 80, at, pid})
	}
	if program, err := exec.LookPath("envoy"); err == nil {
		at, pid := startEnvoy(b, program)
		ways = append(ways, benchWay{"envoy", 80, at, pid})
	}
	turn := func(b *testing.B, way benchWay, requests, rate int) (r benchResult, cpu time.Duration) {
		cfg := n.agent.tableConfig()
		cfg.Addresses.V4.HTTPProxy = way.proxy
		table, err := ruleset.Apply(cfg)
		must(b, err)
		defer func() { must(b, table.Delete()) }()
		l := startLoad(b, client, server, netip.AddrPortFrom(addr, way.port).String())
		defer l.stop()
		before := cpuTime(b, way.pid)
		r = l.run(b, requests, rate)
		return r, cpuTime(b, way.pid) - before
	}
	b.Run("rate", func(b *testing.B) {
		const requests = 20_000
		figures := benchFigures{}
		for b.Loop() {
			for _, way := range ways {
				r, cpu := turn(b, way, requests, 0)
				figures.add(way.name+"-req/s", requests/r.Took.Seconds())
				figures.add(way.name+"-cpu-µs", float64(cpu.Microseconds())/requests)
			}
		}
		figures.report(b)
	})
	b.Run("at-1000", func(b *testing.B) {
		figures := benchFigures{}
		for b.Loop() {
			var direct benchResult
			for _, way := range ways {
				r, _ := turn(b, way, 1000, 1000)
				figures.add(way.name+"-p50-µs", float64(r.P50.Microseconds()))
				figures.add(way.name+"-p99-µs", float64(r.P99.Microseconds()))
				if way.name == "direct" {
					direct = r
				} else {
					figures.add(way.name+"-added-µs", float64((r.P99 - direct.P99).Microseconds()))
				}
			}
		}
		figures.report(b)
	})
}

// benchFigures are what the turns of a benchmark took, by unit.
type benchFigures map[string][]float64

func (f benchFigures) add(unit string, value float64) { f[unit] = append(f[unit], value) }

func (f benchFigures) report(b *testing.B) {
	for unit, values := range f {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], unit)
	}
}

// cpuTime is the processor time of a process so far, of all its threads.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		must(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// benchResult is what a load tells.
type benchResult struct{ Took, P50, P99 time.Duration }

// benchEnv is set in the process that is the client and the server. Their
// namespaces are its descriptors 3 and 4.
const benchEnv = "NETDOJO_BENCH_TARGET"

type benchLoad struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// stop ends the process, which must come before its pods do.
func (l *benchLoad) stop() {
	_ = l.in.Close()
	_ = l.cmd.Wait()
}

func startLoad(b *testing.B, client, server *testnet.Pod, target string) *benchLoad {
	b.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), benchEnv+"="+target)
	for _, p := range []*testnet.Pod{client, server} {
		fd, err := unix.Dup(int(p.Handle()))
		must(b, err)
		f := os.NewFile(uintptr(fd), "namespace")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	cmd.Stderr = os.Stderr
	must(b, cmd.Start())
	l := &benchLoad{cmd, in, json.NewDecoder(out)}
	var ready benchResult
	must(b, l.out.Decode(&ready))
	return l
}

// run sends that many requests, at a rate or, with 0, as fast as answers come.
func (l *benchLoad) run(b *testing.B, requests, rate int) (r benchResult) {
	b.Helper()
	_, err := fmt.Fprintln(l.in, requests, rate)
	must(b, err)
	must(b, l.out.Decode(&r))
	return r
}

// TestMain also is the load's process.
func TestMain(m *testing.M) {
	if target := os.Getenv(benchEnv); target != "" {
		if err := loadMain(target); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testnet.Main(m)
}

// inNamespace runs f on a thread in the namespace of a descriptor.
func inNamespace(fd int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends in its namespace
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func loadMain(target string) error {
	if err := inNamespace(4, serveFixed); err != nil {
		return err
	}
	var clients []*benchClient
	for range benchConns {
		if err := inNamespace(3, func() error {
			c, err := net.DialTimeout("tcp4", target, 2*time.Second)
			if err != nil {
				return err
			}
			clients = append(clients, &benchClient{c, bufio.NewReader(c)})
			return clients[len(clients)-1].ask()
		}); err != nil {
			return err
		}
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(benchResult{}); err != nil {
		return err
	}
	for {
		var requests, rate int
		if _, err := fmt.Fscanln(os.Stdin, &requests, &rate); err != nil {
			return nil // the benchmark is over
		}
		r, err := sendAll(clients, requests, rate)
		if err != nil {
			return err
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// sendAll sends the requests. At a rate they are sent whether or not answers
// come, and each is timed from the moment that it was due.
func sendAll(clients []*benchClient, requests, rate int) (benchResult, error) {
	due := make(chan time.Time, requests)
	took := make([][]time.Duration, len(clients))
	errs := make([]error, len(clients))
	start := time.Now()
	if rate == 0 {
		for range requests {
			due <- start
		}
		close(due)
	}
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for at := range due {
				if errs[i] = c.ask(); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	if rate > 0 {
		for i := range requests {
			at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(at)) // the load's own clock, no wait for anything
			due <- at
		}
		close(due)
	}
	wg.Wait()
	r := benchResult{Took: time.Since(start)}
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) > 0 {
		r.P50, r.P99 = all[len(all)/2], all[len(all)*99/100]
	}
	return r, errors.Join(errs...)
}

const fixedResponse = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 128\r\n\r\n"

// serveFixed answers every request with the same 128 bytes, as cheaply as it
// can be done.
func serveFixed() error {
	response := append([]byte(fixedResponse), bytes.Repeat([]byte("x"), 128)...)
	for _, port := range []string{":80", ":81"} {
		l, err := net.Listen("tcp4", port)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go answerFixed(c, response)
			}
		}()
	}
	return nil
}

func answerFixed(c net.Conn, response []byte) {
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
}

// benchClient is one kept connection.
type benchClient struct {
	net.Conn
	r *bufio.Reader
}

var benchRequest = []byte("GET /public/1 HTTP/1.1\r\nHost: server\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")

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

// startHAProxy runs a haproxy that does what our proxy does, without rules: it takes
// the client's address to the server that the client dialled.
func startHAProxy(b *testing.B, program string) (at netip.AddrPort, pid int) {
	b.Helper()
	at = netip.MustParseAddrPort("127.0.0.1:18080")
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
  http-reuse never
  source 0.0.0.0 usesrc client
  server original 0.0.0.0:0
`, at), 0o600))
	return at, startProxy(b, at, program, "-f", conf)
}

// startEnvoy runs an Envoy that does the same and has a rule as Cilium's filter would:
// RBAC judges each request's method and path.
func startEnvoy(b *testing.B, program string) (at netip.AddrPort, pid int) {
	b.Helper()
	at = netip.MustParseAddrPort("127.0.0.1:18081")
	conf := filepath.Join(b.TempDir(), "envoy.yaml")
	must(b, os.WriteFile(conf, []byte(envoyConfig), 0o600))
	return at, startProxy(b, at, program, "-c", conf, "--concurrency", strconv.Itoa(runtime.GOMAXPROCS(0)), "--use-dynamic-base-id", "--log-level", "error")
}

const envoyConfig = `
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 18081}}
    transparent: true
    listener_filters:
    - name: envoy.filters.listener.original_dst
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst}
    - name: envoy.filters.listener.original_src
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          use_remote_address: true
          skip_xff_append: true
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, route: {cluster: out}}]
          http_filters:
          - name: rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  get:
                    principals: [{any: true}]
                    permissions:
                    - and_rules:
                        rules:
                        - header: {name: ":method", string_match: {exact: GET}}
                        - header: {name: ":path", string_match: {safe_regex: {regex: "/public/.*"}}}
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: out
    type: ORIGINAL_DST
    lb_policy: CLUSTER_PROVIDED
    connect_timeout: 2s
`

// startProxy runs a proxy until the benchmark's end, and waits until it listens.
func startProxy(b *testing.B, at netip.AddrPort, program string, args ...string) (pid int) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("tcp4", at.String())
		if err == nil {
			_ = c.Close()
			return cmd.Process.Pid
		}
		if time.Now().After(end) {
			b.Fatal(err)
		}
	}
}
