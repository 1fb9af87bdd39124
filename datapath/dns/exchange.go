package dns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// IP protocol numbers, as in verdict.Query.
const (
	protoTCP uint8 = 6
	protoUDP uint8 = 17
)

// asker sends a question with that ID to the server and returns the raw answer
// to it, unpacked as well.
type asker func(ctx context.Context, q *question, id uint16) ([]byte, *dns.Msg, error)

// exchange has one question judged and answered. Nil means that the client gets
// no answer: it asked nothing, or the server said nothing.
func (p *Proxy) exchange(proto uint8, client, server netip.AddrPort, raw []byte, ask asker) []byte {
	q, refusal, err := parseQuestion(raw)
	if err != nil {
		p.cfg.Logger.Debug("DNS message refused", "client", client, "server", server, "err", err)
		return refusal
	}
	query := verdict.Query{
		Src: client.Addr(), SrcPort: client.Port(),
		Dst: server.Addr(), DstPort: server.Port(), Proto: proto,
	}
	v := p.cfg.Decider.DecideDNS(query, q.name())
	denied := v.Action == verdict.Drop
	if denied && v.Reason == verdict.ReasonNone {
		v.Reason = verdict.ReasonL7
	}
	p.publish(query, v, verdict.DNS{Name: q.name(), Type: q.qtype()})
	if denied {
		return q.respond(p.cfg.DenyCode)
	}

	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.Timeout)
	defer cancel()
	seen := verdict.DNS{Name: q.name(), Type: q.qtype(), Response: true}
	start := time.Now()
	answer, msg, err := ask(ctx, &q, uint16(rand.Uint32()))
	seen.Latency = time.Since(start)
	if err != nil {
		if p.ctx.Err() != nil || isTimeout(err) {
			p.cfg.Logger.Debug("DNS server is silent", "server", server, "name", q.name(), "err", err)
			return nil
		}
		p.cfg.Logger.Debug("DNS server cannot be asked", "server", server, "name", q.name(), "err", err)
		return p.fail(&q, query, v, seen)
	}

	found := follow(msg, q.name())
	seen.RCode, seen.Addrs, seen.CNAMEs, seen.TTL = msg.Rcode, found.addrs, found.cnames, found.ttl
	if msg.Rcode == dns.RcodeSuccess && len(found.addrs) > 0 {
		learned := verdict.Answer{Name: q.name(), Addrs: found.addrs, TTL: seconds(found.ttl)}
		if err := p.cfg.Decider.LearnDNS(ctx, client.Addr(), learned); err != nil {
			p.cfg.Logger.Warn("DNS answer withheld", "name", q.name(), "err", err)
			seen.Addrs = nil
			return p.fail(&q, query, v, seen)
		}
	}
	p.publish(query, v, seen)
	return withID(answer, q.msg.Id)
}

func (p *Proxy) fail(q *question, query verdict.Query, v verdict.Verdict, seen verdict.DNS) []byte {
	seen.RCode = dns.RcodeServerFailure
	p.publish(query, v, seen)
	return q.respond(dns.RcodeServerFailure)
}

func (p *Proxy) publish(q verdict.Query, v verdict.Verdict, d verdict.DNS) {
	p.cfg.Sink.Publish(verdict.Event{Time: time.Now(), Query: q, Verdict: v, DNS: &d})
}

// askUDP asks over a socket of its own, whose random port, beside the ID, a
// forger has to guess. Whatever else arrives there is passed over.
func (p *Proxy) askUDP(client, server netip.AddrPort) asker {
	return func(ctx context.Context, q *question, id uint16) ([]byte, *dns.Msg, error) {
		c, err := p.dial(ctx, "udp", client, server)
		if err != nil {
			return nil, nil, fmt.Errorf("dial %s: %w", server, err)
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
		if _, err := c.Write(withID(q.out, id)); err != nil {
			return nil, nil, fmt.Errorf("send question: %w", err)
		}
		buf := p.buffers.Get().(*[]byte)
		defer p.buffers.Put(buf)
		for {
			n, err := c.Read(*buf)
			if err != nil {
				return nil, nil, fmt.Errorf("receive answer: %w", err)
			}
			m, err := q.answers((*buf)[:n], id)
			if err != nil {
				p.cfg.Logger.Debug("DNS answer passed over", "server", server, "err", err)
				continue
			}
			return append([]byte(nil), (*buf)[:n]...), m, nil
		}
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
