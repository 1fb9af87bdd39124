package sni

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/accept/accepttest"
)

// judge allows one name, and keeps those that were asked for.
type judge struct {
	mu    sync.Mutex
	names []string
	told  []verdict.Event
}

func (j *judge) DecideTLS(_ verdict.Query, name string) []verdict.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.names = append(j.names, name)
	v := verdict.Verdict{Action: verdict.Allow, Direction: verdict.Egress}
	if name != "kubernetes.io" {
		v.Action, v.Reason = verdict.Drop, verdict.ReasonL7
	}
	return []verdict.Verdict{v}
}

func (j *judge) Publish(e verdict.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.told = append(j.told, e)
}

func (j *judge) asked() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.names)
}

func start(t *testing.T, server string) (*judge, *Proxy) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	j := &judge{}
	p, err := newProxy(t.Context(), Config{Decider: j, Sink: j}, ln)
	must(t, err)
	p.ends = func(c net.Conn) (netip.AddrPort, netip.AddrPort) {
		client, _ := transparent.Ends(c)
		return client, netip.MustParseAddrPort(server)
	}
	p.wg.Go(p.serve)
	t.Cleanup(func() { must(t, p.Close()) })
	return j, p
}

func TestNames(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, bytes.NewReader(make([]byte, 1<<20)))
	}))
	defer server.Close()
	j, p := start(t, server.Listener.Addr().String())
	for _, c := range []struct {
		name    string
		allowed bool
	}{{"kubernetes.io", true}, {"Kubernetes.IO", true}, {"cilium.io", false}, {"", false}} {
		conn, err := net.Dial("tcp4", p.Addr().String())
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		client := tls.Client(conn, &tls.Config{ServerName: c.name, InsecureSkipVerify: true})
		err = client.Handshake()
		if (err == nil) != c.allowed {
			t.Errorf("%q: %v", c.name, err)
		}
		if c.allowed {
			req, err := http.NewRequest(http.MethodGet, "https://"+c.name, http.NoBody)
			must(t, err)
			resp, err := (&http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}).RoundTrip(req)
			must(t, err)
			body, err := io.ReadAll(resp.Body)
			if err != nil || len(body) != 1<<20 {
				t.Errorf("%q: %d bytes, %v", c.name, len(body), err)
			}
			_ = resp.Body.Close()
		} else if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %v, want a reset", c.name, err)
		}
		_ = conn.Close()
	}
	if got := j.asked(); !slices.Equal(got, []string{"kubernetes.io", "kubernetes.io", "cilium.io", ""}) {
		t.Errorf("asked for %q", got)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.told[2]; e.TLS == nil || e.TLS.ServerName != "cilium.io" || e.Action != verdict.Drop {
		t.Errorf("told %+v", e)
	}
}

func TestNoTLS(t *testing.T) {
	j, p := start(t, "127.0.0.1:1")
	for _, first := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05abcde", "\x00\x00\x00\x00\x00\x00"} {
		conn, err := net.Dial("tcp4", p.Addr().String())
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(conn, first)
		must(t, err)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %v, want a reset", first, err)
		}
		_ = conn.Close()
	}
	if got := j.asked(); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("asked for %q", got)
	}
}

// hello is a client's first message for a name.
func hello(t testing.TB, name string) []byte {
	t.Helper()
	a, b := net.Pipe()
	go func() { _ = tls.Client(a, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() }()
	buf := make([]byte, 8192)
	n, err := b.Read(buf)
	must(t, err)
	_ = b.Close()
	return buf[:n]
}

// The message may come in any pieces, and in several records.
func TestPieces(t *testing.T) {
	whole := hello(t, "kubernetes.io")
	body := whole[5:]
	var records []byte
	for len(body) > 0 {
		n := min(7, len(body))
		records = append(append(records, 0x16, 3, 1, 0, byte(n)), body[:n]...)
		body = body[n:]
	}
	for _, message := range [][]byte{whole, records} {
		for _, size := range []int{1, 3, 100, len(message)} {
			a, b := net.Pipe()
			go func() {
				for rest := message; len(rest) > 0; {
					n := min(size, len(rest))
					if _, err := a.Write(rest[:n]); err != nil {
						return
					}
					rest = rest[n:]
				}
			}()
			name, read, err := readHello(b)
			if err != nil || name != "kubernetes.io" || !bytes.Equal(read, message) {
				t.Errorf("in pieces of %d: %q, %d of %d bytes, %v", size, name, len(read), len(message), err)
			}
			_ = a.Close()
		}
	}
}

// FuzzHello holds that whatever a client sends first is passed on unchanged, or
// not at all, and that a name is one that the client sent.
func FuzzHello(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add(hello(f, "kubernetes.io"))
	f.Fuzz(func(t *testing.T, in []byte) {
		name, read, err := readHello(said{Reader: bytes.NewReader(in)})
		if err != nil {
			return
		}
		if !bytes.HasPrefix(in, read) {
			t.Errorf("%d bytes are not those that were sent", len(read))
		}
		if !bytes.Contains(bytes.ToLower(read), []byte(name)) && len(read) < 1<<14 {
			// Over several records a name may be torn.
			if bytes.Count(read, []byte{0x16, 3}) < 2 {
				t.Errorf("nobody sent the name %q", name)
			}
		}
	})
}

// said is a connection on which a client has said something and hung up.
type said struct {
	net.Conn
	io.Reader
}

func (s said) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s said) SetWriteDeadline(time.Time) error { return nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Want of descriptors is waited for, and does not use a processor up.
func TestNoDescriptorLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(accepttest.Starved)
		p, err := newProxy(t.Context(), Config{Decider: new(judge), Sink: new(judge)}, s)
		must(t, err)
		p.wg.Go(p.serve)
		time.Sleep(time.Minute)
		s.End()
		p.wg.Wait()
		if s.Tries < 50 || s.Tries > 100 {
			t.Errorf("%d tries in a minute", s.Tries)
		}
	})
}
