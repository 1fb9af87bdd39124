//go:build envoy

package http

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	cilium "github.com/cilium/proxy/go/cilium/api"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/datapath/verdict"
)

var (
	envoyProgram = flag.String("envoy", "", "the program of Envoy")
	envoySets    = flag.Int("envoy.sets", 2000, "how many sets of rules TestAgreesWithEnvoy makes")
	envoyEach    = flag.Int("envoy.requests", 64, "how many requests it sends by the rules of each")
)

// setHeader tells Envoy which set of rules a request is about; no rule names it.
const setHeader = "X-Netdojo-Set"

// TestAgreesWithEnvoy makes sets of HTTP rules at random and sends the same bytes
// through the proxy and through a real Envoy, whose RBAC filter has the rules as
// Cilium translates them for Envoy, behind a listener with Cilium's settings. Both
// must answer with the same status, and send the server the same method, target,
// authority and headers that rules ask for.
//
// RBAC has no word for what a rule does on a mismatch (ADD, DELETE, REPLACE, LOG),
// and none for an allow that passes a deny of a lower tier: neither is made here.
func TestAgreesWithEnvoy(t *testing.T) {
	rng := rand.New(rand.NewPCG(*smugglingSeed, 3))
	sets := make([]*ruleSet, *envoySets)
	for i := range sets {
		sets[i] = newRuleSet(rng, i)
	}
	server := newEcho(t)
	ours := newJudged(t, sets, server)
	theirs := newEnvoy(t, sets, server)

	var n, allowed, near, byDeny, redirected int
	for _, set := range sets {
		for peer := range peers {
			var requests []*asked
			for range *envoyEach / peers {
				requests = append(requests, set.request(rng))
			}
			var got, want []answer
			var group errgroup.Group
			group.Go(func() (err error) { got, err = exchangeAll(ours.dial(set, peer), requests); return err })
			group.Go(func() (err error) { want, err = exchangeAll(theirs.dial(peer), requests); return err })
			if err := group.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, set.text)
			}
			for i, q := range requests {
				if q.halfEscape() {
					if got[i].status != http.StatusBadRequest {
						t.Errorf("%q: netdojo %v, where it refuses what begins no escape", q.wire, got[i])
					}
					continue
				}
				n++
				if got[i] != want[i] {
					t.Errorf("%q from %d:\nnetdojo %v\nEnvoy   %v\n%s", q.wire, peer, got[i], want[i], set.text)
				}
				switch {
				case want[i].status == http.StatusOK:
					allowed++
				case want[i].status == http.StatusTemporaryRedirect:
					redirected++
				case set.denied[peer]:
					byDeny++
				case q.near:
					near++
				}
			}
		}
		if t.Failed() {
			break // one set says enough
		}
	}
	t.Logf("%d requests to %d sets of rules agree with Envoy: %.1f %% of them allowed, %.1f %% denied for one field alone, %d denied by a deny rule, %d redirected",
		n, len(sets), 100*float64(allowed)/float64(n), 100*float64(near)/float64(n), byDeny, redirected)
	if allowed*10 < n*3 || near*10 < n*3 {
		t.Error("that proves too little: 30 % of each are wanted")
	}
}

// peers is how many clients there are. Client N is 20.0.0.N+1 to the engine and
// connects to Envoy from 127.0.1.N+1.
const peers = 2

// ruleSet is one server's rules.
type ruleSet struct {
	number int
	text   string // the policy
	policy ciliumv2.CiliumNetworkPolicy
	rules  []peerRules
	denied [peers]bool // by a deny rule
	wanted []wanted
}

// peerRules are HTTP rules of one peer, or of all when peer is negative.
type peerRules struct {
	peer int
	http *cilium.HttpNetworkPolicyRules
}

// wanted is what a request needs to match one rule.
type wanted struct{ method, path, host, header sample }

// sample is a field of a rule: its text, what matches it, and what just does not.
type sample struct {
	rule      string
	yes, miss []string
}

