package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

	"github.com/netdojo/netdojo/datapath/verdict"
	"github.com/netdojo/netdojo/policies"
)

var (
	nodeAddr = netip.MustParseAddr("192.168.77.2")
	podCIDR  = netip.MustParsePrefix("10.244.0.0/16")

	nodeAddr6 = netip.MustParseAddr("fd00:77::2")
	podCIDR6  = netip.MustParsePrefix("fd00:10:244::/112")
)

// envMode makes a process of tests one of another mode: options of Cilium's engine
// are the whole process's.
const (
	envMode  = "NETDOJO_TEST_MODE"
	modeDual = "dual"
)

func dual() bool { return os.Getenv(envMode) == modeDual }

// cidrModes are those where CIDRs match more than the outside.
var cidrModes = map[string][]string{
	"podcidr":  {CIDRMatchPods},
	"nodecidr": {CIDRMatchNodes},
	"allcidr":  {CIDRMatchNodes, CIDRMatchPods},
}

func cidrMatch() []string { return cidrModes[os.Getenv(envMode)] }

// modeScripts are the scripts of a mode alone.
func modeScripts(mode string) string { return "testdata/" + mode + "/*.txtar" }

// TestDualStack runs other tests in a process with both families: the scripts of
// IPv4, whose claims hold there too, those in testdata/dual, and the comparison
// with Cilium's simulator.
func TestDualStack(t *testing.T) {
	inMode(t, modeDual)
}

// TestCIDRMatch does the same where CIDRs match pods, nodes or both, with the scripts
// of that mode alone.
func TestCIDRMatch(t *testing.T) {
	for mode := range cidrModes {
		t.Run(mode, func(t *testing.T) { inMode(t, mode) })
	}
}

func inMode(t *testing.T, mode string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^(TestScripts|TestDifferential)$", "-test.v",
		fmt.Sprintf("-pairs=%d", *randomPairs), fmt.Sprintf("-seed=%d", *randomSeed))
	cmd.Env = append(os.Environ(), envMode+"="+mode)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestScripts/"+mode)) || !bytes.Contains(out, []byte("--- PASS: TestDifferential")) {
		t.Errorf("%v\n%s", err, out)
	}
	t.Log(string(pairsAgree.Find(out)))
}

func newEngine(t testing.TB, change ...func(*Config)) *Engine {
	t.Helper()
	cfg := Config{
		NodeName: "node", NodeAddrs: []netip.Addr{nodeAddr, netip.MustParseAddr("169.254.1.1")},
		PodCIDRs: []netip.Prefix{podCIDR}, GCInterval: time.Hour,
	}
	if dual() {
		cfg.IPv6 = true
		cfg.NodeAddrs = append(cfg.NodeAddrs, nodeAddr6)
		cfg.PodCIDRs = append(cfg.PodCIDRs, podCIDR6)
	}
	cfg.CIDRMatch = cidrMatch()
	for _, f := range change {
		f(&cfg)
	}
	e, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// pairsAgree is what TestDifferential says of itself.
var pairsAgree = regexp.MustCompile(`\d+ pairs agree, \d+ of them allowed`)

// TestScripts runs testdata/script: each file feeds one engine objects and says
// what connections and DNS questions come to. The verbs are in run.
func TestScripts(t *testing.T) {
	pattern, least := "testdata/script/*.txtar", 40
	if cidrMatch() != nil {
		pattern, least = modeScripts(os.Getenv(envMode)), 5
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	if dual() {
		more, err := filepath.Glob(modeScripts(modeDual))
		if err != nil || len(more) == 0 {
			t.Fatalf("no scripts of dual stack: %v", err)
		}
		files = append(files, more...)
	}
	claims := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, ar: txtar.Parse(raw), e: newEngine(t), pods: map[string]scriptPod{}}
			s.must(s.e.SetNamespace(t.Context(), "default", map[string]string{"kubernetes.io/metadata.name": "default"}))
			s.must(s.e.SetAPIServer(t.Context(), []netip.Addr{nodeAddr}))
			for n, line := range strings.Split(string(s.ar.Comment), "\n") {
				line = strings.TrimSpace(line)
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				s.at = fmt.Sprintf("%s:%d: %s", filepath.Base(file), n+1, line)
				s.run(strings.Fields(line))
			}
			claims += s.claims
		})
	}
	if claims < least {
		t.Errorf("the scripts make %d claims, want at least %d", claims, least)
	}
}

