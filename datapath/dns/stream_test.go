package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	streamCases = flag.Uint64("dns.cases", 20000, "how many connections TestStreams makes")
	streamSeed  = flag.Uint64("seed", 1, "where its random numbers begin")
)

// half is one direction of a connection, and pipe both: closing a direction lets
// the other end read what was written.
type pipe struct {
	net.Conn // none: what is not below is not called
	r        *io.PipeReader
	w        *io.PipeWriter
}

func newPipe() (a, b *pipe) {
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return &pipe{r: r1, w: w2}, &pipe{r: r2, w: w1}
}

func (p *pipe) Read(b []byte) (int, error)       { return p.r.Read(b) }
func (p *pipe) Write(b []byte) (int, error)      { return p.w.Write(b) }
func (p *pipe) Close() error                     { return errors.Join(p.w.Close(), p.r.Close()) }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// listener is a proxy of TCP without sockets: it keeps what is judged, and what
// goes to the server.
type listener struct {
	*Proxy
	mu        sync.Mutex
	allowed   []string
	events    int
	forwarded [][]byte
}

func newListener(ctx context.Context) *listener {
	l := &listener{}
	l.Proxy = newProxy(ctx, Config{Decider: l, Sink: l, Timeout: 10 * time.Second}.withDefaults(), nil, nil)
	l.dial = func(context.Context, string, netip.AddrPort, netip.AddrPort) (net.Conn, error) {
		near, far := newPipe()
		go l.answer(far)
		return near, nil
	}
	return l
}

func (l *listener) DecideDNS(_ verdict.Query, name string) verdict.Verdict {
	if strings.Contains(name, "private") {
		return verdict.Verdict{Action: verdict.Drop}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.allowed = append(l.allowed, name)
	return verdict.Verdict{Action: verdict.Allow}
}

func (l *listener) LearnDNS(context.Context, netip.Addr, verdict.Answer) error { return nil }

func (l *listener) Publish(e verdict.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Action == verdict.Allow && !e.DNS.Response {
		l.events++
	}
}

// answer is the server: it keeps each message and answers it.
func (l *listener) answer(c *pipe) {
	defer c.Close()
	for {
		raw, err := readMessage(c)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.forwarded = append(l.forwarded, raw)
		l.mu.Unlock()
		answer := bytes.Clone(raw)
		answer[2] |= 0x80
		if err := writeMessage(c, answer); err != nil {
			return
		}
	}
}

// play sends what one client says and returns what is wrong with what became of
// it, and how many questions went to the server.
func (l *listener) play(pieces ...[]byte) (forwarded int, faults []string) {
	near, far := newPipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.serveConn(far, netip.AddrPortFrom(clientAddr, 1), netip.AddrPortFrom(serverAddr, 53))
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, near.r)
	}()
	for _, p := range pieces {
		if _, err := near.Write(p); err != nil {
			break // the proxy has had enough
		}
	}
	_ = near.w.Close()
	<-done
	_ = near.r.Close()
	<-drained
	l.mu.Lock()
	defer l.mu.Unlock()
	faults = l.faults()
	forwarded = len(l.forwarded)
	l.allowed, l.forwarded, l.events = nil, nil, 0
	return forwarded, faults
}

// faults compares what was judged with what two libraries read of what the server
// got.
func (l *listener) faults() (out []string) {
	if len(l.forwarded) != len(l.allowed) || len(l.allowed) != l.events {
		out = append(out, fmt.Sprintf("allowed %q, %d flows, %d messages to the server", l.allowed, l.events, len(l.forwarded)))
	}
	for i, raw := range l.forwarded[:min(len(l.forwarded), len(l.allowed))] {
		judged := l.allowed[i]
		var m dns.Msg
		if err := m.Unpack(raw); err != nil || len(m.Question) != 1 || dns.CanonicalName(m.Question[0].Name) != judged {
			out = append(out, fmt.Sprintf("judged %q, one library reads %v, %v in %q", judged, m.Question, err, raw))
			continue
		}
		var p dnsmessage.Parser
		if _, err := p.Start(raw); err != nil {
			out = append(out, fmt.Sprintf("judged %q, the other library reads nothing in %q: %v", judged, raw, err))
			continue
		}
		// Where a label has odd characters, only the first library has an escape.
		qs, err := p.AllQuestions()
		if err != nil || len(qs) != 1 || lower(qs[0].Name.String()) != unescape(judged) {
			out = append(out, fmt.Sprintf("judged %q, the other library reads %v, %v in %q", judged, qs, err, raw))
		}
		if again, err := m.Pack(); err != nil || !bytes.Equal(again, raw) {
			out = append(out, fmt.Sprintf("more than was judged: %q", raw))
		}
	}
	return out
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// unescape is a name of the first library's in plain bytes.
func unescape(name string) string {
	var out []byte
	for i := 0; i < len(name); i++ {
		if name[i] != '\\' {
			out = append(out, name[i])
			continue
		}
		if n, err := strconv.ParseUint(name[i+1:min(i+4, len(name))], 10, 8); err == nil && i+3 < len(name) {
			out = append(out, byte(n))
			i += 3
			continue
		}
		i++
		out = append(out, name[i])
	}
	return string(out)
}

// grammar makes what clients send.
type grammar struct{ *rand.Rand }

func (g grammar) chance(percent int) bool { return g.IntN(100) < percent }

func one[T any](g grammar, of ...T) T { return of[g.IntN(len(of))] }

// connection is a few messages, each behind its length.
func (g grammar) connection() (pieces [][]byte) {
	var b []byte
	for range 1 + g.IntN(5) {
		m := g.message(g.IntN(4))
		size := len(m)
		if g.chance(8) {
			size = max(0, size+one(g, -1, 1, -g.IntN(20), g.IntN(20), -size))
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(size)), m...)
	}
	for len(b) > 1 && g.chance(25) {
		at := 1 + g.IntN(len(b)-1)
		pieces, b = append(pieces, b[:at]), b[at:]
	}
	return append(pieces, b)
}

