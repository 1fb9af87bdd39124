package world

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	nfq "github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"
)

// Bounds of connections on their way out.
const (
	maxAttempts = 1024             // more are dropped, as a busy router would
	acceptTime  = 30 * time.Second // from a made connection to its use
	headBytes   = 128              // of a packet that the gate reads
)

// refusedMark is on a SYN whose server refused: no proxy takes it, so the kernel
// answers with a reset.
const refusedMark = 1

// flowKey names a connection by its ends as the node sees them.
type flowKey struct {
	from, to netip.AddrPort
}

// gate holds the SYN of each connection until the outside has answered for its
// server, so that a pod sees what it would see there: a connection, a reset, or
// silence.
type gate struct {
	out   Outside
	queue *nfq.Nfqueue

	ctx    context.Context // ends the attempts; cancelled by close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards attempts
	attempts map[flowKey]*attempt
}

// attempt is a connection under way, or made and not yet taken by the proxy.
type attempt struct {
	conn   net.Conn
	expire *time.Timer
}

func newGate(l *link, out Outside) (*gate, error) {
	queue, err := nfq.Open(&nfq.Config{
		NetNS: l.ns.FD(), MaxQueueLen: maxAttempts, MaxPacketLen: headBytes,
		Copymode: nfq.NfQnlCopyPacket, AfFamily: unix.AF_INET,
	})
	if err != nil {
		return nil, fmt.Errorf("open the queue of connections to the outside: %w", err)
	}
	g := &gate{out: out, queue: queue, attempts: map[flowKey]*attempt{}}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	err = queue.RegisterWithErrorFunc(g.ctx, g.packet, func(error) int {
		if g.ctx.Err() != nil {
			return 1
		}
		return 0
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve connections to the outside: %w", err), g.close())
	}
	return g, nil
}

// packet takes one SYN from the kernel. It must not block.
func (g *gate) packet(a nfq.Attribute) int {
	if a.PacketID == nil || a.Payload == nil {
		return 0
	}
	id := *a.PacketID
	key, ok := parseSYN(*a.Payload)
	if !ok {
		g.verdict(id, nfq.NfDrop)
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.attempts[key]
	switch {
	case known != nil && known.conn != nil:
		g.verdict(id, nfq.NfAccept)
	case known != nil || len(g.attempts) >= maxAttempts:
		g.verdict(id, nfq.NfDrop) // the first one is still held
	default:
		g.attempts[key] = new(attempt)
		g.wg.Go(func() { g.dial(id, key) })
	}
	return 0
}

// dial asks the outside and lets the SYN go on accordingly.
func (g *gate) dial(id uint32, key flowKey) {
	conn, err := g.out.Dial(g.ctx, "tcp", key.to.String())
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		a := g.attempts[key]
		a.conn = conn
		a.expire = time.AfterFunc(acceptTime, func() {
			if conn := g.take(key); conn != nil {
				_ = conn.Close()
			}
		})
		g.verdict(id, nfq.NfAccept)
		return
	}
	delete(g.attempts, key)
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = g.queue.SetVerdictWithOption(id, nfq.NfAccept, nfq.WithMark(refusedMark))
		return
	}
	g.verdict(id, nfq.NfDrop)
}

// verdict lets a packet pass or go. A failure means that the queue is closing.
func (g *gate) verdict(id uint32, verdict int) { _ = g.queue.SetVerdict(id, verdict) }

// take hands over the outside's end of a connection that the proxy accepted;
// nil when there is none.
func (g *gate) take(key flowKey) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.attempts[key]
	if a == nil || a.conn == nil {
		return nil
	}
	a.expire.Stop()
	delete(g.attempts, key)
	return a.conn
}

func (g *gate) close() error {
	g.cancel()
	g.wg.Wait()
	g.mu.Lock()
	for _, a := range g.attempts {
		if a.conn != nil {
			a.expire.Stop()
			_ = a.conn.Close()
		}
	}
	clear(g.attempts)
	g.mu.Unlock()
	return g.queue.Close()
}

// parseSYN reads the ends out of an IP packet that holds a TCP header. One of IPv6
// with headers in between is none.
func parseSYN(packet []byte) (flowKey, bool) {
	if len(packet) < 20 {
		return flowKey{}, false
	}
	var head, source, size int // of the header, where its addresses begin, and theirs
	var next byte
	switch packet[0] >> 4 {
	case 4:
		head, source, size, next = int(packet[0]&0xf)*4, 12, 4, packet[9]
	case 6:
		head, source, size, next = 40, 8, 16, packet[6]
	}
	if next != unix.IPPROTO_TCP || head < source+2*size || len(packet) < head+4 {
		return flowKey{}, false
	}
	end := func(addr, port int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(packet[addr : addr+size])
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(packet[port:]))
	}
	return flowKey{from: end(source, head), to: end(source+size, head+2)}, true
}
