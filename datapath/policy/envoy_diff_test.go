//go:build !race

package policy

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/cilium/pkg/envoy"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/proxy/accesslog"
	cilium "github.com/cilium/proxy/go/cilium/api"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// TestAgreesWithEnvoysRules makes random policies and requests, and holds each
// verdict against the text that Cilium would send to Envoy for the same
// endpoint, read here by the words of its protocol: rules by falling
// precedence, of one precedence a deny before an allow, a rule without HTTP
// rules for every request, expressions that match as a whole.
func TestAgreesWithEnvoysRules(t *testing.T) {
	const rounds, perRound = 150, 1000
	rng := rand.New(rand.NewPCG(1, 2))
	probes, allowed, denied := 0, 0, 0
	for round := range rounds {
		e := newEngine(t)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		must(e.SetNamespace(t.Context(), "default", nil))
		addrs := map[string]netip.Addr{"world": netip.MustParseAddr("20.0.0.1")}
		for i, name := range []string{"a", "b", "server"} {
			p := makePod("default", name)
			p.Labels["app"], p.Labels["even"] = name, fmt.Sprint(i%2 == 0)
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: int32(80 + i), Protocol: corev1.ProtocolTCP}}
			addrs[name] = netip.MustParseAddr(fmt.Sprintf("10.244.0.%d", 10+i))
			_, err := e.SetPod(t.Context(), p, addrs[name])
			must(err)
		}
		var texts []string
		for i := range 1 + rng.IntN(3) {
			text := randomL7Policy(rng, i)
			// The order of two rules' actions is nobody's promise.
			if i > 0 || strings.Count(text, "headerMatches") > 1 {
				text = headerMatches.ReplaceAllString(text, "")
			}
			texts = append(texts, text)
			cnp := &ciliumv2.CiliumNetworkPolicy{}
			must(yaml.Unmarshal([]byte(text), cnp))
			must(e.SetCiliumPolicy(t.Context(), cnp, false))
		}
		from, to := []string{"a", "b", "world"}, []string{"server", "server", "world"}
		for range perRound {
			q := verdict.Query{
				Src: addrs[pick(rng, from)], Dst: addrs[pick(rng, to)], Proto: protoTCP, SrcPort: 4000, DstPort: pick(rng, []uint16{80, 80, 81, 82, 83}),
			}
			req := &verdict.HTTPRequest{
				Method: pick(rng, []string{"GET", "POST", "PUT"}), Path: pick(rng, []string{"/", "/a", "/b", "/a/b?c"}),
				Host: pick(rng, []string{"x", "y.z", "yaz"}), Header: map[string][]string{},
			}
			for _, name := range []string{"X-A", "X-B"} {
				for range rng.IntN(3) {
					req.Header[name] = append(req.Header[name], pick(rng, []string{"1", "2"}))
				}
			}
			wantHeader := http.Header(req.Header).Clone()
			for _, v := range e.DecideHTTP(q, req) {
				ep := e.pods.at(q.Dst)
				peer := e.lookup(q.Src, false)
				if v.Direction == verdict.Egress {
					ep, peer = e.pods.at(q.Src), e.lookup(q.Dst, false)
				}
				if v.Action == verdict.Drop && v.Reason != verdict.ReasonL7 {
					continue // the connection itself is denied
				}
				probes++
				want := envoyAllows(t, e, ep, v.Direction, uint32(peer.id), uint32(q.DstPort), req, wantHeader)
				if got := v.Action == verdict.Allow; got != want {
					t.Fatalf("round %d: %+v %+v: allowed %v, Envoy's rules say %v\n%s", round, q, req, got, want, strings.Join(texts, "---\n"))
				}
				if v.Action == verdict.Allow {
					allowed++
				} else {
					denied++
				}
			}
			if !maps.EqualFunc(req.Header, wantHeader, slices.Equal[[]string]) {
				t.Fatalf("round %d: headers %v, want %v\n%s", round, req.Header, wantHeader, strings.Join(texts, "---\n"))
			}
		}
		e.Close()
	}
	t.Logf("%d verdicts: %d allowed, %d denied", probes, allowed, denied)
	if allowed < 10_000 || denied < 5_000 {
		t.Errorf("%d allowed and %d denied prove too little", allowed, denied)
	}
}