// message is a question with some faults.
func (g grammar) message(faults int) []byte {
	id, flags := uint16(g.IntN(1<<16)), one[uint16](g, 0x0100, 0x0100, 0x0120, 0, 0x0110)
	counts := [4]uint16{1}
	name := g.name()
	tail := binary.BigEndian.AppendUint16(nil, one[uint16](g, 1, 28, 5, 255, 65, 6))
	tail = binary.BigEndian.AppendUint16(tail, one[uint16](g, 1, 1, 1, 3, 255))
	if g.chance(40) {
		counts[3]++
		options := g.options()
		tail = append(append(tail, 0, 0, 41, 4, 208, 0, 0, one[byte](g, 0, 128), 0, 0, byte(len(options))), options...)
	}
	for range faults {
		switch g.IntN(8) {
		case 0: // a name that ends elsewhere
			to := one(g, 0, 1, 2, 4, 10, headerSize, headerSize+1, headerSize+len(name)-1, headerSize+len(name), headerSize+len(name)+4, 1<<14-1)
			name = append(slices.Clone(name[:len(name)-1]), 0xc0|byte(to>>8), byte(to))
		case 1: // bytes of a name in the header
			id = one[uint16](g, 0x0161, 0x0261, 0x0000, 0x076f, 0xc002)
			flags = one[uint16](g, 0x0100, 0x0000, 0x0161, 0x0063)
		case 2:
			counts[g.IntN(4)] = one[uint16](g, 0, 1, 2, 65535)
		case 3:
			flags ^= 1 << g.IntN(16)
		case 4:
			tail = append(tail, g.name()...)
			if g.chance(50) {
				counts[0]++
				tail = append(tail, 0, 1, 0, 1)
			}
		case 5:
			at := g.IntN(len(name))
			name = slices.Clone(name)
			name[at] = one(g, 0, 0x40, 0x80, 0xc0, '.', '\\', 63, 64, byte(g.IntN(256)))
		case 6: // a record of another name
			counts[1+g.IntN(3)]++
			tail = append(append(tail, g.name()...), 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4)
		case 7:
			tail = tail[:g.IntN(len(tail)+1)]
		}
	}
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, id), flags)
	for _, n := range counts {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return append(append(b, name...), tail...)
}

// options are those of EDNS0.
func (g grammar) options() (b []byte) {
	for range one(g, 0, 0, 0, 1, 2, 3) {
		size := g.IntN(16)
		b = append(b, 0, one(g, byte(3), 5, 8, 9, 10, 11, 12, 13, 15, 18, byte(g.IntN(256))), 0, byte(max(0, size+one(g, 0, 0, 0, 1, -1))))
		for range size {
			b = append(b, one(g, byte(0), 1, 2, 24, byte(g.IntN(256))))
		}
	}
	return b
}

// name is one on the wire.
func (g grammar) name() (b []byte) {
	for range g.IntN(5) {
		label := one(g, "a", "www", "private", "PRIVATE", "Allowed", "test", "_dns", "x y", "a.private", "pri\\118ate", "\x00", "\xff", "*", strings.Repeat("l", 63), "xn--4ca")
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// TestStreams has clients say over TCP what a grammar makes. What the server gets
// is what was judged, for one library that reads DNS and for another, in number
// and in order.
func TestStreams(t *testing.T) {
	l := newListener(t.Context())
	forwarded, through := 0, 0
	start := time.Now()
	for n := range *streamCases {
		pieces := grammar{rand.New(rand.NewPCG(*streamSeed, n))}.connection()
		got, faults := l.play(pieces...)
		forwarded += got
		if got > 0 {
			through++
		}
		for _, f := range faults {
			t.Errorf("seed %d, case %d: %s\n%q", *streamSeed, n, f, pieces)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("seed %d: %d connections in %v, of which %.1f %% got a question through, %d questions in all",
		*streamSeed, *streamCases, time.Since(start).Round(time.Second), 100*float64(through)/float64(*streamCases), forwarded)
	if uint64(through)*10 < *streamCases*3 {
		t.Errorf("%d of %d connections got a question through: fewer than 30 %% test little", through, *streamCases)
	}
}

// FuzzStream is the same for whatever bytes a client sends.
func FuzzStream(f *testing.F) {
	for n := range uint64(40) {
		f.Add(slices.Concat(grammar{rand.New(rand.NewPCG(1, n))}.connection()...))
	}
	l := newListener(f.Context())
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, faults := l.play(b); len(faults) > 0 {
			t.Errorf("%q", faults)
		}
	})
}
