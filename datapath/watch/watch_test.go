package watch

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	nodeAddr = netip.MustParseAddr("192.168.77.2")
	clientIP = netip.MustParseAddr("10.244.0.10")
	peerIP   = netip.MustParseAddr("10.244.1.10")
)

type fixture struct {
	*fakeAPI
	t *testing.T
	e *policy.Engine
	w *Watcher
}

// start has a watcher in step with an API server that holds these identities.
func start(t *testing.T, publish bool, identities ...string) *fixture {
	t.Helper()
	return startWith(t, func(c *Config) { c.PublishEndpoints = publish }, identities...)
}

// startWith is start with more to configure.
func startWith(t *testing.T, configure func(*Config), identities ...string) *fixture {
	t.Helper()
	api := newFakeAPI(t)
	f := &fixture{fakeAPI: api, t: t}
	f.yaml("namespaces", `{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: blue}}}`)
	for _, doc := range identities {
		f.yaml("ciliumidentities", doc)
	}
	var err error
	f.e, err = policy.New(t.Context(), policy.Config{
		NodeName: "n1", NodeAddrs: []netip.Addr{nodeAddr}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.e.Close)
	cfg := Config{REST: api.rest(), Engine: f.e, NodeName: "n1"}
	configure(&cfg)
	f.w, err = Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.w.Close)
	if err := f.w.WaitForSync(f.ctx()); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) ctx() context.Context {
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	f.t.Cleanup(cancel)
	return ctx
}

func (f *fixture) yaml(resource, doc string) {
	f.t.Helper()
	var obj map[string]any
	if err := yaml.Unmarshal([]byte(doc), &obj); err != nil {
		f.t.Fatal(err)
	}
	f.put(resource, obj)
}

func (f *fixture) client() {
	f.t.Helper()
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: default, uid: u1, labels: {app: client}}, spec: {nodeName: n1, containers: [{name: c, ports: [{name: web, containerPort: 80}]}]}}`)
	if _, err := f.w.SetPod(f.ctx(), "default", "client", "u1", clientIP); err != nil {
		f.t.Fatal(err)
	}
}

// until asks until ok, or fails with what it was waited for.
func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("still not: %s", what)
		}
		runtime.Gosched()
	}
}

func (f *fixture) action(dst string, port uint16) verdict.Action {
	return f.e.Decide(verdict.Query{Src: clientIP, Dst: netip.MustParseAddr(dst), Proto: 6, DstPort: port}).Action
}

func (f *fixture) condition(resource, key string) (status, reason, message string) {
	obj := f.get(resource, key)
	st, _ := obj["status"].(map[string]any)
	list, _ := st["conditions"].([]any)
	for _, c := range list {
		if m := c.(map[string]any); m["type"] == "Valid" {
			return text(m["status"]), text(m["reason"]), text(m["message"])
		}
	}
	return "", "", ""
}

func (f *fixture) events(name string) (messages []string) {
	for _, e := range f.all("events") {
		if o := e["involvedObject"].(map[string]any); o["name"] == name {
			messages = append(messages, text(e["message"]))
		}
	}
	return messages
}

const out = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: out, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
  - toCIDR: [20.0.0.0/8]
`

