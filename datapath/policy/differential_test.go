package policy

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/api"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/oracle"
)

var (
	randomPairs = flag.Int("pairs", 5000, "how many random pairs of policies and connection TestDifferential judges")
	randomSeed  = flag.Uint64("seed", 1, "where its random numbers begin")
)

const connsPerSet = 50

// randomWorld is the cluster that random policies are judged in.
func randomWorld() *oracle.World {
	w := &oracle.World{
		Namespaces: map[string]map[string]string{
			"default": {"team": "red", "kubernetes.io/metadata.name": "default"},
			"second":  {"team": "blue", "kubernetes.io/metadata.name": "second"},
			"third":   {"kubernetes.io/metadata.name": "third"},
		},
		Names: map[string][]netip.Addr{
			"one.example.":    {netip.MustParseAddr("20.0.0.1"), netip.MustParseAddr("20.1.0.1")},
			"two.example.":    {netip.MustParseAddr("20.1.0.2")},
			"a.sub.example.":  {netip.MustParseAddr("20.1.0.2"), netip.MustParseAddr("30.0.0.1")},
			"nobody.example.": {netip.MustParseAddr("30.0.0.2")},
		},
		Groups: map[string]oracle.Group{
			"g1": {Labels: map[string]string{"role": "g1"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("20.1.0.0/16"), netip.MustParsePrefix("40.0.0.0/8")}},
			"g2": {Labels: map[string]string{"role": "g2"}, Prefixes: []netip.Prefix{netip.MustParsePrefix("20.0.0.0/8")}},
		},
		Node: nodeAddr, RemoteNode: netip.MustParseAddr("192.168.77.3"),
	}
	for _, a := range []string{"20.0.0.1", "20.0.0.9", "20.1.0.1", "20.1.0.2", "20.1.2.3", "30.0.0.1", "30.0.0.2", "40.1.1.1", "50.0.0.1"} {
		w.Outside = append(w.Outside, netip.MustParseAddr(a))
	}
	named := [][]oracle.Port{
		nil,
		{{Name: "http", Number: 80, Protocol: "TCP"}, {Name: "dns", Number: 53, Protocol: "UDP"}},
		{{Name: "http", Number: 8080, Protocol: "TCP"}},
	}
	if dual() {
		addDual(w)
	}
	i := 0
	for _, ns := range []string{"default", "second", "third"} {
		for _, app := range []string{"a", "b", "c", "d"} {
			p := oracle.Pod{
				Namespace: ns, Name: app, Labels: map[string]string{"app": app}, Addr: podAddr(i),
				Ports: named[i%3], Remote: i%5 == 4,
			}
			if dual() {
				p.Addr6 = netip.MustParseAddr(fmt.Sprintf("fd00:10:244::%x", 16+i))
			}
			if i%2 == 0 {
				p.Labels["tier"] = []string{"front", "back"}[i/2%2]
			}
			if i%3 == 0 {
				p.ServiceAccount = "robot"
			}
			w.Pods = append(w.Pods, p)
			i++
		}
	}
	return w
}

