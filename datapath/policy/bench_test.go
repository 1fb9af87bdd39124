package policy

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// crowd has n pods, each with a label of its own, and m policies.
func crowd(b testing.TB, e *Engine, pods, policies int) {
	b.Helper()
	for i := range pods {
		p := makePod("default", fmt.Sprintf("p%d", i))
		p.Labels["app"] = fmt.Sprintf("app%d", i)
		if _, err := e.SetPod(b.Context(), p, netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)})); err != nil {
			b.Fatal(err)
		}
	}
	for i := range policies {
		apply(b, e, policyDoc(i, 80))
	}
}

func policyDoc(i, port int) string {
	return fmt.Sprintf(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p%d, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: app%d}}
  egress:
  - toEndpoints: [{matchLabels: {app: app%d}}]
    toPorts: [{ports: [{port: "%d", protocol: TCP}]}]
  - toCIDR: [20.%d.0.0/16]
`, i, i, i+1, port, i%256)
}

func BenchmarkDecide(b *testing.B) {
	e := newEngine(b)
	crowd(b, e, 100, 50)
	pod := func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 0, i}) }
	for name, q := range map[string]verdict.Query{
		"pod-allowed":   {Src: pod(1), Dst: pod(2), Proto: 6, DstPort: 80},
		"pod-denied":    {Src: pod(1), Dst: pod(3), Proto: 6, DstPort: 80},
		"world-allowed": {Src: pod(1), Dst: netip.MustParseAddr("20.1.2.3"), Proto: 6, DstPort: 443},
		"world-denied":  {Src: pod(1), Dst: netip.MustParseAddr("21.1.2.3"), Proto: 6, DstPort: 443},
		"unselected":    {Src: pod(90), Dst: pod(91), Proto: 6, DstPort: 80},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(q)
			}
		})
	}
}

func BenchmarkPolicyUpdate(b *testing.B) {
	e := newEngine(b)
	crowd(b, e, 100, 50)
	cnp := [2]*ciliumv2.CiliumNetworkPolicy{{}, {}}
	for i, port := range []int{80, 81} {
		if err := yaml.Unmarshal([]byte(policyDoc(1, port)), cnp[i]); err != nil {
			b.Fatal(err)
		}
	}
	i := 0
	for b.Loop() {
		if err := e.SetCiliumPolicy(b.Context(), cnp[i%2], false); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// thousand is an engine with 1,000 identities and 1,000 policies that name them.
func thousand(b *testing.B) *Engine {
	b.Helper()
	e := newEngine(b)
	crowd(b, e, 1000, 1000)
	return e
}

// BenchmarkThousandLoad loads them, and reports what heap they hold.
func BenchmarkThousandLoad(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	var loads []time.Duration
	var held float64
	for range b.N {
		b.StopTimer()
		before := heap()
		b.StartTimer()
		start := time.Now()
		e := thousand(b)
		loads = append(loads, time.Since(start))
		b.StopTimer()
		held = heap() - before
		runtime.KeepAlive(e)
		b.StartTimer()
	}
	reportTimes(b, loads)
	b.ReportMetric(held, "heap-MB")
}

// BenchmarkThousandUpdate changes one policy among those, from the call until a
// connection is judged by it.
func BenchmarkThousandUpdate(b *testing.B) {
	e := thousand(b)
	cnp := [2]*ciliumv2.CiliumNetworkPolicy{{}, {}}
	for i, port := range []int{80, 81} {
		if err := yaml.Unmarshal([]byte(policyDoc(1, port)), cnp[i]); err != nil {
			b.Fatal(err)
		}
	}
	q := verdict.Query{Src: netip.MustParseAddr("10.244.0.1"), Dst: netip.MustParseAddr("10.244.0.2"), Proto: 6, DstPort: 80}
	var changes []time.Duration
	b.ResetTimer()
	for i := range b.N {
		want := verdict.Allow
		if i%2 == 0 {
			want = verdict.Drop
		}
		start := time.Now()
		if err := e.SetCiliumPolicy(b.Context(), cnp[(i+1)%2], false); err != nil {
			b.Fatal(err)
		}
		if v := e.Decide(q); v.Action != want {
			b.Fatalf("change %d: %+v", i, v)
		}
		changes = append(changes, time.Since(start))
	}
	reportTimes(b, changes)
}

// BenchmarkThousandExplain explains a connection among those.
func BenchmarkThousandExplain(b *testing.B) {
	e := thousand(b)
	from, to := End{Addr: netip.MustParseAddr("10.244.0.1")}, End{Addr: netip.MustParseAddr("10.244.0.3")}
	var answers []time.Duration
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		x, err := e.Explain(from, to, Ask{Proto: 6, Port: 80})
		if err != nil || x.Verdict.Action != verdict.Drop || len(x.Directions) != 2 {
			b.Fatalf("%v %+v", err, x)
		}
		answers = append(answers, time.Since(start))
	}
	reportTimes(b, answers)
}

// reportTimes reports the median and the 99th of a hundred.
func reportTimes(b *testing.B, times []time.Duration) {
	b.Helper()
	slices.Sort(times)
	ms := func(q float64) float64 {
		return float64(times[min(len(times)-1, int(q*float64(len(times))))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(0.5), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
}

func BenchmarkLearnDNS(b *testing.B) {
	e := newEngine(b)
	twoPods(b, e)
	apply(b, e, fqdnPolicy)
	i := 0
	for b.Loop() {
		a := verdict.Answer{Name: "kubernetes.io.", TTL: time.Minute, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{80, byte(i >> 16), byte(i >> 8), byte(i)})}}
		if err := e.LearnDNS(b.Context(), addrA, a); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkSetPod(b *testing.B) {
	e := newEngine(b)
	crowd(b, e, 20, 20)
	p := makePod("default", "new")
	p.Labels["app"] = "app1"
	for b.Loop() {
		if _, err := e.SetPod(b.Context(), p, netip.MustParseAddr("10.244.9.9")); err != nil {
			b.Fatal(err)
		}
		e.RemovePod(b.Context(), string(p.UID))
	}
}