var (
	methodSamples = []sample{
		{"", []string{"GET", "POST", "PUT"}, nil},
		{`"GET"`, []string{"GET"}, []string{"POST", "get", "GETS", "HEAD"}},
		{`"GET|PUT"`, []string{"GET", "PUT"}, []string{"GETPUT", "POST", "PU"}},
		{`"P.*"`, []string{"POST", "PUT", "PATCH"}, []string{"GET", "OPTIONS"}},
		{`"(POST|DELETE)"`, []string{"POST", "DELETE"}, []string{"DELETED", "OST"}},
	}
	pathSamples = []sample{
		{"", []string{"/", "/any", "/a%20b?c=d"}, nil},
		{`"/"`, []string{"/", "//", "/.", "/a/.."}, []string{"/a", "/?", "/?x"}},
		{`"/public"`, []string{"/public", "/./public", "//public", "/%70ublic", "/x/../public"}, []string{"/public/", "/Public", "/public?q", "/publi", "/public%20", "/public%2f"}},
		{`"/public(/.*)?"`, []string{"/public", "/public/", "/public/a/b", "/public/a?b=c", "/public//x", "/public/a/./b"},
			[]string{"/publica", "/public?q=1", "/public/../private", "/private/../publi", "/public;a", "/public/%2e%2e/private"}},
		{`"/v[0-9]+/items/[^/]+"`, []string{"/v1/items/a", "/v22/items/a%3Fb", "/v1/items/a-b_c~d"}, []string{"/v/items/a", "/v1/items/", "/v1/items/a/b", "/va/items/a", "/v1/items/a%2fb"}},
		{`"/a.*z"`, []string{"/az", "/a/b/c/z", "/a?z", "/a%41z"}, []string{"/az/", "/A/z", "/ba/z", "/a%5cz"}},
		{`"(?i)/case"`, []string{"/case", "/CASE", "/%63ase"}, []string{"/cas", "/case/"}},
		{`"/caf%C3%A9"`, []string{"/caf%C3%A9"}, []string{"/cafe", "/caf%C3"}},
	}
	hostSamples = []sample{
		{"", []string{"a", "b.test", "b.test:8080"}, nil},
		{`"b.test"`, []string{"b.test", "bxtest"}, []string{"a.b.test", "b.test.", "B.TEST", "b.test:80"}},
		{`'(www\.)?c\.test'`, []string{"c.test", "www.c.test"}, []string{"wwwxc.test", "c.test.evil"}},
		{`'[a-z]+\.test(:[0-9]+)?'`, []string{"q.test", "q.test:8080"}, []string{"1.test", "q.test:", "q.tes"}},
	}
	headerSamples = []sample{
		{"", []string{"", "X-A: 1", "X-B: 2"}, nil},
		{`headers: ["X-A"]`, []string{"X-A: 1", "x-a: ", "X-A: 1\r\nX-A: 2"}, []string{"", "X-B: 1", "X-AA: 1"}},
		{`headers: ["X-A: 1"]`, []string{"X-A: 1", "x-A:1"}, []string{"X-A: 2", "X-A: 1\r\nX-A: 1", "X-A: 11", "X-B: 1"}},
		{`headers: ["X-A: 1", "X-B"]`, []string{"X-A: 1\r\nX-B: 2", "X-B: 0\r\nX-A: 1"}, []string{"X-A: 1", "X-B: 2", "X-A: 2\r\nX-B: 2"}},
		{`headers: ["X-A: 1,2"]`, []string{"X-A: 1,2", "X-A: 1\r\nX-A: 2"}, []string{"X-A: 2\r\nX-A: 1", "X-A: 1, 2", "X-A: 1"}},
		{`headerMatches: [{name: X-A, value: "1"}]`, []string{"X-A: 1"}, []string{"X-A: 2", "", "X-A: 1\r\nX-A: 2"}},
	}
)