func TestPolicyLife(t *testing.T) {
	f := start(t, false)
	f.client()
	ref := policy.Ref{Key: policy.Key{Kind: policy.KindCiliumNetworkPolicy, Namespace: "default", Name: "out"}, Generation: 1}
	f.yaml("ciliumnetworkpolicies", out)
	if err := f.e.Enforced(f.ctx(), ref); err != nil {
		t.Fatal(err)
	}
	if f.action("20.0.0.1", 80) != verdict.Allow || f.action("21.0.0.1", 80) != verdict.Drop {
		t.Error("the policy is not what connections are judged by")
	}
	f.until("condition Valid is True", func() bool { s, _, _ := f.condition("ciliumnetworkpolicies", "default/out"); return s == "True" })

	f.yaml("ciliumnetworkpolicies", strings.Replace(out, "20.0", "21.0", 1))
	ref.Generation = 2
	if err := f.e.Enforced(f.ctx(), ref); err != nil {
		t.Fatal(err)
	}
	if f.action("20.0.0.1", 80) != verdict.Drop || f.action("21.0.0.1", 80) != verdict.Allow {
		t.Error("the changed policy is not in force")
	}

	// Refused: condition and event say why, and it is closed.
	f.yaml("ciliumnetworkpolicies", out+"  - toPorts: [{ports: [{port: '80', protocol: TCP}], terminatingTLS: {secret: {name: s}}}]\n")
	ref.Generation = 3
	var rejected *policy.RejectedError
	if err := f.e.Enforced(f.ctx(), ref); err == nil || !errors.As(err, &rejected) {
		t.Fatalf("refused policy: %v", err)
	}
	f.until("condition Valid is False", func() bool {
		s, r, m := f.condition("ciliumnetworkpolicies", "default/out")
		return s == "False" && r == reasonRejected && strings.Contains(m, "spec.egress[1].toPorts[0].terminatingTLS")
	})
	f.until("an event tells it", func() bool { return len(f.events("out")) == 1 })
	if f.action("30.0.0.1", 80) != verdict.Drop {
		t.Error("what is not served is open")
	}

	f.remove("ciliumnetworkpolicies", "default/out")
	ref.Deleted = true
	if err := f.e.Enforced(f.ctx(), ref); err != nil {
		t.Fatal(err)
	}
	if f.action("30.0.0.1", 80) != verdict.Allow {
		t.Error("a deleted policy is in force")
	}
	if n := len(f.events("out")); n != 1 {
		t.Errorf("%d events for one refusal", n)
	}
}

// busyEngine does not take a policy at first.
type busyEngine struct {
	*policy.Engine
	refusals atomic.Int32 // left
}

func (b *busyEngine) SetCiliumPolicy(ctx context.Context, cnp *ciliumv2.CiliumNetworkPolicy, clusterwide bool) error {
	if b.refusals.Add(-1) >= 0 {
		return errors.New("busy")
	}
	return b.Engine.SetCiliumPolicy(ctx, cnp, clusterwide)
}

// TestPolicyIsTriedAgain: what the engine cannot take for a moment is given to it
// again, and reported when it is in force.
func TestPolicyIsTriedAgain(t *testing.T) {
	engine := &busyEngine{}
	engine.refusals.Store(2)
	f := startWith(t, func(c *Config) {
		engine.Engine = c.Engine
		c.policies = engine
	})
	f.client()
	f.yaml("ciliumnetworkpolicies", out)
	ref := policy.Ref{Key: policy.Key{Kind: policy.KindCiliumNetworkPolicy, Namespace: "default", Name: "out"}, Generation: 1}
	if err := f.e.Enforced(f.ctx(), ref); err != nil {
		t.Fatal(err)
	}
	if left := engine.refusals.Load(); left >= 0 {
		t.Errorf("the engine was asked %d times too few", left+1)
	}
	f.until("condition Valid is True", func() bool { s, _, _ := f.condition("ciliumnetworkpolicies", "default/out"); return s == "True" })
}

