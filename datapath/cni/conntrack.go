package cni

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// FlushConntrack deletes every connection that has one of addrs at either end, before
// or after translation, in the calling thread's network namespace.
func FlushConntrack(addrs ...netip.Addr) error {
	return FlushConntrackIf(func(f *conntrack.Flow) bool {
		for _, t := range []conntrack.Tuple{f.TupleOrig, f.TupleReply} {
			if slices.Contains(addrs, t.IP.SourceAddress) || slices.Contains(addrs, t.IP.DestinationAddress) {
				return true
			}
		}
		return false
	})
}

// FlushConntrackIf deletes the connections that match accepts.
func FlushConntrackIf(match func(*conntrack.Flow) bool) error {
	conn, err := conntrack.Dial(nil)
	if err != nil {
		return fmt.Errorf("open conntrack: %w", err)
	}
	defer conn.Close()
	flows, err := conn.Dump(nil)
	if err != nil {
		return fmt.Errorf("list conntrack entries: %w", err)
	}
	var errs []error
	for i := range flows {
		if !match(&flows[i]) {
			continue
		}
		if err := conn.Delete(flows[i]); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("delete conntrack entry %s: %w", flows[i].TupleOrig, err))
		}
	}
	return errors.Join(errs...)
}
