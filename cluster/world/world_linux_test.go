package world

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/cilium/pkg/netns"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ask sends one DNS query from the node.
func ask(t testing.TB, node *netns.NetNS, network, server, name string, kind uint16) *dns.Msg {
	t.Helper()
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	client := &dns.Client{Net: network, Timeout: plenty}
	var reply *dns.Msg
	err := node.Do(func() error {
		conn, err := client.Dial(server)
		if err != nil {
			return err
		}
		defer conn.Close()
		reply, _, err = client.ExchangeWithConn(query, conn)
		return err
	})
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[kind], err)
	}
	return reply
}

// dialNode connects from the node.
func dialNode(ctx context.Context, node *netns.NetNS, network, addr string) (conn net.Conn, err error) {
	err = node.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// plenty is how long is waited for what has to come.
const plenty = time.Minute

// patience is how long a connection is tried that is to end so.
func patience(want error) time.Duration {
	if errors.Is(want, errTimeout) {
		return 300 * time.Millisecond
	}
	return plenty
}

// errTimeout stands for the kinds of error that a dialer's timeout can be.
var errTimeout = errors.New("timeout")

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// client is a web client at the node that trusts the world and asks its DNS.
func client(t testing.TB, node *netns.NetNS, w *World) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(w.CACertPEM()) {
		t.Fatal("the world's CA is no certificate")
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			reply := ask(t, node, "udp", w.Resolver().String(), host, dns.TypeA)
			for _, rr := range reply.Answer {
				if a, ok := rr.(*dns.A); ok {
					return dialNode(ctx, node, network, net.JoinHostPort(a.A.String(), port))
				}
			}
			return nil, errors.New("no address of " + host)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: plenty}
}

func TestDNS(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	addr := func(name string) string { return addressOf(t, w, name).String() }
	cases := []struct {
		name   string
		kind   uint16
		rcode  int
		answer []string // the data of each record
		soa    bool
	}{
		{"kubernetes.io", dns.TypeA, dns.RcodeSuccess, []string{addr("kubernetes.io")}, false},
		{"KuberNetes.IO", dns.TypeA, dns.RcodeSuccess, []string{addr("kubernetes.io")}, false},
		{"kubernetes.io", dns.TypeAAAA, dns.RcodeSuccess, nil, true},
		{"kubernetes.io", dns.TypeMX, dns.RcodeSuccess, nil, true},
		{"io", dns.TypeA, dns.RcodeSuccess, nil, true},
		{"nothing.kubernetes.io", dns.TypeA, dns.RcodeNameError, nil, true},
		{"no-such-name.test", dns.TypeAAAA, dns.RcodeNameError, nil, true},
		{"docs.cilium.io", dns.TypeA, dns.RcodeSuccess,
			[]string{"cilium-docs.netlify.app.", addr("cilium-docs.netlify.app")}, false},
		{"docs.cilium.io", dns.TypeCNAME, dns.RcodeSuccess, []string{"cilium-docs.netlify.app."}, false},
		{"docs.cilium.io", dns.TypeAAAA, dns.RcodeSuccess, []string{"cilium-docs.netlify.app."}, true},
		{"one.one.one.one", dns.TypeA, dns.RcodeSuccess, []string{"1.1.1.1"}, false},
		{"8.8.8.8.in-addr.arpa", dns.TypePTR, dns.RcodeSuccess, []string{"dns.google."}, false},
		{"1.0.0.10.in-addr.arpa", dns.TypePTR, dns.RcodeNameError, nil, true},
	}
	for _, server := range []string{w.Resolver().String(), "8.8.8.8:53"} {
		for _, network := range []string{"udp", "tcp"} {
			for _, c := range cases {
				t.Run(server+"/"+network+"/"+c.name+"/"+dns.TypeToString[c.kind], func(t *testing.T) {
					reply := ask(t, node, network, server, c.name, c.kind)
					if reply.Rcode != c.rcode {
						t.Errorf("rcode %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode])
					}
					var got []string
					for _, rr := range reply.Answer {
						got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
					}
					if strings.Join(got, " ") != strings.Join(c.answer, " ") {
						t.Errorf("answer %q, want %q", got, c.answer)
					}
					if hasSOA := len(reply.Ns) == 1; hasSOA != c.soa {
						t.Errorf("authority %v, want an SOA: %t", reply.Ns, c.soa)
					}
				})
			}
		}
	}
}

func TestWeb(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	c := client(t, node, w)
	for _, url := range []string{"https://kubernetes.io", "https://docs.cilium.io/any/path", "http://www.example.com/"} {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			t.Run(method+" "+url, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				wantProto := "HTTP/1.1"
				if req.URL.Scheme == "https" {
					wantProto = "HTTP/2.0"
				}
				if resp.StatusCode != http.StatusOK || resp.Proto != wantProto {
					t.Errorf("%s %s, want %s 200", resp.Proto, resp.Status, wantProto)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if names := strings.Contains(string(body), req.URL.Hostname()); names != (method == http.MethodGet) {
					t.Errorf("body of %s: %q", method, body)
				}
			})
		}
	}
}

