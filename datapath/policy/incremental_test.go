package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/api"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// world is what an engine was told, by the end of a history.
type world struct {
	pods     map[int]string // index → app label
	team     string         // label of namespace default
	policies map[int]string // index → document
	group    string         // prefix of the CIDR group; empty when there is none
	answers  map[string][]netip.Addr
}

func podAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 0, byte(10 + i)}) }

func (w *world) setPod(t testing.TB, e *Engine, i int) {
	t.Helper()
	p := makePod("default", fmt.Sprintf("p%d", i))
	p.Labels["app"] = w.pods[i]
	if _, err := e.SetPod(t.Context(), p, podAddr(i)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) setTeam(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.SetNamespace(t.Context(), "default", map[string]string{"team": w.team}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) setGroup(t testing.TB, e *Engine) {
	t.Helper()
	g := &ciliumv2.CiliumCIDRGroup{ObjectMeta: metav1.ObjectMeta{Name: "g"}}
	if w.group != "" {
		g.Spec.ExternalCIDRs = []api.CIDR{api.CIDR(w.group)}
	}
	if err := e.SetCIDRGroup(t.Context(), g); err != nil {
		t.Fatal(err)
	}
}

func (w *world) learn(t testing.TB, e *Engine, name string) {
	t.Helper()
	a := verdict.Answer{Name: name, Addrs: w.answers[name], TTL: time.Hour}
	if err := e.LearnDNS(t.Context(), podAddr(0), a); err != nil {
		t.Fatal(err)
	}
}

// step changes one thing at random, in the engine and in what is known of it.
func (w *world) step(t testing.TB, e *Engine, r *rand.Rand) {
	t.Helper()
	apps, teams := []string{"a", "b", "c"}, []string{"red", "blue"}
	switch r.IntN(8) {
	case 0, 1:
		i := r.IntN(6)
		w.pods[i] = apps[r.IntN(3)]
		w.setPod(t, e, i)
	case 2:
		i := 1 + r.IntN(5) // pod 0 asks the DNS questions, and stays
		delete(w.pods, i)
		e.RemovePod(t.Context(), fmt.Sprintf("default-p%d", i))
	case 3, 4:
		i := r.IntN(5)
		w.policies[i] = randomPolicy(i, r)
		apply(t, e, w.policies[i])
	case 5:
		i := r.IntN(5)
		delete(w.policies, i)
		if err := e.DeletePolicy(t.Context(), Key{KindCiliumNetworkPolicy, "default", fmt.Sprintf("r%d", i)}); err != nil {
			t.Fatal(err)
		}
	case 6:
		if r.IntN(2) == 0 {
			w.team = teams[r.IntN(2)]
			w.setTeam(t, e)
		} else {
			w.group = []string{"", "20.0.0.0/8", "20.1.0.0/16"}[r.IntN(3)]
			w.setGroup(t, e)
		}
	case 7:
		name := []string{"one.example.", "two.example."}[r.IntN(2)]
		addr := netip.AddrFrom4([4]byte{20, byte(r.IntN(3)), 0, byte(1 + r.IntN(2))})
		if !slices.Contains(w.answers[name], addr) {
			w.answers[name] = append(w.answers[name], addr)
		}
		w.learn(t, e, name)
	}
}

func randomPolicy(i int, r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	direction, side := "egress", "to"
	if r.IntN(2) == 0 {
		direction, side = "ingress", "from"
	}
	subject := pick("{}", "{matchLabels: {app: a}}", "{matchLabels: {app: b}}")
	var rules []string
	for range 1 + r.IntN(3) {
		peer := pick(
			side+"Endpoints: [{matchLabels: {app: "+pick("a", "b", "c")+"}}]",
			side+"Endpoints: [{matchLabels: {k8s:io.cilium.k8s.namespace.labels.team: "+pick("red", "blue")+"}}]",
			side+"Entities: ["+pick("world", "host", "cluster", "all")+"]",
			side+"CIDR: ["+pick("20.0.0.0/8", "20.1.0.0/16", "20.0.0.1/32")+"]",
			side+"CIDRSet: [{cidr: 20.0.0.0/8, except: [20.2.0.0/16]}]",
			side+"CIDRSet: [{cidrGroupRef: g}]",
		)
		if direction == "egress" && r.IntN(3) == 0 {
			peer = "toFQDNs: [" + pick("{matchName: one.example}", "{matchPattern: '*.example'}") + "]"
		}
		if r.IntN(2) == 0 {
			peer += ", toPorts: [{ports: [{port: '" + pick("80", "443") + "', protocol: TCP}]}]"
		}
		rules = append(rules, "{"+peer+"}")
	}
	doc := fmt.Sprintf(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: r%d, namespace: default}
spec:
  endpointSelector: %s
  %s: [%s]
`, i, subject, direction, strings.Join(rules, ", "))
	if r.IntN(3) == 0 {
		deny := pick(side+"Endpoints: [{matchLabels: {app: c}}]", side+"CIDR: [20.0.0.0/16]", side+"Entities: [host]")
		doc += fmt.Sprintf("  %sDeny: [{%s}]\n", direction, deny)
	}
	if r.IntN(4) == 0 {
		doc += fmt.Sprintf("  enableDefaultDeny: {%s: false}\n", direction)
	}
	return doc
}

// verdicts says what connections between all that there is come to.
func (w *world) verdicts(e *Engine) map[string]string {
	ends := []netip.Addr{nodeAddr, netip.MustParseAddr("9.9.9.9")}
	for i := range 6 {
		ends = append(ends, podAddr(i))
	}
	for a := range byte(3) {
		ends = append(ends, netip.AddrFrom4([4]byte{20, a, 0, 1}), netip.AddrFrom4([4]byte{20, a, 0, 2}))
	}
	out := map[string]string{}
	for _, src := range ends {
		for _, dst := range ends {
			for _, port := range []uint16{80, 443, 8080} {
				v := e.Decide(verdict.Query{Src: src, Dst: dst, Proto: 6, DstPort: port})
				// Which of several rules that agree Cilium names depends on the
				// order they came in; who closes by default does not.
				var names []string
				for _, r := range v.Rules {
					if v.Reason == verdict.ReasonPolicy {
						names = append(names, r.Name)
					}
				}
				out[fmt.Sprintf("%v → %v:%d", src, dst, port)] = fmt.Sprint(v.Action, v.Direction, v.Reason, names)
			}
		}
	}
	return out
}

// TestHistoryLeavesNoTrace: an engine that lived through a random history judges
// as a fresh one that is told only how it ended.
func TestHistoryLeavesNoTrace(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		old := newEngine(t)
		w := &world{pods: map[int]string{0: "a"}, team: "red", policies: map[int]string{}, answers: map[string][]netip.Addr{}}
		w.setTeam(t, old)
		w.setPod(t, old, 0)
		for range 60 {
			w.step(t, old, r)
		}

		fresh := newEngine(t)
		w.setTeam(t, fresh)
		for _, i := range slices.Sorted(maps.Keys(w.pods)) {
			w.setPod(t, fresh, i)
		}
		w.setGroup(t, fresh)
		for name := range w.answers {
			w.learn(t, fresh, name)
		}
		for _, i := range slices.Sorted(maps.Keys(w.policies)) {
			apply(t, fresh, w.policies[i])
		}
		want := w.verdicts(fresh)
		allowed := 0
		for q, got := range w.verdicts(old) {
			if got != want[q] {
				t.Errorf("seed %d: %s: %s after its history, %s fresh", seed, q, got, want[q])
			}
			if strings.HasPrefix(got, "1") {
				allowed++
			}
		}
		if t.Failed() {
			t.Fatalf("policies:\n%s", strings.Join(slices.Collect(maps.Values(w.policies)), ""))
		}
		if allowed == 0 || allowed == len(want) {
			t.Logf("seed %d: all connections come to the same", seed)
		}
	}
}
