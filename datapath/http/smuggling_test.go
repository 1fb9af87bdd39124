package http

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	smugglingCases = flag.Uint64("smuggling.cases", 4000, "how many requests TestSmuggling sends")
	smugglingSeed  = flag.Uint64("seed", 1, "where its random numbers begin")
)

// smuggler is a proxy between made-up clients and several readers.
type smuggler struct {
	proxy   *Proxy
	clients *pairs
	readers []reader

	next atomic.Uint32
	mu   sync.Mutex
	runs map[netip.Addr]*run
}

// run is what became of one client's stream with one server.
type run struct {
	mu      sync.Mutex
	reader  reader
	version int
	judged  []ran
	allowed []bool
	events  []verdict.Event
	untold  map[string]bool // requests by their X-Request-Id
	ended   bool            // nothing of it goes on
	told    sync.WaitGroup  // until the flows tell of what was judged
	served  []*served

	answers []byte // what the client got
	quiet   bool   // the client had to end its stream for it to end
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func newSmuggler(t testing.TB, readers ...reader) *smuggler {
	t.Helper()
	s := &smuggler{clients: newPairs(), readers: readers, runs: map[netip.Addr]*run{}}
	var err error
	s.proxy, err = newProxy(t.Context(), Config{Decider: s, Sink: s}, s.clients)
	must(t, err)
	s.proxy.ends = func(c net.Conn) (client, server netip.AddrPort) {
		client = c.RemoteAddr().(*net.TCPAddr).AddrPort()
		return client, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 2}), client.Port())
	}
	s.proxy.dial = func(_ context.Context, client, _ netip.Addr, _ uint16) (net.Conn, error) {
		r := s.run(client)
		if r == nil { // HTTP/2 dials on when its client has gone
			return nil, net.ErrClosed
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		near, far, err := pair(netip.AddrPortFrom(client, uint16(len(r.served))))
		if err != nil {
			return nil, err
		}
		c := &served{pairConn: far}
		r.served = append(r.served, c)
		to := r.reader.http1
		if r.version == 2 {
			to = r.reader.http2
		}
		to.conns <- c
		return near, nil
	}
	s.proxy.serve()
	t.Cleanup(func() { must(t, s.proxy.Close()) })
	return s
}

func (s *smuggler) run(client netip.Addr) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[client]
}

// DecideHTTP judges by the policy of these tests, and changes headers as rules may.
func (s *smuggler) DecideHTTP(q verdict.Query, r *verdict.HTTPRequest) []verdict.Verdict {
	v := verdict.Verdict{Action: verdict.Allow, Direction: verdict.Ingress}
	ok := allows(r.Method, r.Path, r.Host, strings.Join(r.Header["X-Role"], ","))
	if !ok {
		v.Action = verdict.Drop
	}
	for _, name := range r.Header["X-Change"] {
		if values := map[string]string{
			"Content-Length": "0", "Transfer-Encoding": "chunked", "Connection": "X-Role", "Host": "evil.test", "Trailer": "X-Role", "Upgrade": websocket,
		}; values[name] != "" {
			r.Header[name] = append(r.Header[name], values[name])
		}
	}
	run := s.run(q.Src)
	if run == nil || !run.judge(r, ok) { // all that could carry the request has ended
		v.Action = verdict.Drop
	}
	return []verdict.Verdict{v}
}

// judge keeps what was judged, while somebody waits for it.
func (run *run) judge(r *verdict.HTTPRequest, ok bool) bool {
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.ended {
		return false
	}
	run.judged = append(run.judged, ran{method: r.Method, target: r.Path, host: r.Host, header: headerText(r.Header)})
	run.allowed = append(run.allowed, ok)
	if run.untold == nil {
		run.untold = map[string]bool{}
	}
	run.untold[http.Header(r.Header).Get("X-Request-Id")] = true
	run.told.Add(1)
	return true
}