// addDual adds an outside of IPv6 to that of IPv4.
func addDual(w *oracle.World) {
	six := func(texts ...string) (out []netip.Addr) {
		for _, a := range texts {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	w.Node6, w.RemoteNode6 = nodeAddr6, netip.MustParseAddr("fd00:77::3")
	w.Outside = append(w.Outside, six("2001:db8::1", "2001:db8::9", "2001:db8:1::1", "2001:db8:1::2", "2001:db8:1:2::3", "2001:db9::1", "2a00::1")...)
	for name, addrs := range map[string][]netip.Addr{
		"one.example.": six("2001:db8::1", "2001:db8:1::1"), "two.example.": six("2001:db8:1::2"), "a.sub.example.": six("2001:db8:1::2", "2001:db9::1"),
	} {
		w.Names[name] = append(w.Names[name], addrs...)
	}
	g := w.Groups["g1"]
	g.Prefixes = append(g.Prefixes, netip.MustParsePrefix("2001:db8:1::/48"))
	w.Groups["g1"] = g
}

func randomWords(*oracle.World) oracle.Words {
	words := plainWords()
	if dual() {
		words.IPv6 = true
		words.CIDRs = append(words.CIDRs, "::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::2/128", "2001:db8:1:2::/64", "fd00:10:244::/112", "fd00:77::/64", "2001:db9::/32")
	}
	return words
}

func plainWords() oracle.Words {
	return oracle.Words{
		Namespaces: []string{"default", "second", "third"},
		Labels:     map[string][]string{"app": {"a", "b", "c", "d", "e"}, "tier": {"front", "back"}},
		Teams:      []string{"red", "blue", "green"}, Accounts: []string{"robot", "default"},
		Ports: []int{53, 80, 443, 8080, 9000}, PortNames: []string{"http", "dns", "metrics"},
		CIDRs:  []string{"0.0.0.0/0", "20.0.0.0/8", "20.1.0.0/16", "20.1.0.2/32", "30.0.0.0/8", "10.244.0.0/16", "192.168.77.0/24", "20.1.2.0/24"},
		Names:  []string{"one.example", "two.example", "*.example", "**.example", "a.sub.example", "*"},
		Groups: []string{"g1", "g2", "g3"}, Tiers: true,
	}
}

// fill tells an engine of a world.
func fill(t testing.TB, e *Engine, w *oracle.World) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(e.SetAPIServer(ctx, []netip.Addr{w.Node}))
	must(e.SetNode(ctx, "other", valid(w.RemoteNode, w.RemoteNode6)))
	for name, lbls := range w.Namespaces {
		must(e.SetNamespace(ctx, name, lbls))
	}
	for _, p := range w.Pods {
		pod := makePod(p.Namespace, p.Name)
		pod.Labels, pod.Spec.ServiceAccountName = p.Labels, p.ServiceAccount
		for _, port := range p.Ports {
			c := &pod.Spec.Containers[0]
			c.Ports = append(c.Ports, corev1.ContainerPort{Name: port.Name, ContainerPort: int32(port.Number), Protocol: corev1.Protocol(port.Protocol)})
		}
		if p.Remote {
			must(e.SetPeer(ctx, pod, valid(p.Addr, p.Addr6)...))
			continue
		}
		_, err := e.SetPod(ctx, pod, valid(p.Addr, p.Addr6)...)
		must(err)
	}
	for name, g := range w.Groups {
		group := &ciliumv2.CiliumCIDRGroup{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: g.Labels}}
		for _, p := range g.Prefixes {
			group.Spec.ExternalCIDRs = append(group.Spec.ExternalCIDRs, api.CIDR(p.String()))
		}
		must(e.SetCIDRGroup(ctx, group))
	}
	for name, addrs := range w.Names {
		must(e.LearnDNS(ctx, w.Pods[0].Addr, verdict.Answer{Name: name, Addrs: addrs, TTL: time.Hour}))
	}
}

