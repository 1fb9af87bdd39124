package policy

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/policy/api"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/policies"
)

var (
	addrA = netip.MustParseAddr("10.244.0.10")
	addrB = netip.MustParseAddr("10.244.0.11")
)

const fqdnPolicy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: fqdn, namespace: default, uid: u-fqdn, generation: 3}
spec:
  endpointSelector: {matchLabels: {app: a}}
  egress:
  - toFQDNs: [{matchName: kubernetes.io}]
`

const denyAll = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: closed, namespace: default, uid: u-closed, generation: 1}
spec:
  endpointSelector: {matchLabels: {app: a}}
  egress: [{}]
`

// twoPods has app=a at addrA and app=b at addrB.
func twoPods(t testing.TB, e *Engine) {
	t.Helper()
	for name, addr := range map[string]netip.Addr{"a": addrA, "b": addrB} {
		p := makePod("default", name)
		p.Labels["app"] = name
		if _, err := e.SetPod(t.Context(), p, addr); err != nil {
			t.Fatal(err)
		}
	}
}

func apply(t testing.TB, e *Engine, doc string) {
	t.Helper()
	if err := setYAML(t.Context(), e, []byte(doc)); err != nil {
		t.Fatal(err)
	}
}

func to(dst string, port uint16) verdict.Query {
	return verdict.Query{Src: addrA, Dst: netip.MustParseAddr(dst), Proto: 6, SrcPort: 40000, DstPort: port}
}

func wantAction(t testing.TB, e *Engine, q verdict.Query, want verdict.Action) {
	t.Helper()
	if v := e.Decide(q); v.Action != want {
		t.Errorf("%v to %v: got %+v, want action %d", q.Src, q.Dst, v, want)
	}
}

// TestEpoch: whatever can revoke access starts a new epoch, what cannot does not.
func TestEpoch(t *testing.T) {
	e, other := newEngine(t), newEngine(t)
	if e.Epoch() == other.Epoch() {
		t.Errorf("two engines start with epoch %d", e.Epoch())
	}
	ctx := t.Context()
	twoPods(t, e)
	for _, step := range []struct {
		name  string
		do    func() error
		bumps bool
	}{
		{"new pod", func() error {
			_, err := e.SetPod(ctx, makePod("default", "c"), netip.MustParseAddr("10.244.0.12"))
			return err
		}, false},
		{"policy", func() error { return setYAML(ctx, e, []byte(fqdnPolicy)) }, true},
		{"learned name", func() error {
			return e.LearnDNS(ctx, addrA, verdict.Answer{Name: "kubernetes.io.", Addrs: []netip.Addr{netip.MustParseAddr("147.75.40.1")}, TTL: time.Minute})
		}, false},
		{"pod labels", func() error {
			p := makePod("default", "b")
			p.Labels["app"] = "changed"
			return e.UpdatePod(ctx, p)
		}, true},
		{"same pod labels", func() error {
			p := makePod("default", "b")
			p.Labels["app"] = "changed"
			return e.UpdatePod(ctx, p)
		}, false},
		{"namespace labels", func() error { return e.SetNamespace(ctx, "default", map[string]string{"team": "red"}) }, true},
		{"CIDR group", func() error {
			return e.SetCIDRGroup(ctx, &ciliumv2.CiliumCIDRGroup{
				ObjectMeta: metav1.ObjectMeta{Name: "g"}, Spec: ciliumv2.CiliumCIDRGroupSpec{ExternalCIDRs: []api.CIDR{"1.0.0.0/8"}},
			})
		}, true},
		{"CIDR group gone", func() error { return e.DeleteCIDRGroup(ctx, "g") }, true},
		{"pod gone", func() error { e.RemovePod(ctx, "default-c"); return nil }, true},
		{"policy gone", func() error { return e.DeletePolicy(ctx, Key{KindCiliumNetworkPolicy, "default", "fqdn"}) }, true},
		{"policy gone twice", func() error { return e.DeletePolicy(ctx, Key{KindCiliumNetworkPolicy, "default", "fqdn"}) }, false},
	} {
		before := e.Epoch()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if bumped := e.Epoch() != before; bumped != step.bumps {
			t.Errorf("%s: new epoch is %v, want %v", step.name, bumped, step.bumps)
		}
	}
	e.epoch.Store(MaxEpoch)
	if got := e.bump(); got != 1 {
		t.Errorf("after the greatest epoch comes %d", got)
	}
}

// TestSubscribe: the first change is told at once and a burst as few.
func TestSubscribe(t *testing.T) {
	e := newEngine(t)
	told := make(chan uint32, 100)
	e.Subscribe(func(epoch uint32) { told <- epoch })
	for range 50 {
		e.bump()
	}
	last, calls := uint32(0), 0
	for last != e.Epoch() {
		select {
		case last = <-told:
			calls++
		case <-time.After(time.Minute):
			t.Fatalf("told %d, epoch is %d", last, e.Epoch())
		}
	}
	if calls > 10 {
		t.Errorf("a burst of 50 changes was told %d times", calls)
	}
}