func TestOtherPolicies(t *testing.T) {
	f := start(t, false)
	f.client()
	f.yaml("networkpolicies", `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: default}
spec: {podSelector: {}, policyTypes: [Egress]}`)
	if err := f.e.Enforced(f.ctx(), policy.Ref{Key: policy.Key{Kind: policy.KindNetworkPolicy, Namespace: "default", Name: "np"}}); err != nil {
		t.Fatal(err)
	}
	if f.action("20.0.0.1", 80) != verdict.Drop {
		t.Error("the NetworkPolicy is not in force")
	}
	f.yaml("ciliumclusterwidenetworkpolicies", `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: cw}
spec:
  endpointSelector: {matchLabels: {k8s:io.cilium.k8s.namespace.labels.team: blue}}
  egress: [{toCIDRSet: [{cidrGroupRef: office}]}]`)
	f.until("condition of the clusterwide policy", func() bool {
		s, _, _ := f.condition("ciliumclusterwidenetworkpolicies", "/cw")
		return s == "True"
	})
	f.yaml("ciliumcidrgroups", `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: office}, spec: {externalCIDRs: [20.0.0.0/8]}}`)
	f.until("the CIDR group is known", func() bool { return f.action("20.0.0.1", 80) == verdict.Allow })
	f.remove("ciliumcidrgroups", "/office")
	f.until("the CIDR group is gone", func() bool { return f.action("20.0.0.1", 80) == verdict.Drop })
	f.yaml("ciliumcidrgroups", `{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: office}, spec: {externalCIDRs: [20.0.0.0/8]}}`)
	f.until("the CIDR group is back", func() bool { return f.action("20.0.0.1", 80) == verdict.Allow })
	f.yaml("namespaces", `{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: red}}}`)
	f.until("the namespace's labels are followed", func() bool { return f.action("20.0.0.1", 80) == verdict.Drop })
	f.yaml("clusternetworkpolicies", `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: admin}
spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [20.0.0.0/8]}]}]}`)
	f.until("a ClusterNetworkPolicy decides first", func() bool { return f.action("20.0.0.1", 80) == verdict.Allow })
	f.remove("clusternetworkpolicies", "/admin")
	f.until("the ClusterNetworkPolicy is gone", func() bool { return f.action("20.0.0.1", 80) == verdict.Drop })
	f.yaml("clusternetworkpolicies", `
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: nodes}
spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{nodes: {}}]}]}`)
	f.until("an event tells of what is not served", func() bool {
		return strings.Contains(strings.Join(f.events("nodes"), ""), "node selector labels are disabled")
	})
}

