//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	manifest "github.com/netdojo/netdojo/manifests/object"
)

// lab is a cluster with the pods of the policy table.
type lab struct {
	t      testing.TB
	h      cluster.Handle
	kube   kubernetes.Interface
	apply  *manifests.Client
	world  map[string]netip.Addr // names of the world
	podIPs map[string]string     // NAMESPACE/POD
	ipv6   bool                  // addresses are of IPv6, of which the cluster has both
}

func newLab(t testing.TB, h cluster.Handle) *lab { return newLabOf(t, h, false) }

func newLabOf(t testing.TB, h cluster.Handle, ipv6 bool) *lab {
	t.Helper()
	kube, err := kubernetes.NewForConfig(h.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	apply, err := manifests.New(h.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, h: h, kube: kube, apply: apply, world: map[string]netip.Addr{}, podIPs: map[string]string{}, ipv6: ipv6}
	data, err := os.ReadFile("testdata/policy-pods.yaml")
	if err != nil {
		t.Fatal(err)
	}
	refs := l.create("policy-pods.yaml", string(data))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := apply.Wait(ctx, refs, func(string) {}); err != nil {
		if ipv6 {
			t.Fatal(err)
		}
		t.Fatalf("%v\n%s%s", err, shared.home.run("kubectl", "describe", "pods").stdout, shared.home.log())
	}
	pods, err := kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		l.podIPs[p.Namespace+"/"+p.Name] = l.of(p.Status.PodIP, podIP6(&p))
	}
	names := []string{"kubernetes.io", "cilium.io", "docs.cilium.io", "example.com"}
	if err := h.ServeNames(ctx, names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		out, code, err := l.exec(ctx, client, "getent", l.of("ahostsv4", "ahostsv6"), name)
		if err != nil || code != 0 {
			t.Fatalf("resolve %s in a pod: exit code %d, %v", name, code, err)
		}
		l.world[name] = netip.MustParseAddr(strings.Fields(out)[0])
	}
	return l
}

// of is the text of the family that the lab speaks.
func (l *lab) of(four, six string) string {
	if l.ipv6 {
		return six
	}
	return four
}

// podIP6 is a pod's second address; "" where it has none.
func podIP6(p *corev1.Pod) string {
	if len(p.Status.PodIPs) < 2 {
		return ""
	}
	return p.Status.PodIPs[1].IP
}

// asIPv6 makes policies of the table say the same of the other family.
var asIPv6 = strings.NewReplacer(
	"}}/32", "}}/128", "0.0.0.0/0", `"::/0"`, "10.244.0.0/16", `"fd00:10:244::/64"`,
	"family: IPv4", "family: IPv6", "type: 8", "type: 128",
)

// create applies YAML documents and returns what they are.
func (l *lab) create(file, text string) []manifests.Ref {
	l.t.Helper()
	objects, err := manifest.Parse(file, []byte(text))
	if err != nil {
		l.t.Fatal(err)
	}
	var refs []manifests.Ref
	for _, o := range objects {
		if _, err := l.apply.Apply(l.t.Context(), o, "default"); err != nil {
			l.t.Fatal(err)
		}
		refs = append(refs, o.Ref("default"))
	}
	return refs
}

// policies applies documents and waits until policies among them are enforced.
func (l *lab) policies(text string) (remove func()) {
	l.t.Helper()
	refs := l.create("policy.yaml", l.expand(text))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, r := range refs {
		if p, ok := policyRef(r); ok {
			u, err := l.apply.Get(ctx, r)
			if err != nil {
				l.t.Fatal(err)
			}
			p.UID, p.Generation = string(u.GetUID()), u.GetGeneration()
			if err := l.h.Enforced(ctx, p); err != nil {
				l.t.Fatalf("wait for %s %s: %v", r.GVK.Kind, r.Name, err)
			}
		}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, r := range refs {
			uid, err := l.apply.Delete(ctx, r)
			if err != nil {
				l.t.Error(err)
			}
			if p, ok := policyRef(r); ok {
				p.UID, p.Deleted = string(uid), true
				if err := l.h.Enforced(ctx, p); err != nil {
					l.t.Errorf("wait for the end of %s %s: %v", r.GVK.Kind, r.Name, err)
				}
			}
		}
	}
}

func policyRef(r manifests.Ref) (cluster.PolicyRef, bool) {
	p := cluster.PolicyRef{Kind: r.GVK.Kind, Namespace: r.Namespace, Name: r.Name}
	if p.Kind == "CiliumClusterwideNetworkPolicy" || p.Kind == "ClusterNetworkPolicy" {
		p.Namespace = ""
	}
	return p, strings.HasSuffix(r.GVK.Kind, "NetworkPolicy")
}

var worldAddr = regexp.MustCompile(`\{\{world ([a-z.]+)\}\}`)

func (l *lab) expand(text string) string {
	if l.ipv6 {
		text = asIPv6.Replace(text)
	}
	return worldAddr.ReplaceAllStringFunc(text, func(m string) string {
		return l.world[worldAddr.FindStringSubmatch(m)[1]].String()
	})
}

// exec runs a command in a pod (NAMESPACE/POD).
func (l *lab) exec(ctx context.Context, pod string, command ...string) (stdout string, code int, err error) {
	namespace, name, _ := strings.Cut(pod, "/")
	req := l.kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	ex, err := remotecommand.NewWebSocketExecutor(l.h.RESTConfig(), "GET", req.URL().String())
	if err != nil {
		return "", 0, err
	}
	var out, errOut bytes.Buffer
	err = ex.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut})
	var exit utilexec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return out.String(), exit.ExitStatus(), nil
	}
	return out.String(), 0, err
}