type scriptPod struct {
	pod   *corev1.Pod
	addrs []netip.Addr
}

type script struct {
	t      *testing.T
	e      *Engine
	ar     *txtar.Archive
	at     string
	pods   map[string]scriptPod
	claims int

	request *verdict.HTTPRequest // the last one
}

func (s *script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", s.at, err)
	}
}

// run does one line:
//
//	namespace NAME [K=V…]             pod [NS/]NAME ADDR[,ADDR] [K=V…] [sa=NAME] [port=NAME:80/TCP…]
//	peer [NS/]NAME ADDR [K=V…]        rmpod [NS/]NAME
//	policy FILE                       refused FILE FIELD…      invalid FILE TEXT
//	delete KIND [NS/]NAME             group FILE               rmgroup NAME
//	node NAME ADDR                    answer POD NAME ADDR…
//	secret NS/NAME K=V…               rmsecret NS/NAME
//	service NS/NAME [label.K=V…] [K=V…] [ADDR…]
//	connect FROM TO:PORT/PROTO -> allowed|dns|denied|default-deny|unknown [egress|ingress] [RULE…]
//	dns POD SERVER NAME -> allowed|refused|…
//	http FROM TO:PORT METHOD PATH [Host=X] [NAME=VALUE…] -> allowed|refused|unasked|… [egress|ingress] [RULE…]
//	header NAME VALUE… is what the last request then has
//	tls FROM TO:PORT NAME|- -> allowed|refused|unasked|…
func (s *script) run(f []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	switch verb := f[0]; verb {
	case "namespace":
		lbls := pairs(f[2:])
		lbls["kubernetes.io/metadata.name"] = f[1]
		s.must(s.e.SetNamespace(ctx, f[1], lbls))
	case "pod", "peer":
		p := s.pod(f[1:])
		if verb == "peer" {
			s.must(s.e.SetPeer(ctx, p.pod, p.addrs...))
			return
		}
		_, err := s.e.SetPod(ctx, p.pod, p.addrs...)
		s.must(err)
	case "rmpod":
		s.e.RemovePod(ctx, string(s.pods[qualified(f[1])].pod.UID))
	case "policy":
		s.must(s.policy(ctx, f[1]))
	case "refused":
		err := s.policy(ctx, f[1])
		var u *policies.Rejection
		if !errors.As(err, &u) || !slices.Equal(u.Fields, f[2:]) {
			s.t.Fatalf("%s: got %v", s.at, err)
		}
	case "invalid":
		err := s.policy(ctx, f[1])
		var bad *policies.Rejection
		if !errors.As(err, &bad) || !bad.Whole() || !strings.Contains(err.Error(), strings.Join(f[2:], " ")) {
			s.t.Fatalf("%s: got %v", s.at, err)
		}
	case "delete":
		ns, name, _ := strings.Cut(qualified(f[2]), "/")
		if f[1] == KindCiliumClusterwideNetworkPolicy || f[1] == KindClusterNetworkPolicy {
			ns, name = "", f[2]
		}
		s.must(s.e.DeletePolicy(ctx, Key{f[1], ns, name}))
	case "group":
		g := &ciliumv2.CiliumCIDRGroup{}
		s.must(yaml.Unmarshal(s.file(f[1]), g))
		s.must(s.e.SetCIDRGroup(ctx, g))
	case "rmgroup":
		s.must(s.e.DeleteCIDRGroup(ctx, f[1]))
	case "node":
		s.must(s.e.SetNode(ctx, f[1], []netip.Addr{netip.MustParseAddr(f[2])}))
	case "answer":
		a := verdict.Answer{Name: f[2], TTL: time.Minute}
		for _, x := range f[3:] {
			a.Addrs = append(a.Addrs, netip.MustParseAddr(x))
		}
		s.must(s.e.LearnDNS(ctx, s.addr(f[1]), a))
	case "service":
		ns, name, _ := strings.Cut(f[1], "/")
		svc := Service{Namespace: ns, Name: name, Labels: map[string]string{}, Selector: map[string]string{}}
		for _, x := range f[2:] {
			k, v, isPair := strings.Cut(x, "=")
			if l, ok := strings.CutPrefix(k, "label."); ok {
				svc.Labels[l] = v
			} else if isPair {
				svc.Selector[k] = v
			} else {
				svc.Addrs = append(svc.Addrs, netip.MustParseAddr(x))
			}
		}
		s.must(s.e.SetService(ctx, svc))
	case "secret":
		ns, name, _ := strings.Cut(f[1], "/")
		data := map[string][]byte{}
		for k, v := range pairs(f[2:]) {
			data[k] = []byte(v)
		}
		s.e.SetSecret(ns, name, data)
	case "rmsecret":
		ns, name, _ := strings.Cut(f[1], "/")
		s.e.DeleteSecret(ns, name)
	case "connect":
		s.claim(f, s.e.Decide(s.query(f[1], f[2])))
	case "dns":
		s.claim(f, s.e.DecideDNS(s.query(f[1], f[2]+":53/UDP"), f[3]))
	case "http":
		s.request = &verdict.HTTPRequest{Method: f[3], Path: f[4], Host: "server", Header: map[string][]string{}}
		for _, x := range f[5:slices.Index(f, "->")] {
			k, v, _ := strings.Cut(x, "=")
			if k == "Host" {
				s.request.Host = v
				continue
			}
			s.request.Header[k] = append(s.request.Header[k], v)
		}
		s.claimLast(f, s.e.DecideHTTP(s.query(f[1], f[2]+"/TCP"), s.request))
	case "header":
		s.claims++
		if got := s.request.Header[f[1]]; !slices.Equal(got, f[2:]) {
			s.t.Errorf("%s: got %q", s.at, got)
		}
	case "tls":
		s.claimLast(f, s.e.DecideTLS(s.query(f[1], f[2]+"/TCP"), strings.TrimPrefix(f[3], "-")))
	default:
		s.t.Fatalf("%s: unknown verb", s.at)
	}
}