// A name's certificate is served at its own address only.
func TestForeignServerName(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	addr := addressOf(t, w, "kubernetes.io")
	conn, err := dialNode(t.Context(), node, "tcp", net.JoinHostPort(addr.String(), "443"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.CACertPEM())
	err = tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "cilium.io"}).HandshakeContext(t.Context())
	var mismatch x509.HostnameError
	if !errors.As(err, &mismatch) {
		t.Errorf("got %v, want a certificate of another name", err)
	}
}

// The public resolvers are reached by number, by HTTPS as well: the second address of
// each has no name here.
func TestNumbers(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.CACertPEM())
	for _, number := range []string{"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4"} {
		conn, err := dialNode(t.Context(), node, "tcp", net.JoinHostPort(number, "443"))
		if err != nil {
			t.Errorf("%s: %v", number, err)
			continue
		}
		if err := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: number}).HandshakeContext(t.Context()); err != nil {
			t.Errorf("%s: %v", number, err)
		}
		conn.Close()
	}
}

func TestReachability(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	site := addressOf(t, w, "cilium.io")
	cases := []struct {
		name, addr string
		want       error // nil: connects
	}{
		{"a served port", site.String() + ":443", nil},
		{"echo", site.String() + ":7", nil},
		{"a closed port of a served address", site.String() + ":8443", unix.ECONNREFUSED},
		{"an address that nobody serves", "44.1.2.3:443", errTimeout},
		{"documentation space", "203.0.113.9:80", errTimeout},
		{"a pod that is not there", "10.244.0.99:80", errTimeout},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience(c.want))
			defer cancel()
			conn, err := dialNode(ctx, node, "tcp", c.addr)
			if conn != nil {
				conn.Close()
			}
			if isTimeout(err) {
				err = errTimeout
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("the gateway is no site", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), plenty)
		defer cancel()
		conn, err := dialNode(ctx, node, "tcp", "192.168.77.1:80")
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(plenty))
			_, _ = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")) // which a site answers
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		if !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the connection ended", err)
		}
	})
}