func (s *smuggler) Publish(e verdict.Event) {
	run := s.run(e.Query.Src)
	if run == nil {
		return
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if id := http.Header(e.HTTP.Header).Get("X-Request-Id"); !e.HTTP.Response {
		if !run.untold[id] {
			return // it was judged when nobody waited any more
		}
		delete(run.untold, id)
		defer run.told.Done()
	}
	run.events = append(run.events, e)
}

// smugglerPatience is how long nothing may happen where something has to.
const smugglerPatience = 20 * time.Second

// pause is how long a client whose stream may have no end waits for answers.
const pause = 40 * time.Millisecond

// play sends a stream to one reader, until all of the connections have ended.
func (s *smuggler) play(st *stream, to reader) (*run, error) {
	r := &run{reader: to, version: st.version}
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], 10<<24|s.next.Add(1)&(1<<24-1))
	addr := netip.AddrFrom4(id)
	s.mu.Lock()
	s.runs[addr] = r
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.runs, addr)
		s.mu.Unlock()
	}()
	client, far, err := pair(netip.AddrPortFrom(addr, 1))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	s.clients.conns <- far
	for _, piece := range st.pieces {
		if _, err := client.Write(piece); err != nil {
			break // the proxy has refused the rest
		}
	}
	if err := r.listen(st, client); err != nil {
		return r, err
	}
	_ = client.Close()
	ends := []*pairConn{far}
	for i := 0; i < len(ends); i++ {
		select {
		case <-ends[i].closed:
		case <-time.After(smugglerPatience):
			return r, fmt.Errorf("connection %d has no end", i)
		}
		if i == 0 { // from then on the proxy dials no more
			r.mu.Lock()
			for _, c := range r.served {
				ends = append(ends, c.pairConn)
			}
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.told.Wait()
	return r, nil
}

// listen reads what the client gets, until the proxy ends the connection.
func (r *run) listen(st *stream, client *net.UnixConn) error {
	var got bytes.Buffer
	defer func() { r.answers = got.Bytes() }()
	finished := func() bool { return false }
	if st.version == 2 {
		finished = func() bool { return st.exact && ended2(got.Bytes()) >= streams2(st) }
	}
	buf := make([]byte, 16<<10)
	wait := smugglerPatience
	if st.open {
		wait = pause
	}
	for !finished() {
		_ = client.SetReadDeadline(time.Now().Add(wait))
		n, err := client.Read(buf)
		got.Write(buf[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && st.open && !r.quiet:
			r.quiet, wait = true, smugglerPatience
			_ = client.CloseWrite()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errors.New("the client's connection has no end")
		case err != nil:
			return nil
		}
	}
	return nil
}

// ended2 counts the HTTP/2 answers that have ended in what a client got, and
// streams2 the requests that it sent.
func ended2(b []byte) int {
	ended := map[uint32]bool{} // one that is reset has ended too
	f := http2.NewFramer(io.Discard, bytes.NewReader(b))
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return len(ended)
		}
		h := frame.Header()
		if h.Type == http2.FrameRSTStream || (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream) {
			ended[h.StreamID] = true
		}
	}
}

func streams2(st *stream) int { return ended2(st.bytes()[len(http2.ClientPreface):]) }

var executedHeader = regexp.MustCompile(`(?i)\nX-Executed: ([^\r\n]*)`)

// check holds what became of a stream against what was judged. It returns the
// requests that a server has executed.
func (r *run) check(st *stream) (executed []ran, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	r.mu.Lock()
	defer r.mu.Unlock()
	var allowed []ran
	for i, ok := range r.allowed {
		if ok {
			allowed = append(allowed, r.judged[i])
		}
	}
	for _, c := range r.served {
		c.mu.Lock()
		executed = append(executed, c.ran...)
		for _, odd := range c.odds {
			fault("the server was sent %s", odd)
		}
		c.mu.Unlock()
	}
	// Each request was judged, in this order; those of HTTP/2 have none.
	left := slices.Clone(allowed)
	for _, e := range executed {
		i := slices.IndexFunc(left, e.same)
		if i < 0 {
			fault("executed without a verdict: %v", e)
			continue
		}
		if st.version == 1 {
			left = left[i+1:]
		} else {
			left = slices.Delete(left, i, i+1)
		}
	}
	// The flows tell each: it was let through, and answered by the server.
	var told, answered []string
	for _, e := range r.events {
		switch executed := http.Header(e.HTTP.Header).Get("X-Executed"); {
		case !e.HTTP.Response && e.Action == verdict.Allow:
			told = append(told, e.HTTP.Method+" "+e.HTTP.URL)
		case e.HTTP.Response && executed != "":
			answered = append(answered, executed)
			text, _ := strconv.Unquote(executed)
			if method, target, _ := strings.Cut(text, " "); method != e.HTTP.Method || !strings.HasSuffix(e.HTTP.URL, target) {
				fault("the flow of %s %s has the answer to %s", e.HTTP.Method, e.HTTP.URL, executed)
			}
		}
	}
	if len(told) != len(allowed) {
		fault("%d requests were allowed, the flows tell of %q", len(allowed), told)
	}
	if len(answered) > len(executed) {
		fault("%d requests were answered, %d executed", len(answered), len(executed))
	}
	if st.version == 1 {
		var got []string
		for _, m := range executedHeader.FindAllSubmatch(r.answers, -1) {
			got = append(got, string(m[1]))
		}
		if len(got) > len(answered) || !slices.Equal(got, answered[:len(got)]) {
			fault("the client got answers to %q, the flows tell of %q", got, answered)
		}
	}
	if st.exact {
		r.exactly(st, executed, fault)
	}
	return executed, faults
}

