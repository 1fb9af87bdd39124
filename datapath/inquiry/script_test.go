package inquiry

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/rogpeppe/go-internal/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/internal/ipfamily"
	"github.com/netdojo/netdojo/policies"
)

var update = flag.Bool("update", false, "write the answers into the scripts")

var (
	nodeAddr  = netip.MustParseAddr("192.168.77.2")
	nodeAddr6 = netip.MustParseAddr("fd00:77::2")
)

// envDual makes a process of tests one of both families, which Cilium's engine has by
// the process.
const envDual = "NETDOJO_TEST_DUAL"

func dual() bool { return os.Getenv(envDual) != "" }

// TestDualStack runs the scripts of testdata/dual in such a process.
func TestDualStack(t *testing.T) {
	if dual() {
		t.Skip("this is the process")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestScripts$", "-test.v", fmt.Sprintf("-update=%t", *update))
	cmd.Env = append(os.Environ(), envDual+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestScripts/families")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestScripts runs testdata/script: each file tells an engine of objects and
// compares answers with the files that it holds. The verbs are in run.
func TestScripts(t *testing.T) {
	runScripts(t, func(*txtar.Archive) int { return 1 })
}

// TestScriptsOnNodes gives each pod a node of its own, with an engine that judges it
// alone: joined, what the nodes say is what one says.
func TestScriptsOnNodes(t *testing.T) {
	if *update {
		t.Skip("the answers are those of one engine")
	}
	runScripts(t, func(ar *txtar.Archive) int { return strings.Count("\n"+string(ar.Comment), "\npod ") })
}

func runScripts(t *testing.T, nodes func(*txtar.Archive) int) {
	pattern := "testdata/script/*.txtar"
	if dual() {
		pattern = "testdata/dual/*.txtar"
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ar := txtar.Parse(raw)
			s := newScript(t, ar, nodes(ar))
			for n, line := range strings.Split(string(s.ar.Comment), "\n") {
				if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				s.at = fmt.Sprintf("%s:%d: %s", filepath.Base(file), n+1, line)
				s.run(strings.Fields(line))
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(s.ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type script struct {
	*testing.T
	ar    *txtar.Archive
	nodes []*node
	pods  int // how many there are so far
	at    string
}

// node is an engine that judges pods of its own, and what it sees of the rest.
type node struct {
	name string
	e    *policy.Engine
	view View
}

func newScript(t *testing.T, ar *txtar.Archive, nodes int) *script {
	t.Helper()
	s := &script{T: t, ar: ar}
	for i := range nodes {
		n := &node{name: fmt.Sprintf("node-%02d", i), view: View{Source: "cluster", Node: ipfamily.Pair[netip.Addr]{V4: nodeAddr}, APIServer: netip.AddrPortFrom(nodeAddr, 6443)}}
		cfg := policy.Config{
			NodeName: n.name, NodeAddrs: []netip.Addr{nodeAddr}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
			GCInterval: time.Hour,
		}
		if dual() {
			cfg.IPv6, n.view.Node.V6 = true, nodeAddr6
			cfg.NodeAddrs = append(cfg.NodeAddrs, nodeAddr6)
			cfg.PodCIDRs = append(cfg.PodCIDRs, netip.MustParsePrefix("fd00:10:244::/64"))
		}
		var err error
		if n.e, err = policy.New(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.e.Close)
		s.nodes = append(s.nodes, n)
	}
	s.all(func(n *node) error {
		return errors.Join(
			n.e.SetNamespace(t.Context(), "default", map[string]string{"kubernetes.io/metadata.name": "default"}),
			n.e.SetAPIServer(t.Context(), []netip.Addr{nodeAddr}))
	})
	return s
}

func (s *script) all(do func(*node) error) {
	s.Helper()
	for _, n := range s.nodes {
		s.must(do(n))
	}
}

// explain asks all nodes.
func (s *script) explain(req explain.Request) (*explain.Answer, error) {
	if len(s.nodes) == 1 {
		return Explain(s.nodes[0].e, s.nodes[0].view, req)
	}
	var parts []explain.Part[*explain.Answer]
	for _, n := range s.nodes {
		a, err := Each(n.e, n.view, req)
		if err != nil {
			return nil, err
		}
		parts = append(parts, explain.Part[*explain.Answer]{Node: n.name, Says: a})
	}
	return explain.Join(parts)
}

func (s *script) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", s.at, err)
	}
}

// run does one line:
//
//	namespace NAME [K=V…]        pod [NS/]NAME ADDR[,ADDR] [K=V…] [owner=KIND/NAME] [port=NAME:80/TCP…]
//	service [NS/]NAME ADDR:PORT/PROTO [BACKEND:PORT…]
//	policy FILE                  policies FILE that may be refused: refused FILE
//	answer POD NAME ADDR…        resolve NAME ADDR
//	explain FILE FROM TO [port=…] [proto=…] [ns=…] [dns=…] [path=…] [sni=…]   the plain answer is FILE
//	json FILE FROM TO …          the same as JSON
//	fails FROM TO [port=…] -> TEXT                the error, with its cure
func (s *script) run(f []string) {
	s.Helper()
	ctx := s.Context()
	switch f[0] {
	case "namespace":
		lbls := map[string]string{"kubernetes.io/metadata.name": f[1]}
		for _, x := range f[2:] {
			k, v, _ := strings.Cut(x, "=")
			lbls[k] = v
		}
		s.all(func(n *node) error { return n.e.SetNamespace(ctx, f[1], lbls) })
	case "pod":
		s.pod(f[1:])
	case "service":
		ns, name := split(f[1])
		addr, proto, _ := strings.Cut(f[2], "/")
		svc := Service{Namespace: ns, Name: name, Addr: netip.MustParseAddrPort(addr)}
		svc.Proto, _ = protocol(proto)
		for _, b := range f[3:] {
			svc.Backends = append(svc.Backends, netip.MustParseAddrPort(b))
		}
		s.all(func(n *node) error {
			n.view.Services = append(n.view.Services, svc)
			return nil
		})
	case "policy", "refused":
		s.all(func(n *node) error {
			err := s.policy(n.e, f[1])
			var refused *policies.Rejection
			if f[0] == "refused" && errors.As(err, &refused) {
				err = nil
			}
			return err
		})
	case "answer":
		a := verdict.Answer{Name: f[2], TTL: time.Hour}
		for _, x := range f[3:] {
			a.Addrs = append(a.Addrs, netip.MustParseAddr(x))
		}
		ns, name := split(f[1])
		s.all(func(n *node) error {
			for _, p := range n.view.Pods {
				if p.Namespace == ns && p.Name == name && !p.Away {
					return n.e.LearnDNS(ctx, p.addr(), a)
				}
			}
			return nil
		})
	case "resolve":
		s.all(func(n *node) error {
			before := n.view.Resolve
			n.view.Resolve = func(name string) []netip.Addr {
				if name == f[1] {
					return []netip.Addr{netip.MustParseAddr(f[2])}
				}
				if before != nil {
					return before(name)
				}
				return nil
			}
			return nil
		})
	case "explain", "json":
		a, err := s.explain(request(f[2:]))
		s.must(err)
		var out bytes.Buffer
		if f[0] == "explain" {
			s.must(a.Write(&out))
			// Reasons are those of each outcome that there is.
			for _, outcome := range []explain.Outcome{explain.Allowed, explain.Denied} {
				for _, r := range a.Reasons(outcome) {
					fmt.Fprintf(&out, "%s: %s\n", outcome, r)
				}
			}
		} else {
			for i := range a.Connections { // numbered anew in each run
				a.Connections[i].From.Identity, a.Connections[i].To.Identity = 0, 0
				a.Connections[i].From.Node, a.Connections[i].To.Node = "", ""
			}
			enc := json.NewEncoder(&out)
			enc.SetIndent("", "  ")
			s.must(enc.Encode(a))
		}
		s.compare(f[1], out.Bytes())
	case "fails":
		args, want, _ := strings.Cut(strings.Join(f[1:], " "), " -> ")
		_, err := s.explain(request(strings.Fields(args)))
		got := "no error"
		if err != nil {
			got = err.Error()
			if c, ok := err.(interface{ Cure() string }); ok && c.Cure() != "" {
				got += "; " + c.Cure()
			}
		}
		if got != want {
			s.Errorf("%s: got %s", s.at, got)
		}
	default:
		s.Fatalf("%s: unknown verb", s.at)
	}
}

// compare holds an answer against a file of the script.
func (s *script) compare(name string, got []byte) {
	s.Helper()
	for i := range s.ar.Files {
		if f := &s.ar.Files[i]; f.Name == name {
			if *update {
				f.Data = got
			} else if !bytes.Equal(f.Data, got) {
				s.Errorf("%s: got\n%s\nwant\n%s", s.at, got, f.Data)
			}
			return
		}
	}
	if !*update {
		s.Fatalf("%s: no file %s", s.at, name)
	}
	s.ar.Files = append(s.ar.Files, txtar.File{Name: name, Data: got})
}

func request(f []string) explain.Request {
	req := explain.Request{From: f[0]}
	for i, x := range f[1:] {
		k, v, _ := strings.Cut(x, "=")
		switch k {
		case "port":
			req.Port = v
		case "proto":
			req.Protocol = v
		case "ns":
			req.Namespace = v
		case "dns":
			req.DNS = v
		case "sni":
			req.SNI = v
		case "path":
			req.HTTP = &explain.HTTP{Method: "GET", Path: v}
		default:
			if i == 0 {
				req.To = x
			}
		}
	}
	return req
}

func split(name string) (namespace, bare string) {
	if ns, bare, ok := strings.Cut(name, "/"); ok {
		return ns, bare
	}
	return "default", name
}

func (s *script) pod(f []string) {
	s.Helper()
	ns, name := split(f[0])
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(ns + "-" + name), Labels: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
	}
	owner := ""
	for _, x := range f[2:] {
		k, v, _ := strings.Cut(x, "=")
		switch k {
		case "owner":
			owner = v
		case "port":
			name, rest, _ := strings.Cut(v, ":")
			number, proto, _ := strings.Cut(rest, "/")
			n, err := strconv.Atoi(number)
			s.must(err)
			c := &pod.Spec.Containers[0]
			c.Ports = append(c.Ports, corev1.ContainerPort{Name: name, ContainerPort: int32(n), Protocol: corev1.Protocol(proto)})
		default:
			pod.Labels[k] = v
		}
	}
	var addrs []netip.Addr
	for a := range strings.SplitSeq(f[1], ",") {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	home := s.nodes[s.pods%len(s.nodes)]
	s.pods++
	s.all(func(n *node) error {
		p := PodOf(pod, addrs...)
		p.Owner = owner
		if len(s.nodes) > 1 {
			p.Node, p.Away = home.name, n != home
		}
		n.view.Pods = append(n.view.Pods, p)
		if n != home {
			return n.e.SetPeer(s.Context(), pod, addrs...)
		}
		_, err := n.e.SetPod(s.Context(), pod, addrs...)
		return err
	})
}

func (s *script) policy(e *policy.Engine, name string) error {
	var raw []byte
	for _, f := range s.ar.Files {
		if f.Name == name {
			raw = f.Data
		}
	}
	if raw == nil {
		s.Fatalf("%s: no file %s", s.at, name)
	}
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(raw, &meta); err != nil {
		return err
	}
	if meta.Kind == policy.KindNetworkPolicy {
		np := &networkingv1.NetworkPolicy{}
		if err := yaml.Unmarshal(raw, np); err != nil {
			return err
		}
		return e.SetNetworkPolicy(s.Context(), np)
	}
	if meta.Kind == policy.KindClusterNetworkPolicy {
		cnp := &policyv1alpha2.ClusterNetworkPolicy{}
		if err := yaml.Unmarshal(raw, cnp); err != nil {
			return err
		}
		return e.SetClusterNetworkPolicy(s.Context(), cnp)
	}
	cnp := &ciliumv2.CiliumNetworkPolicy{}
	if err := yaml.Unmarshal(raw, cnp); err != nil {
		return err
	}
	return e.SetCiliumPolicy(s.Context(), cnp, meta.Kind == policy.KindCiliumClusterwideNetworkPolicy)
}