var headerMatches = regexp.MustCompile(`headerMatches: \[\{[^}]*\}\]`)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// randomL7Policy is a policy for the server or a client, with and without rules
// for HTTP.
func randomL7Policy(rng *rand.Rand, n int) string {
	peers := func(side string) string {
		return pick(rng, []string{
			"", side + `Endpoints: [{matchLabels: {app: a}}], `, side + `Endpoints: [{matchLabels: {even: "true"}}], `,
			side + `Entities: [all], `, side + `CIDR: [20.0.0.0/8], `, side + `Endpoints: [{}], `,
		})
	}
	rule := func() string {
		var fields []string
		add := func(odds int, field string) {
			if rng.IntN(odds) == 0 {
				fields = append(fields, field)
			}
		}
		add(2, "method: "+pick(rng, []string{"GET", `"GET|PUT"`, `"P.*"`}))
		add(2, "path: "+pick(rng, []string{"/a", `"/[ab]"`, `"/a.*"`, "/"}))
		add(4, "host: "+pick(rng, []string{"x", `y.z`, `'y\.z'`}))
		add(4, "headers: "+pick(rng, []string{`[X-A]`, `["X-A: 1"]`, `["x-b: 1,2", X-A]`}))
		add(5, "headerMatches: [{name: "+pick(rng, []string{"X-A", "x-b"})+pick(rng, []string{"", `, value: "1"`})+
			pick(rng, []string{"", ", mismatch: LOG", ", mismatch: ADD", ", mismatch: DELETE", ", mismatch: REPLACE"})+"}]")
		return "{" + strings.Join(fields, ", ") + "}"
	}
	ports := func(l7 bool) string {
		var out []string
		for range rng.IntN(3) {
			p := "{ports: [{port: " + pick(rng, []string{`"80"`, `"81"`, `"80", endPort: 84`, `web`, `"82"`}) + ", protocol: TCP}]"
			if l7 && rng.IntN(4) > 0 {
				var rules []string
				for range 1 + rng.IntN(3) {
					rules = append(rules, rule())
				}
				p += ", rules: {http: [" + strings.Join(rules, ", ") + "]}"
			}
			out = append(out, p+"}")
		}
		return "toPorts: [" + strings.Join(out, ", ") + "]"
	}
	subject, section, side := "server", "ingress", "from"
	if rng.IntN(2) == 0 {
		subject, section, side = pick(rng, []string{"a", "b"}), "egress", "to"
	}
	spec := "endpointSelector: {matchLabels: {app: " + subject + "}}, " + section + ": ["
	for range 1 + rng.IntN(3) {
		spec += "{" + peers(side) + ports(true) + "}, "
	}
	spec += "]"
	if rng.IntN(4) == 0 {
		spec += ", " + section + "Deny: [{" + peers(side) + ports(false) + "}]"
	}
	return fmt.Sprintf("metadata: {name: p%d, namespace: default}\nspec: {%s}\n", n, spec)
}