// TestDecideRace: a verdict that carries the epoch of a revocation never comes
// from the state before it.
func TestDecideRace(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	type seen struct {
		epoch uint32
		round int64 // that the writer was in after the verdict
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		allowed []seen
		round   atomic.Int64
		count   atomic.Int64
	)
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		wg.Go(func() {
			var mine []seen
			for ctx.Err() == nil {
				v := e.Decide(to("10.244.0.11", 80))
				s := seen{v.Epoch, round.Load()}
				if n := len(mine); v.Action == verdict.Allow && (n == 0 || mine[n-1] != s) {
					mine = append(mine, s)
				}
				count.Add(1)
			}
			mu.Lock()
			allowed = append(allowed, mine...)
			mu.Unlock()
		})
	}
	revoked := map[uint32]int64{} // epoch of a revocation → the round that it holds in
	for i := range int64(50) {
		round.Store(i)
		apply(t, e, denyAll)
		revoked[e.Epoch()] = i
		for n := count.Load(); count.Load() < n+20; { // let them judge by it
			runtime.Gosched()
		}
		round.Store(i + 1) // from here on the revocation may be taken back
		if err := e.DeletePolicy(t.Context(), Key{KindCiliumNetworkPolicy, "default", "closed"}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
	for _, s := range allowed {
		if r, ok := revoked[s.epoch]; ok && s.round <= r {
			t.Errorf("epoch %d denies, but a verdict under it allowed", s.epoch)
		}
	}
}

func TestEnforced(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	key := Key{KindCiliumNetworkPolicy, "default", "fqdn"}
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if err := e.Enforced(short(), Ref{Key: key}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("unknown policy: %v", err)
	}
	if err := e.Enforced(short(), Ref{Key: key, Deleted: true}); err != nil {
		t.Errorf("end of an unknown policy: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Enforced(t.Context(), Ref{Key: key, UID: "u-fqdn", Generation: 3}) }()
	apply(t, e, fqdnPolicy)
	if err := <-done; err != nil {
		t.Errorf("policy that came: %v", err)
	}
	if err := e.Enforced(short(), Ref{Key: key, UID: "u-fqdn", Generation: 4}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("later generation: %v", err)
	}
	if err := e.Enforced(short(), Ref{Key: key, UID: "u-fqdn", Deleted: true}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("end of a policy in force: %v", err)
	}
	if st, ok := e.PolicyState(key); !ok || !st.Enforced || st.Generation != 3 || st.Epoch != e.Epoch() || st.Revision != e.Revision() {
		t.Errorf("state is %+v %v", st, ok)
	}
	if v := e.Decide(to("1.2.3.4", 443)); len(v.Rules) != 1 || v.Rules[0] != (verdict.Rule{
		Kind: KindCiliumNetworkPolicy, Namespace: "default", Name: "fqdn", UID: "u-fqdn", Revision: e.Revision(),
	}) || v.Reason != verdict.ReasonPolicy || v.Direction != verdict.Egress {
		t.Errorf("default deny is %+v", v)
	}

	// A refused version says so; an invalid one leaves the one before in force.
	served := strings.Replace(fqdnPolicy, "generation: 3", "generation: 4", 1)
	refused := served + "    toPorts: [{ports: [{port: '443', protocol: TCP}], originatingTLS: {secret: {name: s}}}]\n"
	var unsupported *policies.Rejection
	if err := setYAML(t.Context(), e, []byte(refused)); !errors.As(err, &unsupported) || unsupported.Cure() == "" {
		t.Fatalf("refused policy: %v", err)
	}
	var rejected *RejectedError
	if err := e.Enforced(t.Context(), Ref{Key: key, Generation: 4}); !errors.As(err, &rejected) || !strings.Contains(rejected.Reason, "originatingTLS") {
		t.Errorf("refused policy: %v", err)
	}
	apply(t, e, strings.Replace(fqdnPolicy, "generation: 3", "generation: 5", 1))
	invalid := strings.Replace(strings.Replace(fqdnPolicy, "generation: 3", "generation: 6", 1), "kubernetes.io", "'*'", 1)
	var bad *policies.Rejection
	if err := setYAML(t.Context(), e, []byte(invalid)); !errors.As(err, &bad) || !bad.Whole() || bad.Cure() == "" {
		t.Fatalf("invalid policy: %v", err)
	}
	if err := e.Enforced(t.Context(), Ref{Key: key, Generation: 6}); !errors.As(err, &rejected) {
		t.Errorf("invalid policy: %v", err)
	}
	wantAction(t, e, to("1.2.3.4", 443), verdict.Drop)

	if err := e.DeletePolicy(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := e.Enforced(t.Context(), Ref{Key: key, UID: "u-fqdn", Deleted: true}); err != nil {
		t.Errorf("deleted policy: %v", err)
	}
}

// TestIdentitiesGo: nothing is left of pods and policies that went.
func TestIdentitiesGo(t *testing.T) {
	e := newEngine(t)
	start := len(e.ids.GetIdentityCache())
	twoPods(t, e)
	apply(t, e, `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cidr, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: a}}
  egress: [{toCIDR: [20.0.0.0/8, 30.0.0.0/8]}]
`)
	if got := len(e.ids.GetIdentityCache()); got < start+4 {
		t.Errorf("%d identities, started with %d", got, start)
	}
	if err := e.DeletePolicy(t.Context(), Key{KindCiliumNetworkPolicy, "default", "cidr"}); err != nil {
		t.Fatal(err)
	}
	e.RemovePod(t.Context(), "default-a")
	e.RemovePod(t.Context(), "default-b")
	deadline := time.Now().Add(time.Minute)
	for len(e.ids.GetIdentityCache()) != start && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if got := len(e.ids.GetIdentityCache()); got != start {
		t.Errorf("%d identities are left, started with %d", got, start)
	}
	if eps := e.Endpoints(); len(eps) != 0 {
		t.Errorf("endpoints are left: %+v", eps)
	}
}

// TestClose: an engine leaves no goroutine behind.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		e, err := New(t.Context(), Config{NodeName: "n", NodeAddrs: []netip.Addr{nodeAddr}, PodCIDRs: []netip.Prefix{podCIDR}})
		if err != nil {
			t.Fatal(err)
		}
		twoPods(t, e)
		apply(t, e, fqdnPolicy)
		e.Close()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines before, %d after:\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
}

// TestLogOfVerdicts: what a policy wants logged goes with what it decides, and with
// nothing else.
func TestLogOfVerdicts(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	for _, doc := range []string{`{name: a, uid: a, namespace: default}, spec: {endpointSelector: {}, log: {value: shop}, egress: [{toCIDR: [20.0.0.0/8]}], egressDeny: [{toCIDR: [20.1.0.0/16]}]}`,
		`{name: b, uid: b, namespace: default}, spec: {endpointSelector: {}, log: {value: bank}, egress: [{toCIDR: [20.0.0.0/8]}]}`,
		`{name: c, uid: c, namespace: default}, spec: {endpointSelector: {}, egress: [{toCIDR: [22.0.0.0/8]}]}`} {
		apply(t, e, "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: "+doc+"}")
	}
	for dst, want := range map[string][]string{"20.0.0.1": {"bank", "shop"}, "20.1.0.1": {"shop"}, "22.0.0.1": nil, "23.0.0.1": nil} {
		if v := e.Decide(to(dst, 443)); !slices.Equal(v.Log, want) {
			t.Errorf("%s: %q of %+v, want %q", dst, v.Log, v, want)
		}
	}
}

// TestRulesOfVerdicts: each kind of policy is named whole by what it decided.
func TestRulesOfVerdicts(t *testing.T) {
	for kind, doc := range map[string]string{
		KindNetworkPolicy: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: default, uid: u}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 20.0.0.0/8}}]}]}`,
		KindCiliumNetworkPolicy: `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p, namespace: default, uid: u}
