package world

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	cases := []struct {
		in   string
		want []string
	}{
		{"cilium.io", []string{"cilium.io"}},
		{" WWW.Cilium.IO. ", []string{"www.cilium.io"}},
		{"*.cilium.io", []string{"cilium.io", "www.cilium.io"}},
		{"**.cilium.io", []string{"cilium.io", "www.cilium.io"}},
		{"sub*.cilium.io", []string{"sub.cilium.io"}},
		{"*cilium.io", []string{"cilium.io"}},
		{"*", nil},
		{"backend", nil},
		{"kubernetes.default.svc.cluster.local", nil},
		{"*.cluster.local", nil},
		{"1.0.0.10.in-addr.arpa", nil},
	}
	for _, c := range cases {
		t.Run(c.in, func(t *testing.T) {
			got, err := expand(c.in)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	for _, bad := range []string{"https://cilium.io", "cilium.io:443", "cilium..io", "a b.io", strings.Repeat("a", 64) + ".io", strings.Repeat("abc.", 64) + "io"} {
		t.Run("bad "+bad, func(t *testing.T) {
			got, err := expand(bad)
			var nameErr *NameError
			if !errors.As(err, &nameErr) || nameErr.Cure() == "" {
				t.Errorf("got %q, %v; want a NameError", got, err)
			}
		})
	}
}

// TestAddressesWithin: a world on a network of others keeps to its part of it, and
// gives each name a network of its own all the same.
func TestAddressesWithin(t *testing.T) {
	within := netip.MustParsePrefix("172.18.128.0/17")
	p := newPicker(7, netip.MustParsePrefix("172.18.0.3/32"))
	p.within = within
	seen := map[netip.Prefix]string{}
	for i := range 60 {
		name := fmt.Sprintf("name-%d.test", i)
		addr, err := p.addr(name)
		if err != nil {
			t.Fatal(err)
		}
		last := addr.As4()[3]
		if !within.Contains(addr) || last == 0 || last == 255 || seen[network(addr, narrow)] != "" {
			t.Errorf("%s has %s", name, addr)
		}
		seen[network(addr, narrow)] = name
	}
}

// TestSmallNetwork: in a network that has less networks than there are names, each
// name has an address of its own all the same.
func TestSmallNetwork(t *testing.T) {
	p := newPicker(7)
	p.within = netip.MustParsePrefix("192.168.120.0/21")
	had := map[netip.Addr]bool{}
	for i := range 200 {
		addr, err := p.addr(fmt.Sprintf("name-%d.example.com", i))
		if err != nil {
			t.Fatal(err)
		}
		if had[addr] || !p.within.Contains(addr) {
			t.Errorf("%s a second time, or outside of %s", addr, p.within)
		}
		had[addr] = true
	}
}

func TestAddresses(t *testing.T) {
	names := func(seed uint64) map[string]netip.Addr {
		b := newBook(newPicker(seed, netip.MustParsePrefix("44.0.0.0/8")), false)
		for _, name := range append(defaultNames, "a.test", "b.test", "one.one.one.one") {
			if _, _, err := b.add(name); err != nil {
				t.Fatal(err)
			}
		}
		return b.addrs
	}
	first, again, other := names(1), names(1), names(2)
	inUse, firsts, moved := map[netip.Prefix]string{}, map[byte]bool{}, 0
	for name, addr := range first {
		if again[name] != addr {
			t.Errorf("%s: %s, then %s for the same seed", name, addr, again[name])
		}
		if other[name] != addr {
			moved++
		}
		if was, ok := inUse[network(addr, wide)]; ok {
			t.Errorf("%s and %s share %s", name, was, network(addr, wide))
		}
		inUse[network(addr, wide)] = name
		firsts[addr.As4()[0]] = true
		for _, special := range []string{"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
			"172.16.0.0/12", "192.0.0.0/16", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
			"224.0.0.0/3", "44.0.0.0/8"} {
			if netip.MustParsePrefix(special).Contains(addr) {
				t.Errorf("%s has %s, within %s", name, addr, special)
			}
		}
	}
	if len(firsts) < 8 {
		t.Errorf("all addresses lie in %d networks of /8", len(firsts))
	}
	if want := len(first) - len(fixedNames); moved < want*9/10 {
		t.Errorf("only %d of %d addresses differ with the seed", moved, want)
	}
}

// The order in which names come must not move the ones that were there.
func TestAddressKeeps(t *testing.T) {
	b := newBook(newPicker(3), false)
	before, fresh, err := b.add("cilium.io")
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	after, fresh, err := b.add("cilium.io")
	if err != nil || fresh || !slices.Equal(after, before) {
		t.Errorf("again: %s, new: %t, %v; want %s", after, fresh, err, before)
	}
}

// With IPv6 each name has a /48 of its own, and addresses given by number are its
// owner's too.
func TestAddressesOfBothFamilies(t *testing.T) {
	b := newBook(newPicker(4), true)
	seen := map[netip.Prefix]string{}
	for _, name := range append(defaultNames, "one.one.one.one", "dns.google") {
		addrs, fresh, err := b.add(name)
		if err != nil || !fresh || len(addrs) != 2 || !addrs[0].Is4() || !addrs[1].Is6() {
			t.Fatalf("%s has %v, %v", name, addrs, err)
		}
		if owner, _ := b.owner(addrs[1]); owner != name {
			t.Errorf("%s is %q's", addrs[1], owner)
		}
		net := network(addrs[1], 48)
		if was, ok := seen[net]; ok {
			t.Errorf("%s and %s share %s", name, was, net)
		}
		seen[net] = name
	}
	if fresh, err := b.addAddr(netip.MustParseAddr("2001:db8:ffff::7")); !fresh || err != nil {
		t.Errorf("an address by its number: %t, %v", fresh, err)
	}
	for _, no := range []string{"fd00:77::1", "::1", "2a00::1"} {
		if _, err := b.addAddr(netip.MustParseAddr(no)); err == nil {
			t.Errorf("%s is served", no)
		}
	}
}

func TestAlias(t *testing.T) {
	b := newBook(newPicker(1), false)
	if _, _, err := b.add("target.test"); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{{"one.test", "two.test"}, {"two.test", "target.test"}, {"two.test", "target.test"}} {
		if err := b.alias(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	chain, addrs, exists := b.resolve("one.test")
	if want := []string{"one.test", "two.test", "target.test"}; !slices.Equal(chain, want) || len(addrs) != 1 || !exists {
		t.Errorf("one.test is %v, %s", chain, addrs)
	}
	if err := b.alias("three.test", "four.test"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, name, target string }{
		{"itself", "self.test", "self.test"},
		{"a circle", "four.test", "three.test"},
		{"a name with an address", "target.test", "one.test"},
	} {
		if err := b.alias(c.name, c.target); err == nil {
			t.Errorf("%s: %s for %s is accepted", c.what, c.target, c.name)
		}
	}
}

// A lab may invent more names than there are wide networks.
func TestManyNames(t *testing.T) {
	b := newBook(newPicker(5), false)
	for i := range 8000 {
		if _, _, err := b.add(fmt.Sprintf("n%d.many.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.owners) != 8000 {
		t.Errorf("8000 names have %d addresses", len(b.owners))
	}
}