// exactly holds that nothing that is in order is lost.
func (r *run) exactly(st *stream, executed []ran, fault func(string, ...any)) {
	key := func(x ran) string { return fmt.Sprintf("%s %s %s %q", x.method, x.target, x.host, x.body) }
	var got, want []string
	for _, x := range executed {
		got = append(got, key(x))
	}
	for _, x := range st.want {
		want = append(want, key(x))
	}
	if st.version == 2 {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		var codes []int
		for _, e := range r.events {
			codes = append(codes, e.HTTP.Code)
		}
		fault("a valid stream: executed %.300q, wanted %.300q; the flows tell of %v, the client got %.300q", got, want, codes, r.answers)
	}
}

// try sends a stream through the proxy to every reader and returns what they
// have executed, and what is wrong with it.
func (s *smuggler) try(st *stream) (executed []ran, faults []string) {
	var before []ran
	for i, to := range s.readers {
		r, err := s.play(st, to)
		if err != nil {
			return nil, []string{to.name + ": " + err.Error()}
		}
		got, wrong := r.check(st)
		for _, f := range wrong {
			faults = append(faults, to.name+": "+f)
		}
		// Two servers have read the same bodies, as far as the client let them.
		if i > 0 && st.version == 1 {
			for j := range min(len(got), len(before)) {
				if a, b := before[j], got[j]; a.whole && b.whole && a.target == b.target && a.method == b.method && a.body != b.body {
					faults = append(faults, fmt.Sprintf("%s and %s read different bodies: %v; %v", s.readers[0].name, to.name, a, b))
				}
			}
		}
		before = got
		executed = append(executed, got...)
	}
	return executed, faults
}

// TestSmuggling sends streams that a grammar makes through the proxy to servers
// with parsers of different makes. None executes a request that no verdict was
// given for, no more and in no other order than the flows tell, and whatever is
// valid reaches them all.
func TestSmuggling(t *testing.T) {
	s := newSmuggler(t, goReader(t), fastReader(t))
	var count struct{ streams, requests, forwarded, version2, spoiled, past, failed atomic.Uint64 }
	var workers sync.WaitGroup
	start := time.Now()
	for range 128 {
		workers.Go(func() {
			for count.requests.Load() < *smugglingCases && count.failed.Load() < 10 {
				n := count.streams.Add(1)
				st := newGrammar(*smugglingSeed, n).stream()
				executed, faults := s.try(st)
				for _, f := range faults {
					count.failed.Add(1)
					t.Errorf("seed %d, stream %d (%s, HTTP/%d): %s\n%.3000q", *smugglingSeed, n, st.kind, st.version, f, st.bytes())
				}
				// The request that ends a stream tells nothing of what was sent before it.
				executed = slices.DeleteFunc(executed, func(x ran) bool { return x.target == "/last" })
				count.requests.Add(uint64(st.sent))
				count.forwarded.Add(uint64(len(executed)))
				if st.version == 2 {
					count.version2.Add(uint64(st.sent))
				}
				if st.kind != "valid" {
					count.spoiled.Add(1)
					if len(executed) > 0 {
						count.past.Add(1)
					}
				}
			}
		})
	}
	workers.Wait()
	share := func(n, of uint64) float64 { return 100 * float64(n) / float64(max(1, of)) }
	requests, forwarded := count.requests.Load(), count.forwarded.Load()
	t.Logf("seed %d: %d requests in %d streams in %v, to %d servers each: %.1f %% by HTTP/2; %.1f %% of the requests were forwarded, and something of %.1f %% of the %d streams that are not valid",
		*smugglingSeed, requests, count.streams.Load(), time.Since(start).Round(time.Second), len(s.readers), share(count.version2.Load(), requests),
		share(forwarded, uint64(len(s.readers))*requests), share(count.past.Load(), count.spoiled.Load()), count.spoiled.Load())
	if 10*forwarded < 3*uint64(len(s.readers))*requests {
		t.Errorf("%d of %d requests were forwarded: fewer than 30 %% test little", forwarded, requests)
	}
}

// FuzzSmuggling is the same for whatever bytes a client sends.
func FuzzSmuggling(f *testing.F) {
	for n := range uint64(60) {
		st := newGrammar(1, n).stream()
		f.Add(st.bytes())
	}
	s := newSmuggler(f, goReader(f), fastReader(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > 64<<10 {
			return
		}
		st := &stream{pieces: [][]byte{b}, version: 1, kind: "fuzz", open: true}
		if bytes.HasPrefix(b, []byte(http2.ClientPreface)) {
			st.version = 2
		}
		_, faults := s.try(st)
		for _, fault := range faults {
			t.Errorf("%s", fault)
		}
	})
}