// envoyAllows evaluates what Cilium would send to Envoy for an endpoint. It
// changes header as the rules ask.
func envoyAllows(t *testing.T, e *Engine, ep *endpoint, dir verdict.Direction, peer, port uint32, req *verdict.HTTPRequest, header http.Header) bool {
	t.Helper()
	p := ep.policy
	l4, enforced, name := &p.SelectorPolicy.L4Policy.Ingress, p.SelectorPolicy.IngressPolicyEnabled, "ingress"
	if dir == verdict.Egress {
		l4, enforced, name = &p.SelectorPolicy.L4Policy.Egress, p.SelectorPolicy.EgressPolicyEnabled, "egress"
	}
	logger := slog.New(slog.DiscardHandler)
	sent := envoy.GetDirectionNetworkPolicy(updater{p.PolicyOwner.(*owner)}, p.SelectorPolicy.GetEgressNamedPorts,
		e.repo.GetSelectorCache().GetSelectorSnapshot(), l4, enforced, false, false, name, "", logger, envoypolicy.NewEnvoyL7RulesTranslator(logger, &e.secrets))
	var rules []*cilium.PortNetworkPolicyRule
	everything, asked := false, false
	for _, pp := range sent {
		if pp.Port != 0 && pp.Port != port && (port < pp.Port || port > pp.EndPort) {
			continue
		}
		everything = everything || len(pp.Rules) == 0
		rules = append(rules, pp.Rules...)
		for _, r := range pp.Rules {
			asked = asked || len(r.GetHttpRules().GetHttpRules()) > 0
		}
	}
	if !asked {
		return true
	}
	if everything {
		rules = append(rules, &cilium.PortNetworkPolicyRule{})
	}
	slices.SortStableFunc(rules, func(a, b *cilium.PortNetworkPolicyRule) int { return int(int64(b.Precedence) - int64(a.Precedence)) })
	verdicts := map[uint32]bool{}
	for _, r := range rules {
		if len(r.RemotePolicies) > 0 && !slices.Contains(r.RemotePolicies, peer) {
			continue
		}
		if len(verdicts) > 0 && !verdicts[r.Precedence] {
			break // a rule above has decided
		}
		if r.GetDeny() {
			return false
		}
		if matchesAny(r.GetHttpRules().GetHttpRules(), req, header) {
			verdicts[r.Precedence] = true
		}
	}
	return len(verdicts) > 0
}

func matchesAny(rules []*cilium.HttpNetworkPolicyRule, req *verdict.HTTPRequest, header http.Header) bool {
	if len(rules) == 0 {
		return true
	}
	any := false
	for _, r := range rules {
		all := true
		for _, h := range r.Headers {
			var values []string
			switch h.Name {
			case ":path":
				values = []string{req.Path}
			case ":method":
				values = []string{req.Method}
			case ":authority":
				values = []string{req.Host}
			default:
				values = header.Values(h.Name)
			}
			value, ok := strings.Join(values, ","), len(values) > 0
			switch {
			case h.GetPresentMatch():
			case h.GetStringMatch().GetSafeRegex() != nil:
				ok = ok && regexp.MustCompile("^(?:"+h.GetStringMatch().GetSafeRegex().Regex+")$").MatchString(value)
			default:
				ok = ok && value == h.GetStringMatch().GetExact()
			}
			all = all && ok
		}
		if !all {
			continue
		}
		for _, m := range r.HeaderMatches {
			values := header.Values(m.Name)
			if len(values) > 0 && (m.Value == "" || strings.Join(values, ",") == m.Value) {
				continue
			}
			switch m.MismatchAction {
			case cilium.HeaderMatch_CONTINUE_ON_MISMATCH:
			case cilium.HeaderMatch_ADD_ON_MISMATCH:
				header.Add(m.Name, m.Value)
			case cilium.HeaderMatch_DELETE_ON_MISMATCH:
				header.Del(m.Name)
			case cilium.HeaderMatch_REPLACE_ON_MISMATCH:
				header.Set(m.Name, m.Value)
			default:
				all = false
			}
		}
		any = any || all
	}
	return any
}

// updater is what Cilium's translation asks about an endpoint.
type updater struct{ *owner }

func (updater) GetPolicyNames() []string           { return nil }
func (updater) GetIPv4Address() string             { return "" }
func (updater) GetIPv6Address() string             { return "" }
func (updater) OnProxyPolicyUpdate(uint64)         {}
func (updater) GetListenerProxyPort(string) uint16 { return 0 }
func (updater) UpdateProxyStatistics(string, string, uint16, uint16, bool, bool, accesslog.FlowVerdict) {
}
