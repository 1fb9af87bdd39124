//go:build linux

package userns

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// claimPort of a range's last address is held by the cluster that has the range. No load
// balancer has that address, and any user may bind the port.
const claimPort = 7777

// ranges is how many ranges of 256 addresses are tried: all of 127.77.0.0/16.
const ranges = 256

// claim is the addresses that no other cluster of this machine listens on. Close it when
// the cluster has ended; the kernel does so for one that was killed.
type claim struct {
	got  []netip.Prefix
	held []net.PacketConn
}

// claimBalancers takes the ranges of IPv4 that are wanted, each 256 addresses of
// 127.77.0.0/16, or others in the place of those that another cluster has.
func claimBalancers(wanted []netip.Prefix) (*claim, error) {
	c := new(claim)
	for _, p := range wanted {
		if !p.Addr().Is4() {
			c.got = append(c.got, p)
			continue
		}
		if err := c.take(p); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func (c *claim) take(wanted netip.Prefix) error {
	at := wanted.Addr().As4()
	for range ranges {
		last := at
		last[3] = 255
		held, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(last), claimPort)))
		if err == nil {
			c.got = append(c.got, netip.PrefixFrom(netip.AddrFrom4(at), wanted.Bits()))
			c.held = append(c.held, held)
			return nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return &Problem{What: "take addresses for load balancers", Err: err, Fix: "run `netdojo doctor`: the loopback device must be up"}
		}
		at[2]++
	}
	return &Problem{What: "take addresses for load balancers: others have all of 127.77.0.0/16", Fix: "take a cluster down that you do not need"}
}

// Close gives the addresses back.
func (c *claim) Close() error {
	var errs []error
	for _, held := range c.held {
		errs = append(errs, held.Close())
	}
	return errors.Join(errs...)
}
