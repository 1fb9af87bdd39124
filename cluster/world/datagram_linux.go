package world

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of UDP: how long a flow without answers is kept, and how many there are.
const (
	udpIdle  = 60 * time.Second
	maxFlows = 1024
)

// udpFlow is one pod's conversation with one address outside. The inner socket
// has that address, so answers come from where the question went.
type udpFlow struct {
	inner, outer net.Conn
}

func (f *udpFlow) close() {
	_ = f.inner.Close()
	_ = f.outer.Close()
}

// readUDP sends each datagram on by its flow, making that when it is the first.
func (n *internet) readUDP(conn *net.UDPConn) error {
	buf, oob := make([]byte, 64<<10), make([]byte, 64)
	for {
		size, m, _, from, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		to, ok := sentTo(oob[:m])
		if !ok {
			continue
		}
		flow := n.flow(flowKey{from, to})
		if flow == nil {
			continue
		}
		// A datagram that cannot be sent is lost, as datagrams may be.
		_, _ = flow.outer.Write(buf[:size])
	}
}

// flow finds or makes a flow; nil when the outside refuses or there are too many.
func (n *internet) flow(key flowKey) *udpFlow {
	n.mu.Lock()
	defer n.mu.Unlock()
	if flow, ok := n.flows[key]; ok {
		return flow
	}
	if n.ctx.Err() != nil || len(n.flows) >= maxFlows {
		return nil
	}
	outer, err := n.out.Dial(n.ctx, "udp", key.to.String())
	if err != nil {
		return nil
	}
	inner, err := n.link.dialFrom(n.ctx, key.to, key.from, transparent, reusable)
	if err != nil {
		_ = outer.Close()
		return nil
	}
	flow := &udpFlow{inner: inner, outer: outer}
	n.flows[key] = flow
	// The kernel gives a flow's further datagrams to the connected inner socket.
	n.wg.Go(func() { n.carry(key, flow, flow.inner, flow.outer) })
	n.wg.Go(func() { n.carry(key, flow, flow.outer, flow.inner) })
	return flow
}

// carry copies a flow's datagrams one way until the flow is idle, and ends it.
func (n *internet) carry(key flowKey, flow *udpFlow, from, to net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(udpIdle))
		size, err := from.Read(buf)
		if err != nil {
			break
		}
		_, _ = to.Write(buf[:size])
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.flows[key] == flow {
		delete(n.flows, key)
	}
	flow.close()
}

// sentTo reads the original destination out of a datagram's control messages.
func sentTo(oob []byte) (netip.AddrPort, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for _, m := range messages {
		switch {
		// struct sockaddr_in: family, port, address.
		case m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_ORIGDSTADDR && len(m.Data) >= 8:
			addr := netip.AddrFrom4([4]byte(m.Data[4:8]))
			return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m.Data[2:4])), true
		// struct sockaddr_in6: family, port, flow, address.
		case m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_ORIGDSTADDR && len(m.Data) >= 24:
			addr := netip.AddrFrom16([16]byte(m.Data[8:24]))
			return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m.Data[2:4])), true
		}
	}
	return netip.AddrPort{}, false
}
