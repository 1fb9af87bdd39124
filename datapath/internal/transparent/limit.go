package transparent

import (
	"net/netip"
	"sync"
)

// Limit bounds how many connections a proxy has, in all and of one address, so
// that no client keeps the others out.
type Limit struct {
	Total, PerAddr int

	mu    sync.Mutex // guards what follows
	total int
	addrs map[netip.Addr]int
}

// Take counts a connection; false means that it is one too many.
func (l *Limit) Take(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.Total || l.addrs[a] >= l.PerAddr {
		return false
	}
	if l.addrs == nil {
		l.addrs = map[netip.Addr]int{}
	}
	l.total++
	l.addrs[a]++
	return true
}

// Give ends what Take counted.
func (l *Limit) Give(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.addrs[a]--; l.addrs[a] == 0 {
		delete(l.addrs, a)
	}
}
