package world

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"sync"
)

// maxAliases bounds a chain of CNAMEs, so that a circle ends.
const maxAliases = 8

// defaultNames are served from the start: names that pages about network
// policies use. Each stands for itself; "www." is an own name.
var defaultNames = []string{
	"kubernetes.io", "www.kubernetes.io", "k8s.io",
	"cilium.io", "www.cilium.io",
	"example.com", "www.example.com",
	"example.org", "www.example.org",
	"github.com", "api.github.com", "raw.githubusercontent.com",
	"google.com", "www.google.com",
	"ebpf.io", "isovalent.com", "cncf.io", "www.cncf.io",
	"swapi.dev", "httpbin.org", "jsonplaceholder.typicode.com",
	"debian.org", "deb.debian.org", "pypi.org", "registry.npmjs.org",
	"wikipedia.org", "en.wikipedia.org", "api.twitter.com", "s3.amazonaws.com",
}

// defaultAliases are names behind a CNAME from the start, name to target.
var defaultAliases = map[string]string{
	"docs.cilium.io": "cilium-docs.netlify.app",
	"www.github.com": "github.com",
	"blog.ebpf.io":   "ebpf-blog.netlify.app",
}

// fixedNames have an address that pages write as a number. These addresses
// answer DNS as well.
var fixedNames = map[string]netip.Addr{
	"one.one.one.one": netip.AddrFrom4([4]byte{1, 1, 1, 1}),
	"dns.google":      netip.AddrFrom4([4]byte{8, 8, 8, 8}),
}

// fixedSix are the addresses of IPv6 of those that have fixed ones of IPv4.
var fixedSix = map[netip.Addr]netip.Addr{
	fixedNames["one.one.one.one"]: netip.MustParseAddr("2606:4700:4700::1111"),
	fixedNames["dns.google"]:      netip.MustParseAddr("2001:4860:4860::8888"),
}

// numbers are served too, and have no name: the public resolvers' second addresses,
// which pages and Cilium's connectivity test reach by number.
var numbers = []netip.Addr{
	netip.AddrFrom4([4]byte{1, 0, 0, 1}), netip.MustParseAddr("2606:4700:4700::1001"),
	netip.AddrFrom4([4]byte{8, 8, 4, 4}), netip.MustParseAddr("2001:4860:4860::8844"),
}

// largeName has so many addresses that its answer does not fit into a datagram of
// 512 bytes, nor of the 1232 that today's resolvers offer: they ask again by TCP.
const (
	largeName  = "large.example.com"
	largeCount = 100
)

// book is what the world knows of names. It is safe for concurrent use.
type book struct {
	mu      sync.RWMutex
	pick    *picker
	ipv6    bool                  // names have an address of IPv6 too
	addrs   map[string]netip.Addr // name → its own address of IPv4
	more    []netip.Addr          // of largeName, beside that one
	aliases map[string]string     // name → CNAME target
	owners  map[netip.Addr]string // address → the name that has it
	parents map[string]struct{}   // every name above a served one
}

func newBook(pick *picker, ipv6 bool) *book {
	return &book{
		pick:    pick,
		ipv6:    ipv6,
		addrs:   map[string]netip.Addr{},
		aliases: map[string]string{},
		owners:  map[netip.Addr]string{},
		parents: map[string]struct{}{},
	}
}

// both are the addresses that go with one of IPv4.
func (b *book) both(addr netip.Addr) []netip.Addr {
	if b.ipv6 {
		return []netip.Addr{addr, sixOf(addr)}
	}
	return []netip.Addr{addr}
}

// add gives name an address of each family unless it has one, or an alias. It
// tells the addresses and whether they are new.
func (b *book) add(name string) (addrs []netip.Addr, fresh bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if addr, ok := b.addrs[name]; ok {
		return b.both(addr), false, nil
	}
	if target, ok := b.aliases[name]; ok {
		return b.both(b.addrs[target]), false, nil
	}
	addr, ok := fixedNames[name]
	if !ok {
		if addr, err = b.pick.addr(name); err != nil {
			return nil, false, err
		}
	}
	b.put(name, addr)
	return b.both(addr), true, nil
}

