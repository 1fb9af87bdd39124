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
// is installed. Client and server are a process of their own. op is one request;
// cpu-µs/op is what the process of the proxy spends on it, which another load on
// the machine changes least; p50 and p99 are of an open loop of 1,000 a second.
func BenchmarkHTTP(b *testing.B) {
	for _, way := range []string{"direct", "netdojo", "haproxy"} {
		b.Run(way, func(b *testing.B) {
			n := newTestNode(b)
			n.api.serve()
			client, _ := n.pod("default", "client", map[string]string{"app": "client"})
			server, addr := n.pod("default", "server", map[string]string{"app": "server"})
			pid := os.Getpid()
			switch way {
			case "netdojo":
				n.enforced(n.policy(httpAllowAll))
			case "haproxy":
				n.enforced(n.policy(httpAllowAll))
				pid = n.replaceProxy(b)
			}
			load := func(b *testing.B, requests, rate int) benchResult {
				l := startLoad(b, client, server, addr.String()+":80")
				before := cpuTime(b, pid)
				b.ResetTimer()
				r := l.run(b, requests, rate)
				b.ReportMetric(float64((cpuTime(b, pid)-before).Microseconds())/float64(requests), "cpu-µs/op")
				return r
			}
			b.Run("rate", func(b *testing.B) {
				r := load(b, b.N, 0)
				b.ReportMetric(float64(b.N)/r.Took.Seconds(), "req/s")
			})
			b.Run("at-1000", func(b *testing.B) {
				r := load(b, max(b.N, 100), 1000)
				b.ReportMetric(float64(r.P50.Microseconds()), "p50-µs")
				b.ReportMetric(float64(r.P99.Microseconds()), "p99-µs")
			})
		})
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
	in  io.Writer
	out *json.Decoder
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
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	l := &benchLoad{in, json.NewDecoder(out)}
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
	l, err := net.Listen("tcp4", ":80")
	if err != nil {
		return err
	}
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
	return nil
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

// replaceProxy has the table divert to a haproxy that does what ours does,
// without rules: it takes the client's address to the server that the client
// dialled.
func (n *testNode) replaceProxy(b *testing.B) (pid int) {
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
	return cmd.Process.Pid
}