func TestEcho(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	addr := addressOf(t, w, "example.com")
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			conn, err := dialNode(t.Context(), node, network, addr.String()+":7")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(plenty)); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestServeAtRunTime(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	if reply := ask(t, node, "udp", w.Resolver().String(), "shop.acme.dev", dns.TypeA); reply.Rcode != dns.RcodeNameError {
		t.Fatalf("before: %s", dns.RcodeToString[reply.Rcode])
	}
	if err := w.Serve("shop.acme.dev", "*.acme.dev", "5.6.7.8", "backend", "db.default.svc.cluster.local"); err != nil {
		t.Fatal(err)
	}
	if err := w.Serve("shop.acme.dev", "5.6.7.8"); err != nil {
		t.Fatalf("again: %v", err)
	}
	c := client(t, node, w)
	for _, name := range []string{"shop.acme.dev", "acme.dev", "www.acme.dev"} {
		resp, err := c.Get("https://" + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	conn, err := dialNode(t.Context(), node, "tcp", "5.6.7.8:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if w.Lookup("backend") != nil {
		t.Error("a single label is served")
	}
	var bad *NameError
	if err := w.Serve("https://acme.dev/"); !errors.As(err, &bad) {
		t.Errorf("a URL: got %v, want a NameError", err)
	}
	for _, addr := range []string{"10.96.0.10", "192.168.77.9", "127.0.0.1", "224.0.0.1"} {
		if err := w.Serve(addr); err == nil {
			t.Errorf("%s is served", addr)
		}
	}
}

func TestDialReachesNode(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	var ln net.Listener
	if err := node.Do(func() (err error) {
		ln, err = net.Listen("tcp4", "192.168.77.2:30080")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	from := make(chan netip.Addr, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		from <- conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		conn.Close()
	}()
	conn, err := w.Dial(t.Context(), "tcp", "192.168.77.2:30080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := <-from; got != testConfig.GatewayAddr {
		t.Errorf("the node sees %s, want %s", got, testConfig.GatewayAddr)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	node := newNode(t)
	before := openSockets(t)
	var w *World
	if err := node.Do(func() (err error) {
		w, err = Start(t.Context(), testConfig)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// Connections that are open must not hold the world.
	addr := addressOf(t, w, "cilium.io")
	for _, port := range []string{"443", "7", "80"} {
		conn, err := dialNode(t.Context(), node, "tcp", net.JoinHostPort(addr.String(), port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if err := w.Serve("late.example.net"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: %v", err)
	}
	if err := node.Do(func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			if l.Type() == "veth" {
				t.Errorf("%s is left", l.Attrs().Name)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := threadsNamespaces(t); n != 1 {
		t.Errorf("threads are in %d network namespaces", n)
	}
	if after := openSockets(t); after != before+3 { // the test's own three connections
		t.Errorf("%d sockets and namespaces open before, %d after", before, after)
	}
}

func TestStartFailsWhole(t *testing.T) {
	node := newNode(t)
	startWorld(t, node, testConfig)
	// The node's interface exists already: the second world must not take it away.
	err := node.Do(func() error {
		w, err := Start(t.Context(), testConfig)
		if err == nil {
			return errors.Join(errors.New("a second world started"), w.Close())
		}
		if _, lookErr := netlink.LinkByName("eth0"); lookErr != nil {
			t.Errorf("the first world's link is gone: %v", lookErr)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The command that the seed page's reader types, with the real curl.
func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	ca := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(ca, w.CACertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		args []string
		out  string // the first line
		code int
	}{
		{"insecure", []string{"-sIk", "https://kubernetes.io"}, "HTTP/2 200", 0},
		{"verified", []string{"-sI", "--cacert", ca, "https://kubernetes.io"}, "HTTP/2 200", 0},
		{"HTTP/1.1", []string{"-sIk", "--http1.1", "https://kubernetes.io"}, "HTTP/1.1 200 OK", 0},
		{"unknown CA", []string{"-sI", "https://kubernetes.io"}, "", 60},
		{"plain", []string{"-sI", "http://kubernetes.io"}, "HTTP/1.1 200 OK", 0},
	}
	addr := addressOf(t, w, "kubernetes.io")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--connect-timeout", "5",
				"--resolve", "kubernetes.io:443:" + addr.String(),
				"--resolve", "kubernetes.io:80:" + addr.String()}, c.args...)
			cmd := exec.CommandContext(t.Context(), curl, args...)
			var out strings.Builder
			cmd.Stdout = &out
			if err := node.Do(cmd.Start); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(out.String(), "\n")
			if got := cmd.ProcessState.ExitCode(); got != c.code || strings.TrimSpace(first) != c.out {
				t.Errorf("exit %d, %q; want %d, %q", got, first, c.code, c.out)
			}
		})
	}
}

// TestLargeAnswer: an answer that fits into no usual datagram is truncated there, and
// whole by TCP; each of its addresses is served.
func TestLargeAnswer(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	for _, size := range []uint16{0, 1232} {
		query := new(dns.Msg).SetQuestion(dns.Fqdn(largeName), dns.TypeA)
		if size > 0 {
			query.SetEdns0(size, false)
		}
		var reply *dns.Msg
		err := node.Do(func() (err error) {
			reply, _, err = (&dns.Client{UDPSize: 4096}).Exchange(query, w.Resolver().String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		reply.Compress = true // as it came
		if limit := max(int(size), dns.MinMsgSize); !reply.Truncated || reply.Len() > limit {
			t.Errorf("by UDP of %d bytes: truncated %t, %d bytes", size, reply.Truncated, reply.Len())
		}
	}
	reply := ask(t, node, "tcp", w.Resolver().String(), largeName, dns.TypeA)
	if reply.Truncated || len(reply.Answer) != largeCount {
		t.Fatalf("by TCP: truncated %t, %d addresses", reply.Truncated, len(reply.Answer))
	}
	seen := map[string]bool{}
	for _, rr := range reply.Answer {
		addr := rr.(*dns.A).A.String()
		if seen[addr] {
			t.Errorf("%s comes twice", addr)
		}
		seen[addr] = true
		conn, err := dialNode(t.Context(), node, "tcp", net.JoinHostPort(addr, "80"))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// TestMetadata: the world has the metadata service of a cloud, at its address alone.
func TestMetadata(t *testing.T) {
	node := newNode(t)
	w := startWorld(t, node, testConfig)
	c := client(t, node, w)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialNode(ctx, node, network, addr)
	}
	elsewhere := "http://" + addressOf(t, w, "example.com").String()
	for _, want := range []struct {
		url, body string
		status    int
	}{
		{"http://169.254.169.254/latest/meta-data/iam/security-credentials/", "node-role\n", http.StatusOK},
		{"http://169.254.169.254/latest/user-data", "", http.StatusNotFound},
		{elsewhere + "/latest/meta-data/", "simulated world", http.StatusOK},
	} {
		resp, err := c.Get(want.url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want.status || !strings.Contains(string(body), want.body) {
			t.Errorf("%s: %s %q, %v", want.url, resp.Status, body, err)
		}
	}
}