// addLarge gives largeName its addresses. They are neighbours: one CIDR holds them.
func (b *book) addLarge() (fresh []netip.Addr, err error) {
	fresh, isNew, err := b.add(largeName)
	if err != nil || !isNew {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	first := b.addrs[largeName]
	for last := 1; last < 255 && len(b.more) < largeCount-1; last++ {
		four := first.As4()
		four[3] = byte(last)
		addr := netip.AddrFrom4(four)
		if _, used := b.owners[addr]; used || b.pick.avoided(addr) {
			continue
		}
		b.pick.take(addr)
		b.owners[addr] = largeName
		b.more = append(b.more, addr)
	}
	return append(fresh, b.more...), nil
}

// addAddr makes an address that is known by its number only be served.
func (b *book) addAddr(addr netip.Addr) (fresh bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.owners[addr]; ok {
		return false, nil
	}
	if err := b.pick.claim(addr, b.ipv6); err != nil {
		return false, err
	}
	b.owners[addr] = addr.String()
	return true, nil
}

// alias makes name a CNAME of target; both are known afterwards.
func (b *book) alias(name, target string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if was, ok := b.aliases[name]; ok && was == target {
		return nil
	}
	if _, ok := b.addrs[name]; ok {
		return fmt.Errorf("alias %s: the name has an address already", name)
	}
	next := target
	for range maxAliases {
		if next == name {
			return fmt.Errorf("alias %s: %s leads back to it", name, target)
		}
		further, ok := b.aliases[next]
		if !ok {
			break
		}
		next = further
	}
	b.aliases[name] = target
	b.note(name)
	return nil
}

// put records a name's address. The caller holds mu.
func (b *book) put(name string, addr netip.Addr) {
	b.addrs[name] = addr
	for _, a := range b.both(addr) {
		b.owners[a] = name
	}
	b.note(name)
}

// note records the names above name. The caller holds mu.
func (b *book) note(name string) {
	for {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return
		}
		b.parents[rest] = struct{}{}
		name = rest
	}
}

// resolve follows name to its addresses. chain is name and every CNAME target
// after it. Without addresses the chain is still what is known; exists tells a
// name without data from one that is not there.
func (b *book) resolve(name string) (chain []string, addrs []netip.Addr, exists bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	chain = []string{name}
	for range maxAliases {
		if addr, ok := b.addrs[name]; ok {
			addrs = b.both(addr)
			if name == largeName {
				addrs = append(addrs, b.more...)
			}
			return chain, addrs, true
		}
		target, ok := b.aliases[name]
		if !ok {
			break
		}
		chain = append(chain, target)
		name = target
	}
	_, above := b.parents[name]
	return chain, nil, above || len(chain) > 1
}

// owner names who has an address; false when nobody is served there.
func (b *book) owner(addr netip.Addr) (string, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	name, ok := b.owners[addr]
	return name, ok
}

// list returns every served name, sorted.
func (b *book) list() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := make([]string, 0, len(b.addrs)+len(b.aliases))
	for name := range b.addrs {
		names = append(names, name)
	}
	for name := range b.aliases {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// canonical is a name as the book keeps it: lower case, no trailing dot.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
}

// expand turns what a policy or a page may say into names to serve. A pattern
// gives examples of what it selects: "*.cilium.io" gives cilium.io and
// www.cilium.io, "sub*.cilium.io" gives sub.cilium.io. Names that the cluster
// itself answers (single labels, cluster.local, reverse zones) give nothing.
func expand(name string) ([]string, error) {
	name = canonical(name)
	rest, starred := name, false
	for _, prefix := range []string{"**.", "*."} {
		if r, ok := strings.CutPrefix(name, prefix); ok {
			rest, starred = r, true
			break
		}
	}
	rest = strings.TrimPrefix(strings.ReplaceAll(rest, "*", ""), ".")
	if inCluster(rest) {
		return nil, nil
	}
	if err := validName(rest); err != nil {
		return nil, err
	}
	if www := "www." + rest; starred && validName(www) == nil {
		return []string{rest, www}, nil
	}
	return []string{rest}, nil
}

func inCluster(name string) bool {
	if !strings.Contains(name, ".") {
		return true
	}
	for _, zone := range []string{"cluster.local", "in-addr.arpa", "ip6.arpa"} {
		if name == zone || strings.HasSuffix(name, "."+zone) {
			return true
		}
	}
	return false
}

// NameError is a text that is no DNS name.
type NameError struct {
	Name   string
	Reason string
}

func (e *NameError) Error() string { return fmt.Sprintf("%q is no DNS name: %s", e.Name, e.Reason) }

// Cure says how such a name must look.
func (e *NameError) Cure() string {
	return "write a host name such as www.example.com, without scheme, port or path"
}

func validName(name string) error {
	if len(name) > 253 {
		return &NameError{name, "longer than 253 characters"}
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 {
			return &NameError{name, "a label must have 1 to 63 characters"}
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return &NameError{name, fmt.Sprintf("%q is not allowed", c)}
			}
		}
	}
	return nil
}