func TestPods(t *testing.T) {
	f := start(t, false)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := f.w.Pod(short, "default", "client", "u1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a pod that is not there: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := f.w.Pod(f.w.ctx, "late", "client", "u9")
		got <- err
	}()
	// The pod is there before its namespace: labels of both are its identity.
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: late, uid: u9}, spec: {nodeName: n1, containers: [{name: c}]}}`)
	f.until("the pod is seen", func() bool { return f.w.pod("late", "client", "u9") != nil })
	select {
	case err := <-got:
		t.Errorf("did not wait for the namespace: %v", err)
	default:
	}
	f.yaml("namespaces", `{apiVersion: v1, kind: Namespace, metadata: {name: late}}`)
	if err := <-got; err != nil {
		t.Fatal(err)
	}

	f.client()
	label := func() string { return strings.Join(f.e.Peer(clientIP).Labels, " ") }
	if !strings.Contains(label(), "k8s:app=client") || !strings.Contains(label(), "named-ports=web.TCP.80") {
		t.Errorf("labels are %s", label())
	}
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: default, uid: u1, labels: {app: other}}, spec: {nodeName: n1, containers: [{name: c}]}}`)
	f.until("changed labels", func() bool { return strings.Contains(label(), "k8s:app=other") })
	// Its object may go before its sandbox does.
	f.remove("pods", "default/client")
	f.until("the pod's object is gone", func() bool { return f.w.pod("default", "client", "u1") == nil })
	if f.e.Peer(clientIP).Pod != "client" {
		t.Error("a pod of this node went without the agent's word")
	}

	// Peers come and go by their status; pods on a host network are their node.
	f.yaml("nodes", `{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 192.168.77.3}]}}`)
	f.until("the other node", func() bool { return f.e.Peer(netip.MustParseAddr("192.168.77.3")).Identity == 6 })
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: peer, namespace: default, uid: u2, labels: {app: peer}}, spec: {nodeName: n2, containers: [{name: c}]}, status: {podIP: 10.244.1.10, podIPs: [{ip: 10.244.1.10}], phase: Running}}`)
	f.until("a peer", func() bool { return f.e.Peer(peerIP).Pod == "peer" })
	if id := f.e.Peer(peerIP).Endpoint; id != 0 {
		t.Errorf("a peer is endpoint %d", id)
	}
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: hosted, namespace: default, uid: u3}, spec: {nodeName: n2, hostNetwork: true, containers: [{name: c}]}, status: {podIP: 192.168.77.3, podIPs: [{ip: 192.168.77.3}], phase: Running}}`)
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: peer, namespace: default, uid: u2, labels: {app: peer}}, spec: {nodeName: n2, containers: [{name: c}]}, status: {podIP: 10.244.1.10, podIPs: [{ip: 10.244.1.10}], phase: Succeeded}}`)
	f.until("a peer that ended", func() bool { return f.e.Peer(peerIP).Pod == "" })
	if p := f.e.Peer(netip.MustParseAddr("192.168.77.3")); p.Pod != "" || p.Identity != 6 {
		t.Errorf("a pod on the host network is %+v", p)
	}
}

func TestServices(t *testing.T) {
	f := start(t, false)
	f.client()
	f.yaml("services", `{apiVersion: v1, kind: Service, metadata: {name: db, namespace: default}, spec: {}}`)
	f.yaml("endpointslices", `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{addresses: [60.0.0.1]}]}`)
	f.yaml("ciliumnetworkpolicies", `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: svc, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress: [{toServices: [{k8sService: {serviceName: db, namespace: default}}]}]`)
	if err := f.e.Enforced(f.ctx(), policy.Ref{Key: policy.Key{Kind: policy.KindCiliumNetworkPolicy, Namespace: "default", Name: "svc"}}); err != nil {
		t.Fatal(err)
	}
	if f.action("60.0.0.1", 5432) != verdict.Allow || f.action("60.0.0.2", 5432) != verdict.Drop {
		t.Error("the Service's endpoints are not what is allowed")
	}
	f.yaml("endpointslices", `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, endpoints: [{addresses: [60.0.0.2]}]}`)
	f.until("changed endpoints", func() bool {
		return f.action("60.0.0.1", 5432) == verdict.Drop && f.action("60.0.0.2", 5432) == verdict.Allow
	})
	f.remove("services", "default/db")
	f.until("a deleted Service", func() bool { return f.action("60.0.0.2", 5432) == verdict.Drop })
}

// TestCutWatches: what changes while the API server is away is taken over when it
// is back.
func TestCutWatches(t *testing.T) {
	f := start(t, false)
	f.client()
	f.yaml("ciliumnetworkpolicies", out)
	f.until("the policy is in force", func() bool { return f.action("21.0.0.1", 80) == verdict.Drop })
	back := f.goAway()
	f.remove("ciliumnetworkpolicies", "default/out")
	f.yaml("networkpolicies", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: default}, spec: {podSelector: {}, policyTypes: [Egress]}}`)
	if f.action("21.0.0.1", 80) != verdict.Drop || f.action("20.0.0.1", 80) != verdict.Allow {
		t.Error("without the API server, connections are not judged by what was known")
	}
	back()
	f.until("what came meanwhile is known", func() bool {
		_, old := f.e.PolicyState(policy.Key{Kind: policy.KindCiliumNetworkPolicy, Namespace: "default", Name: "out"})
		return !old && f.action("20.0.0.1", 80) == verdict.Drop
	})
}