// claimLast is claim for the last of several verdicts: the one that counts.
func (s *script) claimLast(f []string, verdicts []verdict.Verdict) {
	s.t.Helper()
	if len(verdicts) > 0 {
		s.claim(f, verdicts[len(verdicts)-1])
		return
	}
	s.claims++
	if !slices.Equal(f[slices.Index(f, "->")+1:], []string{"unasked"}) {
		s.t.Errorf("%s: nobody asks about it", s.at)
	}
}

// claim compares a verdict with what stands after the arrow.
func (s *script) claim(f []string, v verdict.Verdict) {
	s.t.Helper()
	i := slices.Index(f, "->")
	if i < 0 {
		s.t.Fatalf("%s: no claim", s.at)
	}
	s.claims++
	want := f[i+1:]
	got := []string{outcome(v)}
	if len(want) > 1 && (want[1] == "egress" || want[1] == "ingress") {
		got = append(got, map[verdict.Direction]string{verdict.Egress: "egress", verdict.Ingress: "ingress"}[v.Direction])
	}
	if len(want) > len(got) {
		for _, r := range v.Rules {
			got = append(got, r.Name)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: got %v (%+v)", s.at, got, v)
	}
}

func outcome(v verdict.Verdict) string {
	switch v.Action {
	case verdict.Allow:
		return "allowed"
	case verdict.RedirectDNS:
		return "dns"
	case verdict.RedirectHTTP:
		return "http"
	case verdict.RedirectTLS:
		return "tls"
	}
	switch v.Reason {
	case verdict.ReasonPolicy:
		return "default-deny"
	case verdict.ReasonPolicyDeny:
		return "denied"
	case verdict.ReasonUnknownPeer:
		return "unknown"
	case verdict.ReasonL7:
		return "refused"
	}
	return fmt.Sprintf("reason-%d", v.Reason)
}

func (s *script) query(from, to string) verdict.Query {
	s.t.Helper()
	slash := strings.LastIndexByte(to, '/')
	rest, proto := to[:slash], to[slash+1:]
	colon := strings.LastIndexByte(rest, ':')
	host, port := strings.Trim(rest[:colon], "[]"), rest[colon+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	s.must(err)
	q := verdict.Query{
		Src: s.addr(from), Dst: s.addr(host), SrcPort: 40000, DstPort: uint16(n),
		FromHost: strings.HasPrefix(from, "host"), ToHost: strings.HasPrefix(host, "host"),
	}
	switch proto {
	case "TCP":
		q.Proto = 6
	case "UDP":
		q.Proto = 17
	case "SCTP":
		q.Proto = 132
	case "ICMP":
		q.Proto, q.SrcPort = 1, 0
	case "ICMPv6":
		q.Proto, q.SrcPort = 58, 0
	default:
		s.t.Fatalf("%s: protocol %q", s.at, proto)
	}
	return q
}

func (s *script) addr(name string) netip.Addr {
	s.t.Helper()
	switch name {
	case "host":
		return nodeAddr
	case "host6":
		return nodeAddr6
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a
	}
	bare, six := strings.CutSuffix(name, "/6") // a pod's address of IPv6
	p, ok := s.pods[qualified(bare)]
	if !ok || six && len(p.addrs) < 2 {
		s.t.Fatalf("%s: no pod %s", s.at, name)
	}
	if six {
		return p.addrs[1]
	}
	return p.addrs[0]
}

func (s *script) file(name string) []byte {
	s.t.Helper()
	for _, f := range s.ar.Files {
		if f.Name == name {
			return f.Data
		}
	}
	s.t.Fatalf("%s: no file %s", s.at, name)
	return nil
}

func (s *script) policy(ctx context.Context, name string) error {
	s.t.Helper()
	return setYAML(ctx, s.e, s.file(name))
}

// setYAML puts a policy of any kind in force.
func setYAML(ctx context.Context, e *Engine, raw []byte) error {
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(raw, &meta); err != nil {
		return err
	}
	if meta.Kind == KindNetworkPolicy {
		np := &networkingv1.NetworkPolicy{}
		if err := yaml.Unmarshal(raw, np); err != nil {
			return err
		}
		return e.SetNetworkPolicy(ctx, np)
	}
	if meta.Kind == KindClusterNetworkPolicy {
		cnp := &policyv1alpha2.ClusterNetworkPolicy{}
		if err := yaml.Unmarshal(raw, cnp); err != nil {
			return err
		}
		return e.SetClusterNetworkPolicy(ctx, cnp)
	}
	cnp := &ciliumv2.CiliumNetworkPolicy{}
	if err := yaml.Unmarshal(raw, cnp); err != nil {
		return err
	}
	return e.SetCiliumPolicy(ctx, cnp, meta.Kind == KindCiliumClusterwideNetworkPolicy)
}

func (s *script) pod(f []string) scriptPod {
	ns, name, _ := strings.Cut(qualified(f[0]), "/")
	p := scriptPod{pod: makePod(ns, name)}
	for _, a := range strings.Split(f[1], ",") {
		p.addrs = append(p.addrs, netip.MustParseAddr(a))
	}
	for _, x := range f[2:] {
		k, v, _ := strings.Cut(x, "=")
		switch k {
		case "sa":
			p.pod.Spec.ServiceAccountName = v
		case "port":
			port, rest, _ := strings.Cut(v, ":")
			num, proto, _ := strings.Cut(rest, "/")
			n, err := strconv.Atoi(num)
			s.must(err)
			c := &p.pod.Spec.Containers[0]
			c.Ports = append(c.Ports, corev1.ContainerPort{Name: port, ContainerPort: int32(n), Protocol: corev1.Protocol(proto)})
		default:
			p.pod.Labels[k] = v
		}
	}
	s.pods[ns+"/"+name] = p
	return p
}

func makePod(ns, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(ns + "-" + name), Labels: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
	}
}

func qualified(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return "default/" + name
}

func pairs(f []string) map[string]string {
	out := map[string]string{}
	for _, x := range f {
		k, v, _ := strings.Cut(x, "=")
		out[k] = v
	}
	return out
}
