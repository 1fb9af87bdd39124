//go:build linux

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/internal/oracle"
	"github.com/netdojo/netdojo/manifests"
	manifest "github.com/netdojo/netdojo/manifests/object"
)

var (
	agreeProbes = flag.Int("agree.probes", 24, "how many random probes TestAgree makes")
	agreeSeed   = flag.Uint64("agree.seed", 1, "where its random numbers begin")
)

const probesPerSet = 6

// random is the cluster of the policy table, as random policies see it.
type random struct {
	*lab
	*oracle.Random
	world   *oracle.World
	sources []string
	targets []target
}

// target is what a random probe may go to.
type target struct {
	lab     *lab   // of the family by which it goes
	to      string // as a probe has it
	explain []string
	conn    oracle.Conn // From is left open
}

// newRandom makes it of the lab of IPv4 and, in a cluster of both families, that of IPv6.
func newRandom(t *testing.T, l *lab, six ...*lab) *random {
	t.Helper()
	api, err := l.kube.DiscoveryV1().EndpointSlices("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node := netip.MustParseAddr(api.Endpoints[0].Addresses[0])
	w := &oracle.World{Namespaces: map[string]map[string]string{}, Node: node}
	for _, ns := range []string{"default", "second"} {
		o, err := l.kube.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.Namespaces[ns] = o.Labels
		pods, err := l.kube.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods.Items {
			pod := oracle.Pod{
				Namespace: ns, Name: p.Name, Labels: p.Labels, ServiceAccount: p.Spec.ServiceAccountName, Addr: netip.MustParseAddr(p.Status.PodIP),
			}
			for _, l6 := range six {
				pod.Addr6 = netip.MustParseAddr(l6.podIPs[ns+"/"+p.Name])
			}
			for _, c := range p.Spec.Containers {
				for _, port := range c.Ports {
					if port.Name != "" {
						pod.Ports = append(pod.Ports, oracle.Port{Name: port.Name, Number: uint16(port.ContainerPort), Protocol: string(port.Protocol)})
					}
				}
			}
			w.Pods = append(w.Pods, pod)
		}
	}
	r := &random{
		lab: l, world: w, sources: []string{client, other, foreign},
		Random: &oracle.Random{Rand: rand.New(rand.NewPCG(*agreeSeed, 1)), Words: oracle.Words{
			Namespaces: []string{"default", "second"}, Labels: map[string][]string{"app": {"client", "server", "other"}, "tier": {"front", "back"}},
			Teams: []string{"blue", "red"}, Accounts: []string{"default"}, Ports: []int{80, 443, 8080, 8081, 9000}, PortNames: []string{"http", "alt"},
			CIDRs: networks(l, 8, "0.0.0.0/0", "10.244.0.0/16", "192.168.77.0/24"),
			Few:   true,
		}},
	}
	r.aim(l)
	r.targets = append(r.targets, target{l, "tcp://api:443", []string{"kube-apiserver", "6443"}, oracle.Conn{To: node, Proto: 6, Port: 6443}})
	for _, l6 := range six {
		w.Node6 = netip.MustParseAddr("fd00:77::2")
		r.IPv6, r.CIDRs = true, append(r.CIDRs, networks(l6, 48, "::/0", "fd00:10:244::/64", "fd00:77::/64")...)
		r.aim(l6)
	}
	return r
}

// networks are what CIDRs of a family may name: everything, addresses of the world and
// a network of that size around one, the pods' and the node's.
func networks(l *lab, size int, everything, pods, node string) []string {
	one := func(a netip.Addr, bits int) string { return netip.PrefixFrom(a, bits).Masked().String() }
	io, com := l.world["kubernetes.io"], l.world["example.com"]
	return []string{everything, one(io, io.BitLen()), one(com, com.BitLen()), one(io, size), pods, node}
}

// aim adds the targets of a family, which pods are told by in a cluster of both: by
// their names explain speaks of either.
func (r *random) aim(l *lab) {
	server, remoteServer := netip.MustParseAddr(l.podIPs["default/server"]), netip.MustParseAddr(l.podIPs["second/server"])
	io, com := l.world["kubernetes.io"], l.world["example.com"]
	named, remoteNamed := l.of("default/server", server.String()), l.of("second/server", remoteServer.String())
	add := func(to string, addr netip.Addr, proto uint8, port uint16, args ...string) {
		r.targets = append(r.targets, target{l, to, args, oracle.Conn{To: addr, Proto: proto, Port: port}})
	}
	for _, port := range []uint16{8080, 8081, 9000} {
		add(fmt.Sprintf("tcp://default/server:%d", port), server, 6, port, named, fmt.Sprint(port))
		add(fmt.Sprintf("tcp://second/server:%d", port), remoteServer, 6, port, remoteNamed, fmt.Sprint(port))
	}
	add("tcp://svc/server:80", server, 6, 8080, "svc/server", "80")
	if l.ipv6 {
		add("icmp://default/server", server, 58, 128, named, "128", "ICMPv6")
	} else {
		add("icmp://default/server", server, 1, 8, named, "8", "ICMP")
	}
	add("tcp://world/kubernetes.io:443", io, 6, 443, io.String(), "443")
	add("tcp://world/example.com:80", com, 6, 80, com.String(), "80")
	add("udp://world/kubernetes.io:7", io, 17, 7, io.String(), "7", "UDP")
}

// explainer is a handle whose engine can be asked.
type explainer interface {
	Explain(context.Context, explain.Request) (*explain.Answer, error)
}

// TestAgree makes random probes under random policies. What a pod sees, what
// `netdojo explain` says beforehand and what Cilium's own simulator gives must be
// the same.
func TestAgree(t *testing.T) {
	_, h := sharedCluster(t)
	l := newLab(t, h)
	t.Cleanup(func() { removePods(t, l) })
	newRandom(t, l).agree(t)
}

// TestAgreeDualStack does so with probes of both families, in a cluster of both.
func TestAgreeDualStack(t *testing.T) {
	t.Parallel()
	_, h := dualCluster(t)
	newRandom(t, newLabOf(t, h, false), newLabOf(t, h, true)).agree(t)
}

// agree makes the probes.
func (r *random) agree(t *testing.T) {
	r.Tiers = true
	for _, x := range r.targets { // every target answers while there is no policy
		if code := r.dial(client, x, true); code != 0 {
			t.Fatalf("without policies, %s → %s: exit code %d", client, x, code)
		}
	}
	done, allowed, six := 0, 0, 0
	for set := 0; done < *agreeProbes; set++ {
		docs, refs := r.apply(t, set)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range probesPerSet {
			from, to := r.sources[r.IntN(len(r.sources))], r.targets[r.IntN(len(r.targets))]
			wg.Go(func() {
				conn := to.conn
				conn.From = netip.MustParseAddr(to.lab.podIPs[from])
				want := r.world.Allowed(conn)
				said := r.ask(t, from, to)
				code := r.dial(from, to, want)
				saw := code == 0
				mu.Lock()
				defer mu.Unlock()
				done++
				if saw {
					allowed++
				}
				if to.lab.ipv6 {
					six++
				}
				if saw != want || said != want || code < 0 {
					t.Errorf("seed %d, set %d: %s → %s: the pod sees %v (exit code %d), explain says %v, Cilium's simulator %v\n%s",
						*agreeSeed, set, from, to, saw, code, said, want, strings.Join(docs, "\n---\n"))
				}
			})
		}
		wg.Wait()
		r.remove(t, refs)
		if t.Failed() {
			break
		}
	}
	t.Logf("%d probes agree, %d of them allowed, %d by IPv6", done, allowed, six)
	if allowed == 0 || allowed == done {
		t.Error("all probes came out the same: they tell too little")
	}
	if r.IPv6 && (six == 0 || six == done) {
		t.Error("all probes went by one family")
	}
}

func (x target) String() string { return x.to + x.lab.of("", " by IPv6") }

// apply puts random policies in force that the API server takes.
func (r *random) apply(t *testing.T, set int) (docs []string, refs []manifests.Ref) {
	t.Helper()
	var raw [][]byte
	for _, doc := range r.Policies(1 + r.IntN(3)) {
		text := strings.ReplaceAll(string(doc), `"random-`, fmt.Sprintf(`"random-%d-`, set))
		objects, err := manifest.Parse("policy.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.lab.apply.Apply(t.Context(), objects[0], "default")
		var status apierrors.APIStatus
		if errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonInvalid {
			continue // a schema is narrower than the parser
		}
		if err != nil {
			t.Fatal(err)
		}
		docs, raw, refs = append(docs, text), append(raw, []byte(text)), append(refs, objects[0].Ref("default"))
	}
	if err := r.world.SetPolicies(raw); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, ref := range refs {
		u, err := r.lab.apply.Get(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		p := cluster.PolicyRef{Kind: ref.GVK.Kind, Namespace: u.GetNamespace(), Name: ref.Name, UID: string(u.GetUID()), Generation: u.GetGeneration()}
		if err := r.h.Enforced(ctx, p); err != nil {
			t.Fatalf("wait for %s %s: %v", p.Kind, p.Name, err)
		}
	}
	return docs, refs
}

func (r *random) remove(t *testing.T, refs []manifests.Ref) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, ref := range refs {
		uid, err := r.lab.apply.Delete(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := policyRef(ref)
		p.UID, p.Deleted = string(uid), true
		if err := r.h.Enforced(ctx, p); err != nil {
			t.Fatalf("wait for the end of %s %s: %v", p.Kind, p.Name, err)
		}
	}
}

// ask has netdojo explain a probe; true is allowed.
func (r *random) ask(t *testing.T, from string, to target) bool {
	req := explain.Request{From: from, To: to.explain[0], Port: to.explain[1]}
	if len(to.explain) > 2 {
		req.Protocol = to.explain[2]
	}
	a, err := r.h.(explainer).Explain(t.Context(), req)
	if err != nil {
		t.Errorf("explain %+v: %v", req, err)
		return false
	}
	return a.Outcome == explain.Allowed
}

// dial runs a probe, with patience where it is to get through, and gives its exit code;
// -1 when it could not be run.
func (r *random) dial(from string, x target, want bool) int {
	_, command := x.lab.target(x.to, want)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, code, err := r.exec(ctx, from, command...)
	if err != nil {
		return -1
	}
	return code
}