func TestSecrets(t *testing.T) {
	f := start(t, false)
	f.client()
	secret := func(value string) {
		f.yaml("secrets", `{apiVersion: v1, kind: Secret, metadata: {name: token, namespace: default}, data: {token: `+value+`}}`)
	}
	allowed := func(token string) bool {
		return f.e.DecideHTTP(verdict.Query{Src: netip.MustParseAddr("20.0.0.1"), Dst: clientIP, Proto: 6, DstPort: 80}, &verdict.HTTPRequest{
			Method: "GET", Path: "/", Host: "client", Header: map[string][]string{"X-Token": {token}},
		})[0].Action == verdict.Allow
	}
	secret("b25l") // one
	f.yaml("ciliumnetworkpolicies", `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: token, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: client}}
  ingress:
  - toPorts:
    - ports: [{port: "80", protocol: TCP}]
      rules: {http: [{headerMatches: [{name: X-Token, secret: {namespace: default, name: token}}]}]}`)
	if err := f.e.Enforced(f.ctx(), policy.Ref{Key: policy.Key{Kind: policy.KindCiliumNetworkPolicy, Namespace: "default", Name: "token"}}); err != nil {
		t.Fatal(err)
	}
	if !allowed("one") || allowed("two") {
		t.Error("the Secret's value is not what a header is compared with")
	}
	secret("dHdv") // two
	f.until("a changed Secret", func() bool { return !allowed("one") && allowed("two") })
	f.remove("secrets", "default/token")
	f.until("a deleted Secret", func() bool { return !allowed("two") })
}

// TestPublishBesideOthers: an identity that another node's endpoint has is not taken away.
func TestPublishBesideOthers(t *testing.T) {
	f := startWith(t, func(c *Config) { c.PublishEndpoints, c.SharedIdentities = true, true },
		`{apiVersion: cilium.io/v2, kind: CiliumIdentity, metadata: {name: "7777"}, security-labels: {}}`)
	f.until("identities of an earlier run go", func() bool { return f.get("ciliumidentities", "/7777") == nil })
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: twin, namespace: default, uid: t1}, spec: {nodeName: n2}}`)
	if _, err := f.w.Pod(f.ctx(), "default", "twin", "t1"); err != nil {
		t.Fatal(err)
	}
	f.client()
	f.until("CiliumIdentity", func() bool { return f.get("ciliumidentities", "/1024") != nil })
	f.yaml("ciliumendpoints", `{apiVersion: cilium.io/v2, kind: CiliumEndpoint, metadata: {name: twin, namespace: default}, status: {identity: {id: 1024}}}`)
	f.e.RemovePod(t.Context(), "u1")
	// An identity that comes and goes afterwards tells that the other was looked at.
	f.remove("pods", "default/client")
	f.yaml("pods", `{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: default, uid: u2, labels: {app: other}}, spec: {nodeName: n1}}`)
	if _, err := f.w.SetPod(f.ctx(), "default", "client", "u2", clientIP); err != nil {
		t.Fatal(err)
	}
	f.until("the next CiliumIdentity", func() bool { return f.get("ciliumidentities", "/1025") != nil })
	f.e.RemovePod(t.Context(), "u2")
	f.until("it goes with its last pod", func() bool { return f.get("ciliumidentities", "/1025") == nil })
	if f.get("ciliumidentities", "/1024") == nil {
		t.Error("the identity of another node's endpoint is gone")
	}
}

func TestPublish(t *testing.T) {
	f := start(t, true, `{apiVersion: cilium.io/v2, kind: CiliumIdentity, metadata: {name: "7777"}, security-labels: {}}`)
	f.until("identities of an earlier run go", func() bool { return f.get("ciliumidentities", "/7777") == nil })
	f.client()
	field := func(path ...string) any {
		var v any = f.get("ciliumendpoints", "default/client")
		for _, p := range path {
			m, _ := v.(map[string]any)
			v = m[p]
		}
		return v
	}
	f.until("CiliumEndpoint", func() bool { return field("status", "state") == "ready" })
	if owners, _ := field("metadata", "ownerReferences").([]any); len(owners) != 1 || owners[0].(map[string]any)["uid"] != "u1" {
		t.Errorf("owners are %v", owners)
	}
	id := f.e.Peer(clientIP).Identity
	f.until("CiliumIdentity", func() bool { return f.get("ciliumidentities", "/1024") != nil && id == 1024 })
	f.yaml("ciliumnetworkpolicies", out)
	f.until("the endpoint says that it is enforced", func() bool { return field("status", "policy", "egress", "state") == "enforcing" })
	f.e.RemovePod(t.Context(), "u1")
	f.until("the identity goes with its last pod", func() bool { return f.get("ciliumidentities", "/1024") == nil })
}