// target is where a probe goes: the address that the datapath sees and the
// command that dials it. Of one that is to be denied the second is soon over; another
// may take what a busy machine takes.
func (l *lab) target(to string, allowed bool) (addr string, command []string) {
	l.t.Helper()
	seconds := "1"
	if allowed {
		seconds = "20"
	}
	scheme, rest, _ := strings.Cut(to, "://")
	host, port, _ := strings.Cut(rest, ":")
	var dial string
	if scheme == "dns" {
		return "", []string{"getent", l.of("ahostsv4", "ahostsv6"), rest}
	}
	switch kind, name, _ := strings.Cut(host, "/"); kind {
	case "world":
		addr, dial = l.world[name].String(), l.world[name].String()
		if scheme == "https" {
			dial = name
		}
	case "svc", "api":
		if kind == "api" {
			name = "kubernetes"
		}
		svc, err := l.kube.CoreV1().Services("default").Get(l.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			l.t.Fatal(err)
		}
		dial = svc.Spec.ClusterIP
		if len(svc.Spec.ClusterIPs) > 1 && l.ipv6 { // the API's own Service has one
			dial = svc.Spec.ClusterIPs[1]
		}
	default:
		addr, dial = l.podIPs[host], l.podIPs[host]
	}
	switch scheme {
	case "get", "post":
		return addr, []string{"curl", "-sf", "-X", strings.ToUpper(scheme), "-o", "/dev/null", "--connect-timeout", seconds, "http://" + bracketed(dial) + ":" + port}
	case "https":
		return addr, []string{"curl", l.of("-4sIk", "-6sIk"), "-o", "/dev/null", "--connect-timeout", seconds, "https://" + dial}
	case "tcp":
		return addr, []string{"timeout", seconds, "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%s", dial, port)}
	case "udp":
		return addr, []string{"timeout", seconds, "bash", "-c", fmt.Sprintf("exec 3<>/dev/udp/%s/%s; echo hello >&3; head -n1 <&3", dial, port)}
	case "icmp":
		return addr, []string{"ping", "-c1", "-W" + seconds, dial}
	}
	l.t.Fatalf("no such probe: %s", to)
	return "", nil
}

// bracketed is a host as URLs have it.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// check runs a probe and holds it against what it wants. A deny counts only
// with a drop that the datapath reports for it.
func (l *lab) check(p probe) {
	l.t.Helper()
	addr, command := l.target(p.to, p.want)
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	flows, err := l.h.Flows(ctx, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer flows.Close()
	_, code, err := l.exec(ctx, p.from, command...)
	if err != nil {
		l.t.Errorf("%s → %s: %v", p.from, p.to, err)
		return
	}
	switch {
	case p.want && code != 0:
		l.t.Errorf("%s → %s: exit code %d, want it allowed", p.from, p.to, code)
	case !p.want && code == 0:
		l.t.Errorf("%s → %s: allowed, want it denied", p.from, p.to)
	case !p.want:
		if err := l.findDrop(ctx, flows, p.from, addr); err != nil {
			l.t.Errorf("%s → %s: exit code %d, but %v", p.from, p.to, code, err)
		}
	}
}

// findDrop reads flows until one is the probe's drop by policy.
func (l *lab) findDrop(ctx context.Context, flows cluster.FlowStream, from, addr string) error {
	stop := context.AfterFunc(ctx, func() { flows.Close() })
	defer stop()
	timer := time.AfterFunc(20*time.Second, func() { flows.Close() })
	defer timer.Stop()
	for {
		f, err := flows.Recv()
		if err != nil {
			return fmt.Errorf("no drop was reported: %w", err)
		}
		if f.GetVerdict() != flowpb.Verdict_DROPPED || f.GetSource().GetNamespace()+"/"+f.GetSource().GetPodName() != from {
			continue
		}
		if addr != "" && f.GetIP().GetDestination() != addr {
			continue
		}
		switch f.GetDropReasonDesc() {
		case flowpb.DropReason_POLICY_DENIED, flowpb.DropReason_POLICY_DENY:
		default:
			return fmt.Errorf("the drop's reason is %v", f.GetDropReasonDesc())
		}
		if len(f.GetEgressDeniedBy())+len(f.GetIngressDeniedBy()) == 0 {
			return errors.New("the drop names no policy")
		}
		return nil
	}
}

// removePods deletes what newLab created.
func removePods(t *testing.T, l *lab) {
	t.Helper()
	data, _ := os.ReadFile("testdata/policy-pods.yaml")
	objects, err := manifest.Parse("policy-pods.yaml", data)
	if err != nil {
		t.Error(err)
	}
	for _, o := range objects {
		if _, err := l.apply.Delete(context.Background(), o.Ref("default")); err != nil {
			t.Error(err)
		}
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel() // beside the same by IPv6: both wait most of the time
	_, h := sharedCluster(t)
	l := newLab(t, h)
	t.Cleanup(func() { removePods(t, l) })
	l.prove(t)
}

// prove runs the table of policies.
func (l *lab) prove(t *testing.T) {
	seen := map[probe]bool{} // positive controls
	for _, c := range slices.Concat(policyCases, tierCases) {
		t.Run(c.name, func(t *testing.T) {
			here := *l
			here.t = t
			for _, p := range c.probes {
				if control := (probe{p.from, p.to, true}); !p.want && !seen[control] {
					here.check(control)
					seen[control] = true
				}
			}
			if t.Failed() {
				t.Fatal("the positive control failed")
			}
			remove := here.policies(c.policy)
			defer remove()
			for _, p := range c.probes {
				here.check(p)
			}
		})
	}
}
