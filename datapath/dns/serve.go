package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/netdojo/netdojo/datapath/internal/transparent"
	"github.com/netdojo/netdojo/internal/accept"
)

// maxMessage is the size of the largest DNS message.
const maxMessage = 1<<16 - 1

func (p *Proxy) serveUDP() {
	buf, oob := make([]byte, maxMessage), make([]byte, 256)
	for {
		n, oobn, _, from, err := p.udp.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			p.cfg.Logger.Warn("DNS proxy cannot receive", "err", err)
			continue
		}
		client := netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		server, err := destination(oob[:oobn])
		if err != nil || server == p.Addr() {
			p.cfg.Logger.Debug("DNS packet came on its own", "client", client, "err", err)
			continue
		}
		if !p.slots.Take(client.Addr()) {
			continue
		}
		raw := append([]byte(nil), buf[:n]...)
		p.wg.Go(func() {
			defer p.slots.Give(client.Addr())
			answer := p.exchange(protoUDP, client, server, raw, p.askUDP(client, server))
			if answer == nil {
				return
			}
			if err := p.reply(client, server, answer); err != nil && p.ctx.Err() == nil {
				p.cfg.Logger.Warn("DNS answer cannot be sent", "client", client, "err", err)
			}
		})
	}
}

func (p *Proxy) serveTCP() {
	ln := accept.Steady(p.tcp)
	for {
		c, err := ln.Accept()
		if err != nil {
			if p.ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				p.cfg.Logger.Error("DNS proxy has ended for TCP: questions by it are dropped", "err", err)
			}
			return
		}
		client, server := transparent.Ends(c)
		if server == p.Addr() || !p.conns.Take(client.Addr()) {
			_ = c.Close()
			continue
		}
		p.wg.Go(func() {
			defer p.conns.Give(client.Addr())
			p.serveConn(c, client, server)
		})
	}
}

// serveConn answers the questions of one TCP connection in their order. They
// share one connection to the server.
func (p *Proxy) serveConn(c net.Conn, client, server netip.AddrPort) {
	defer c.Close()
	defer context.AfterFunc(p.ctx, func() { _ = c.Close() })()
	up := &upstream{proxy: p, client: client, server: server}
	defer up.close()
	for {
		_ = c.SetReadDeadline(time.Now().Add(p.cfg.Idle))
		raw, err := readMessage(c)
		if err != nil {
			return
		}
		answer := p.exchange(protoTCP, client, server, raw, up.ask)
		if answer == nil {
			return
		}
		_ = c.SetWriteDeadline(time.Now().Add(p.cfg.Idle))
		if err := writeMessage(c, answer); err != nil {
			return
		}
	}
}

// upstream is the connection to a TCP client's server, opened with the first
// question that is allowed. One goroutine uses it.
type upstream struct {
	proxy          *Proxy
	client, server netip.AddrPort
	conn           net.Conn
}

// ask opens the connection anew when the server has closed it since the last
// question, and only then: a fresh one that fails is an error.
func (u *upstream) ask(ctx context.Context, q *question, id uint16) ([]byte, *dns.Msg, error) {
	reused := u.conn != nil
	raw, m, err := u.try(ctx, q, id)
	if err != nil && reused && ctx.Err() == nil {
		raw, m, err = u.try(ctx, q, id)
	}
	return raw, m, err
}

func (u *upstream) try(ctx context.Context, q *question, id uint16) (raw []byte, m *dns.Msg, err error) {
	if u.conn == nil {
		if u.conn, err = u.proxy.dial(ctx, "tcp", u.client, u.server); err != nil {
			u.conn = nil
			return nil, nil, fmt.Errorf("dial %s: %w", u.server, err)
		}
	}
	defer func() {
		if err != nil {
			u.close()
		}
	}()
	conn := u.conn
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err := writeMessage(conn, withID(q.out, id)); err != nil {
		return nil, nil, fmt.Errorf("send question: %w", err)
	}
	if raw, err = readMessage(conn); err != nil {
		return nil, nil, fmt.Errorf("receive answer: %w", err)
	}
	if m, err = q.answers(raw, id); err != nil {
		return nil, nil, err
	}
	return raw, m, nil
}

func (u *upstream) close() {
	if u.conn != nil {
		_ = u.conn.Close()
		u.conn = nil
	}
}

// readMessage reads a message with its two bytes of length (RFC 1035, 4.2.2).
func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// writeMessage writes length and message in one piece.
func writeMessage(w io.Writer, raw []byte) error {
	if len(raw) > maxMessage {
		return fmt.Errorf("message of %d bytes is too long", len(raw))
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...))
	return err
}
