package service

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/ti-mo/conntrack"
	"github.com/ti-mo/netfilter"
)

// flowCleaner ends connections without a handshake that go on to endpoints that
// are no more: a UDP client keeps its port, and with it the connection's old
// translation, for as long as it keeps asking. Not safe for concurrent use.
type flowCleaner struct {
	conn   *conntrack.Conn
	family netfilter.ProtoFamily
	have   map[frontend][]netip.AddrPort
}

// newFlowCleaner cleans the connections of an address's family.
func newFlowCleaner(of netip.Addr) (*flowCleaner, error) {
	conn, err := conntrack.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("open conntrack: %w", err)
	}
	family := netfilter.ProtoIPv4
	if of.Is6() {
		family = netfilter.ProtoIPv6
	}
	return &flowCleaner{conn: conn, family: family}, nil
}

// clean removes the connections to frontends of UDP and SCTP whose endpoint is
// none of those that serve now. It looks only when one of them lost an
// endpoint, came or went.
func (c *flowCleaner) clean(want *state) error {
	now := map[frontend][]netip.AddrPort{}
	look := false
	for f, t := range want.frontends {
		if f.proto == protoTCP {
			continue
		}
		now[f] = t.serving
		before, known := c.have[f]
		look = look || !known || slices.ContainsFunc(before, func(b netip.AddrPort) bool { return !slices.Contains(t.serving, b) })
	}
	was := c.have
	for f := range was {
		if _, ok := now[f]; !ok {
			look = true
		}
	}
	c.have = now
	if !look {
		return nil
	}
	// Only those that were confirmed are listed.
	flows, err := c.conn.DumpFilter(conntrack.NewFilter().Family(c.family), nil)
	if err != nil {
		return fmt.Errorf("list connections: %w", err)
	}
	var errs []error
	for _, f := range flows {
		at := frontend{f.TupleOrig.IP.DestinationAddress, f.TupleOrig.Proto.DestinationPort, f.TupleOrig.Proto.Protocol}
		serving, ours := now[at]
		if _, before := was[at]; !ours && !before {
			continue
		}
		to := netip.AddrPortFrom(f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort)
		if slices.Contains(serving, to) {
			continue
		}
		if err := c.conn.Delete(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("delete connection to %s: %w", to, err))
		}
	}
	return errors.Join(errs...)
}

func (c *flowCleaner) close() error { return c.conn.Close() }
