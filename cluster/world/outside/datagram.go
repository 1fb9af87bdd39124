//go:build linux

package outside

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Datagrams cross a socket of packets with their other end's address in front: 16
// bytes, IPv4 mapped, and the port. So an empty one is no end of the stream.
const headLen = 18

// maxDatagram is the most that UDP carries, rounded up.
const maxDatagram = 64 << 10

func putHead(b []byte, at netip.AddrPort) {
	ip := at.Addr().As16()
	copy(b, ip[:])
	binary.BigEndian.PutUint16(b[16:], at.Port())
}

func head(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:]))
}

var errShort = errors.New("a datagram came without its address")

// relayDatagrams carries them between a UDP socket and a socket of packets until
// either ends, and closes both. With a peer the UDP socket is connected to that.
// Without one it answers those that sent to it, and sends to nobody else: from loopback
// it reaches whatever of this machine listens there.
func relayDatagrams(ctx context.Context, udp *net.UDPConn, packets *net.UnixConn, peer netip.AddrPort) {
	end := sync.OnceFunc(func() { _ = udp.Close(); _ = packets.Close() })
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var senders senders
	var wg sync.WaitGroup
	wg.Go(func() {
		defer end()
		buf := make([]byte, headLen+maxDatagram)
		for {
			n, from, err := udp.ReadFromUDPAddrPort(buf[headLen:])
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // what an ICMP message told; the next datagram may do better
				if peer.IsValid() {
					return
				}
				continue
			}
			if !peer.IsValid() {
				senders.add(from)
			}
			putHead(buf, from)
			if _, err := packets.Write(buf[:headLen+n]); err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		defer end()
		buf := make([]byte, headLen+maxDatagram)
		for {
			n, err := packets.Read(buf)
			if err != nil || n < headLen {
				return
			}
			// A datagram that cannot be sent is lost, as datagrams may be.
			if peer.IsValid() {
				_, _ = udp.Write(buf[headLen:n])
			} else if to := head(buf); senders.has(to) {
				_, _ = udp.WriteToUDPAddrPort(buf[headLen:n], to)
			}
		}
	})
	wg.Wait()
}

// mostSenders is how many senders are remembered at least, and half of the most.
const mostSenders = 4096

// senders are who sent to a socket last.
type senders struct {
	mu       sync.Mutex
	now, old map[netip.AddrPort]struct{} // now becomes old when it is full
}

func (s *senders) add(at netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || len(s.now) >= mostSenders {
		s.now, s.old = map[netip.AddrPort]struct{}{}, s.now
	}
	s.now[plain(at)] = struct{}{}
}

func (s *senders) has(at netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, now := s.now[plain(at)]
	_, old := s.old[plain(at)]
	return now || old
}

// plain is the one way to write an address, which crosses without its zone.
func plain(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// datagrams is the node's end: a connected UDP socket where remote is set, one that
// anybody may send to else. It is a net.Conn and a net.PacketConn.
type datagrams struct {
	*net.UnixConn
	local, remote netip.AddrPort
}

// buffers are for one datagram with its address each.
var buffers = sync.Pool{New: func() any { return new([headLen + maxDatagram]byte) }}

func (d *datagrams) LocalAddr() net.Addr  { return net.UDPAddrFromAddrPort(d.local) }
func (d *datagrams) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(d.remote) }

func (d *datagrams) Read(b []byte) (int, error) {
	n, _, err := d.ReadFrom(b)
	return n, err
}

func (d *datagrams) Write(b []byte) (int, error) { return d.write(b, d.remote) }

func (d *datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	in := buffers.Get().(*[headLen + maxDatagram]byte)
	defer buffers.Put(in)
	n, err := d.UnixConn.Read(in[:])
	if err != nil {
		return 0, nil, err
	}
	if n < headLen {
		return 0, nil, errShort
	}
	return copy(b, in[headLen:n]), net.UDPAddrFromAddrPort(head(in[:])), nil
}

func (d *datagrams) WriteTo(b []byte, to net.Addr) (int, error) {
	at, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("no UDP address")
	}
	return d.write(b, at.AddrPort())
}

func (d *datagrams) write(b []byte, to netip.AddrPort) (int, error) {
	out := buffers.Get().(*[headLen + maxDatagram]byte)
	defer buffers.Put(out)
	putHead(out[:], to)
	n := copy(out[headLen:], b)
	if _, err := d.UnixConn.Write(out[:headLen+n]); err != nil {
		return 0, err
	}
	return n, nil
}