// pieces make paths that Envoy changes or refuses.
var pieces = []string{
	"", "/", "a", ".", "..", "/./", "/../", "//", "%2e", "%2E%2e/", "%2f", "%2F..", "%5c", `\`, `\..\`, "%00", "%", "%4", "%zz", "%41", "%7e", "~", ";x=1", "/;/", "..;", "/..;x/", ".;a=b", ";..", "public",
	"?", "?a/../b", "?%2e%2e", "?a?b", "?//", "#f", "%23", "%3f", "\u00e9", "%C3%A9", "%c3%a9", "%ff", "\xff", "|", "{", "}", `"`, "<", ">", "^", "`", ":", "@", "!$&'()*+,=", "-._~", "[", "]",
}

// verbs are methods that HTTP/1 parsers may know or not.
var verbs = strings.Fields("GET GET GET GET GET GET POST PUT HEAD OPTIONS PATCH DELETE TRACE ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL " +
	"MKREDIRECTREF MKWORKSPACE MOVE MSEARCH M-SEARCH NOTIFY ORDERPATCH PRI PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNCHECKOUT UNLINK UNLOCK UNSUBSCRIBE UPDATE UPDATEREDIRECTREF VERSION-CONTROL get Get X")

func from[T any](rng *rand.Rand, of []T) T { return of[rng.IntN(len(of))] }

func newRuleSet(rng *rand.Rand, number int) *ruleSet {
	set := &ruleSet{number: number}
	var b strings.Builder
	fmt.Fprintf(&b, "metadata: {name: p%d, namespace: default}\nspec:\n  endpointSelector: {matchLabels: {app: server-%d}}\n  ingress:\n", number, number)
	for range 1 + rng.IntN(3) {
		peer := rng.IntN(peers+2) - 2
		source := "fromEntities: [all]"
		if peer >= 0 {
			source = fmt.Sprintf("fromCIDR: [20.0.0.%d/32]", peer+1)
		}
		set.rules = append(set.rules, peerRules{peer: peer})
		fmt.Fprintf(&b, "  - %s\n    toPorts:\n    - ports: [{port: \"80\", protocol: TCP}]\n      rules:\n        http:\n", source)
		for range 1 + rng.IntN(3) {
			w := wanted{method: from(rng, methodSamples), path: from(rng, pathSamples), host: from(rng, hostSamples[:1+rng.IntN(len(hostSamples))]),
				header: from(rng, headerSamples[:1+rng.IntN(len(headerSamples))])}
			set.wanted = append(set.wanted, w)
			var fields []string
			for name, s := range map[string]sample{"method": w.method, "path": w.path, "host": w.host} {
				if s.rule != "" {
					fields = append(fields, name+": "+s.rule)
				}
			}
			slices.Sort(fields)
			if w.header.rule != "" {
				fields = append(fields, w.header.rule)
			}
			fmt.Fprintf(&b, "        - {%s}\n", strings.Join(fields, ", "))
		}
	}
	if rng.IntN(8) == 0 {
		peer := rng.IntN(peers)
		set.denied[peer] = true
		fmt.Fprintf(&b, "  ingressDeny: [{fromCIDR: [20.0.0.%d/32]}]\n", peer+1)
	}
	set.text = b.String()
	return set
}

// asked is a request and whether it misses a rule in one field alone.
type asked struct {
	wire string
	near bool
}

// halfEscape says that a % of the path begins no escape. Envoy leaves it as it is;
// the proxy refuses it, since what follows can make it whole (path.go).
func (q *asked) halfEscape() bool {
	path, _, _ := strings.Cut(strings.Fields(q.wire)[1], "?")
	_, err := url.PathUnescape(path)
	return err != nil
}

// request matches a rule, or all of it but one field.
func (s *ruleSet) request(rng *rand.Rand) *asked {
	w := from(rng, s.wanted)
	fields := [4]string{from(rng, w.method.yes), from(rng, w.path.yes), from(rng, w.host.yes), from(rng, w.header.yes)}
	q := &asked{}
	if rng.IntN(100) < 55 {
		for _, i := range rng.Perm(4) {
			if miss := [4]sample{w.method, w.path, w.host, w.header}[i].miss; len(miss) > 0 {
				fields[i], q.near = from(rng, miss), true
				break
			}
		}
	}
	if rng.IntN(8) == 0 {
		q.near, fields[1] = false, "/"
		for range 1 + rng.IntN(4) {
			fields[1] += from(rng, pieces)
		}
		fields[0] = from(rng, verbs)
	}
	header := ""
	if fields[3] != "" {
		header = fields[3] + "\r\n"
	}
	q.wire = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s: %d\r\n%s\r\n", fields[0], fields[1], fields[2], setHeader, s.number, header)
	return q
}

// answer is what became of a request: the status, where a redirect leads, and what
// the server read.
type answer struct {
	status         int
	location, seen string
}

// exchangeAll sends requests one after the other, on one connection for as long as it
// stays open.
func exchangeAll(dial func() (net.Conn, error), requests []*asked) (answers []answer, err error) {
	var conn net.Conn
	var in *bufio.Reader
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for _, q := range requests {
		if conn == nil {
			if conn, err = dial(); err != nil {
				return nil, err
			}
			in = bufio.NewReader(conn)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(conn, q.wire); err != nil {
			return nil, fmt.Errorf("send %q: %w", q.wire, err)
		}
		method, _, _ := strings.Cut(q.wire, " ")
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return nil, fmt.Errorf("the answer to %q: %w", q.wire, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, fmt.Errorf("the answer to %q: %w", q.wire, err)
		}
		answers = append(answers, answer{status: resp.StatusCode, location: resp.Header.Get("Location"), seen: resp.Header.Get("Seen")})
		if resp.Close {
			_ = conn.Close()
			conn = nil
		}
	}
	return answers, nil
}

// newEcho is a server that answers with what it read.
func newEcho(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Seen", fmt.Sprintf("%s %s %s %q %q", r.Method, r.RequestURI, r.Host, r.Header["X-A"], r.Header["X-B"]))
	})}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() { must(t, s.Close()); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// judged is the proxy with the engine.
type judged struct{ clients *pairs }

func podOf(set int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 244, byte(set >> 8), byte(set)}) // fewer than 2^16
}

func newJudged(t *testing.T, sets []*ruleSet, server netip.AddrPort) *judged {
	t.Helper()
	engine, err := policy.New(t.Context(), policy.Config{
		NodeName: "node", NodeAddrs: []netip.Addr{netip.MustParseAddr("10.1.0.1")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, GCInterval: time.Hour,
	})
	must(t, err)
	t.Cleanup(engine.Close)
	must(t, engine.SetNamespace(t.Context(), "default", nil))
	for _, set := range sets {
		name := fmt.Sprintf("server-%d", set.number)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}}}
		_, err := engine.SetPod(t.Context(), pod, podOf(set.number))
		must(t, err)
		must(t, yaml.Unmarshal([]byte(set.text), &set.policy))
		must(t, engine.SetCiliumPolicy(t.Context(), set.policy.DeepCopy(), false))
	}
	j := &judged{clients: newPairs()}
	proxy, err := newProxy(t.Context(), Config{Decider: engine, Sink: discard{}}, j.clients)
	must(t, err)
	proxy.ends = func(c net.Conn) (client, server netip.AddrPort) {
		// The port tells the set.
		addr := c.RemoteAddr().(*net.TCPAddr).AddrPort()
		return netip.AddrPortFrom(addr.Addr(), 40000), netip.AddrPortFrom(podOf(int(addr.Port())), 80)
	}
	proxy.dial = func(ctx context.Context, _, _ netip.Addr, _ uint16) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp4", server.String())
	}
	proxy.serve()
	t.Cleanup(func() { must(t, proxy.Close()) })
	return j
}

type discard struct{}

func (discard) Publish(verdict.Event) {}

func (j *judged) dial(set *ruleSet, peer int) func() (net.Conn, error) {
	return func() (net.Conn, error) {
		near, far, err := pair(netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, 0, 0, byte(peer + 1)}), uint16(set.number)))
		if err == nil {
			j.clients.conns <- far
		}
		return near, err
	}
}