// valid are the addresses that there are.
func valid(addrs ...netip.Addr) (out []netip.Addr) {
	for _, a := range addrs {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func randomConn(w *oracle.World, r *rand.Rand) oracle.Conn {
	six := dual() && r.IntN(2) == 0
	outside := slices.DeleteFunc(slices.Clone(w.Outside), func(a netip.Addr) bool { return a.Is6() != six })
	end := func() netip.Addr {
		switch r.IntN(8) {
		case 0, 1:
			return outside[r.IntN(len(outside))]
		case 2:
			nodes := []netip.Addr{w.Node, w.RemoteNode}
			if six {
				nodes = []netip.Addr{w.Node6, w.RemoteNode6}
			}
			return nodes[r.IntN(2)]
		}
		p := w.Pods[r.IntN(len(w.Pods))]
		if six {
			return p.Addr6
		}
		return p.Addr
	}
	c := oracle.Conn{From: end(), To: end(), Proto: []uint8{6, 6, 6, 17, 17, 132, 1}[r.IntN(7)]}
	c.Port = []uint16{53, 80, 443, 8080, 9000, 81, 1, 65535}[r.IntN(8)]
	if c.Proto == 1 {
		c.Port = []uint16{8, 3, 11, 13}[r.IntN(4)]
	}
	if c.Proto == 1 && six {
		c.Proto, c.Port = 58, []uint16{128, 1, 3, 129}[r.IntN(4)]
	}
	return c
}

// TestDifferential holds what the packet path looks up against Cilium's policy
// simulator, on random policies and connections: through changes of policies, as
// an engine sees them, and not each on an engine of its own. That Explain says
// the same is checked along.
func TestDifferential(t *testing.T) {
	w := randomWorld()
	w.CIDRsMatchPods, w.CIDRsMatchNodes = slices.Contains(cidrMatch(), CIDRMatchPods), slices.Contains(cidrMatch(), CIDRMatchNodes)
	e := newEngine(t)
	fill(t, e, w)
	r := &oracle.Random{Rand: rand.New(rand.NewPCG(*randomSeed, 0)), Words: randomWords(w)}
	allowed, judged := 0, 0
	for set := 0; judged < *randomPairs; set++ {
		docs := r.Policies(1 + r.IntN(6))
		if err := w.SetPolicies(docs); err != nil {
			t.Fatal(err)
		}
		keys := setDocs(t, e, docs)
		for range connsPerSet {
			c := randomConn(w, r.Rand)
			q := verdict.Query{
				Src: c.From, Dst: c.To, Proto: c.Proto, SrcPort: 40000, DstPort: c.Port,
				FromHost: w.Host(c.From), ToHost: w.Host(c.To),
			}
			v := e.Decide(q)
			got, want := v.Action != verdict.Drop, w.Allowed(c)
			judged++
			if want {
				allowed++
			}
			if got != want {
				t.Fatalf("seed %d, set %d: %v: the packet path gives %v (%+v), Cilium's simulator %v\n%s", *randomSeed, set, c, got, v, want, join(docs))
			}
			agrees(t, e, c, w, v, docs)
		}
		for _, k := range keys {
			if err := e.DeletePolicy(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d pairs agree, %d of them allowed", judged, allowed)
	if allowed < judged/10 || allowed > judged*9/10 {
		t.Errorf("%d of %d pairs are allowed: they tell too little", allowed, judged)
	}
}

// agrees checks that Explain says what Decide does, and that what it says of
// rules adds up to it.
func agrees(t *testing.T, e *Engine, c oracle.Conn, w *oracle.World, v verdict.Verdict, docs [][]byte) {
	t.Helper()
	end := func(a netip.Addr) End { return End{Addr: a, Host: w.Host(a)} }
	x, err := e.Explain(end(c.From), end(c.To), Ask{Proto: c.Proto, Port: c.Port})
	if err != nil {
		t.Fatal(err)
	}
	if x.Verdict.Action != v.Action || x.Verdict.Reason != v.Reason {
		t.Fatalf("%v: Explain gives %+v, Decide %+v\n%s", c, x.Verdict, v, join(docs))
	}
	for _, d := range x.Directions {
		var matching []explain.Rule
		for _, p := range d.Policies {
			for _, r := range p.Rules {
				if r.Matches {
					matching = append(matching, r)
				}
				if !r.Matches && len(r.Misses) == 0 {
					t.Fatalf("%v: %s of %s does not match, and nothing says why\n%s", c, r.Path, p.Name, join(docs))
				}
			}
		}
		local := w.Host(c.From) && d.Direction == "ingress"
		want, decided := decision(matching)
		if !decided {
			want = !d.Enforced || local
		}
		if (d.Outcome == "allowed") != want {
			t.Fatalf("%v: %s is %s by the engine, but its rules give %v\n%+v\n%s", c, d.Direction, d.Outcome, want, d, join(docs))
		}
	}
}

// decision walks rules that match by tier and priority; of one priority a deny
// comes first, and a pass last.
func decision(rules []explain.Rule) (allows, decided bool) {
	place := slices.Index[[]string]
	tier := func(r explain.Rule) int { return place([]string{"admin", "", "baseline"}, r.Tier) }
	slices.SortFunc(rules, func(a, b explain.Rule) int {
		actions := []string{"deny", "allow", "pass"}
		return cmp.Or(cmp.Compare(tier(a), tier(b)), cmp.Compare(a.Priority, b.Priority), cmp.Compare(place(actions, a.Action), place(actions, b.Action)))
	})
	passed := -1
	for _, r := range rules {
		switch {
		case tier(r) <= passed:
		case r.Action == "pass":
			passed = tier(r)
		default:
			return r.Action == "allow", true
		}
	}
	return false, false
}

func setDocs(t testing.TB, e *Engine, docs [][]byte) (keys []Key) {
	t.Helper()
	for _, doc := range docs {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := setYAML(ctx, e, doc); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		cancel()
	}
	e.update.Lock()
	defer e.update.Unlock()
	for k := range e.policies {
		keys = append(keys, k)
	}
	return keys
}

func join(docs [][]byte) string {
	var b strings.Builder
	for _, d := range docs {
		fmt.Fprintf(&b, "---\n%s\n", d)
	}
	return b.String()
}
