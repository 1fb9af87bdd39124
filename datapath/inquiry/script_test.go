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

// TestScripts runs testdata/script: each file tells one engine of objects and
// compares answers with the files that it holds. The verbs are in run.
func TestScripts(t *testing.T) {
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
			s := newScript(t, txtar.Parse(raw))
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
	ar   *txtar.Archive
	e    *policy.Engine
	view View
	at   string
}

func newScript(t *testing.T, ar *txtar.Archive) *script {
	t.Helper()
	cfg := policy.Config{
		NodeName: "node", NodeAddrs: []netip.Addr{nodeAddr}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")},
		GCInterval: time.Hour,
	}
	view := View{Source: "cluster", Node: nodeAddr, APIServer: netip.AddrPortFrom(nodeAddr, 6443)}
	if dual() {
		cfg.IPv6, view.Node6 = true, nodeAddr6
		cfg.NodeAddrs = append(cfg.NodeAddrs, nodeAddr6)
		cfg.PodCIDRs = append(cfg.PodCIDRs, netip.MustParsePrefix("fd00:10:244::/64"))
	}
	e, err := policy.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	s := &script{T: t, ar: ar, e: e, view: view}
	s.must(e.SetNamespace(t.Context(), "default", map[string]string{"kubernetes.io/metadata.name": "default"}))
	s.must(e.SetAPIServer(t.Context(), []netip.Addr{nodeAddr}))
	return s
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
		s.must(s.e.SetNamespace(ctx, f[1], lbls))
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
		s.view.Services = append(s.view.Services, svc)
	case "policy", "refused":
		err := s.policy(f[1])
		var refused *policy.UnsupportedError
		if f[0] == "refused" && errors.As(err, &refused) {
			err = nil
		}
		s.must(err)
	case "answer":
		a := verdict.Answer{Name: f[2], TTL: time.Hour}
		for _, x := range f[3:] {
			a.Addrs = append(a.Addrs, netip.MustParseAddr(x))
		}
		ns, name := split(f[1])
		for _, p := range s.view.Pods {
			if p.Namespace == ns && p.Name == name {
				s.must(s.e.LearnDNS(ctx, p.addr(), a))
			}
		}
	case "resolve":
		before := s.view.Resolve
		s.view.Resolve = func(name string) []netip.Addr {
			if name == f[1] {
				return []netip.Addr{netip.MustParseAddr(f[2])}
			}
			if before != nil {
				return before(name)
			}
			return nil
		}
	case "explain", "json":
		a, err := Explain(s.e, s.view, request(f[2:]))
		s.must(err)
		var out bytes.Buffer
		if f[0] == "explain" {
			s.must(a.Write(&out))
		} else {
			for i := range a.Connections { // numbered anew in each run
				a.Connections[i].From.Identity, a.Connections[i].To.Identity = 0, 0
			}
			enc := json.NewEncoder(&out)
			enc.SetIndent("", "  ")
			s.must(enc.Encode(a))
		}
		s.compare(f[1], out.Bytes())
	case "fails":
		args, want, _ := strings.Cut(strings.Join(f[1:], " "), " -> ")
		_, err := Explain(s.e, s.view, request(strings.Fields(args)))
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
	for _, a := range strings.Split(f[1], ",") {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	_, err := s.e.SetPod(s.Context(), pod, addrs...)
	s.must(err)
	p := PodOf(pod, addrs...)
	p.Owner = owner
	s.view.Pods = append(s.view.Pods, p)
}

func (s *script) policy(name string) error {
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
		return s.e.SetNetworkPolicy(s.Context(), np)
	}
	if meta.Kind == policy.KindClusterNetworkPolicy {
		cnp := &policyv1alpha2.ClusterNetworkPolicy{}
		if err := yaml.Unmarshal(raw, cnp); err != nil {
			return err
		}
		return s.e.SetClusterNetworkPolicy(s.Context(), cnp)
	}
	cnp := &ciliumv2.CiliumNetworkPolicy{}
	if err := yaml.Unmarshal(raw, cnp); err != nil {
		return err
	}
	return s.e.SetCiliumPolicy(s.Context(), cnp, meta.Kind == policy.KindCiliumClusterwideNetworkPolicy)
}