spec: {endpointSelector: {}, egress: [{toCIDR: [20.0.0.0/8]}]}`,
		KindCiliumClusterwideNetworkPolicy: `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: p, uid: u}
spec: {endpointSelector: {}, egress: [{toCIDR: [20.0.0.0/8]}]}`,
	} {
		t.Run(kind, func(t *testing.T) {
			e := newEngine(t)
			twoPods(t, e)
			apply(t, e, doc)
			want := verdict.Rule{Kind: kind, Namespace: "default", Name: "p", UID: "u", Revision: e.Revision()}
			if kind == KindCiliumClusterwideNetworkPolicy {
				want.Namespace = ""
			}
			for dst, action := range map[string]verdict.Action{"20.0.0.1": verdict.Allow, "21.0.0.1": verdict.Drop} {
				v := e.Decide(to(dst, 443))
				if v.Action != action || len(v.Rules) != 1 || v.Rules[0] != want {
					t.Errorf("%s: got %+v, want action %d by %+v", dst, v, action, want)
				}
			}
		})
	}
}

func TestEndpoints(t *testing.T) {
	e := newEngine(t)
	twoPods(t, e)
	apply(t, e, denyAll)
	eps := e.Endpoints()
	if len(eps) != 2 || eps[0].Pod != "a" || eps[0].Addrs[0] != addrA || eps[0].ID == eps[1].ID || eps[0].ID == 0 {
		t.Fatalf("endpoints are %+v", eps)
	}
	a := eps[0]
	if !a.EgressEnforced || a.IngressEnforced || len(a.Egress) != 1 || a.Egress[0].Name != "closed" || len(a.Ingress) != 0 {
		t.Errorf("endpoint a is %+v", a)
	}
	if p := e.Peer(addrA); p.Endpoint != a.ID || p.Identity != a.Identity || p.Pod != "a" || p.Namespace != "default" {
		t.Errorf("peer is %+v", p)
	}
	if p := e.Peer(nodeAddr); p.Identity != 1 || len(p.Labels) == 0 {
		t.Errorf("node is %+v", p)
	}
}
