package flow

import (
	"strings"
	"testing"
	"time"
)

var (
	frontend = End{Namespace: "shop", Name: "frontend"}
	backend  = End{Namespace: "shop", Name: "backend", Port: 8080}
)

// told are the sentences of a log that took flows.
func told(flows ...Flow) string {
	l := NewLog(100)
	for i, f := range flows {
		f.At = time.Unix(int64(i), 0)
		l.Add(f)
	}
	var out []string
	for _, c := range l.All() {
		out = append(out, c.Sentence("shop"))
	}
	return strings.Join(out, "\n")
}

func TestConnections(t *testing.T) {
	by := []string{"CiliumNetworkPolicy shop/p"}
	dropped := Flow{Verdict: Denied, From: frontend, To: End{Name: "cilium.io", Port: 443}, What: "TCP", Reason: "policy denied at egress", By: by}
	request := Flow{Verdict: Allowed, From: frontend, To: backend, What: "GET /", L7: true, By: by}
	answer := func(code int) Flow {
		return Flow{Verdict: Allowed, From: frontend, To: backend, What: "GET /", L7: true, Answer: true, Code: code}
	}
	proxied := Flow{Verdict: ToProxy, From: frontend, To: backend, What: "TCP"}
	dns := func(name string) Flow {
		return Flow{Verdict: Allowed, From: frontend, To: End{Namespace: "kube-system", Name: "kube-dns", Port: 53}, What: "DNS " + name, L7: true}
	}
	refused := request
	refused.Verdict = Denied
	for name, tc := range map[string]struct {
		flows []Flow
		want  string
	}{
		"the same again is one": {[]Flow{dropped, dropped, dropped},
			"denied, 3 times: from frontend to cilium.io:443, TCP, reason policy denied at egress, by CiliumNetworkPolicy shop/p."},
		"another verdict is another": {[]Flow{request, refused},
			"allowed: from frontend to backend:8080, GET /, by CiliumNetworkPolicy shop/p.\ndenied: from frontend to backend:8080, GET /, by CiliumNetworkPolicy shop/p."},
		"an answer belongs to its request": {[]Flow{request, answer(200), request, answer(200)},
			"allowed, 2 times: from frontend to backend:8080, GET /, HTTP 200, by CiliumNetworkPolicy shop/p."},
		"a 403 is no success": {[]Flow{request, answer(403)},
			"refused with HTTP 403: from frontend to backend:8080, GET /, by CiliumNetworkPolicy shop/p."},
		"a way to the proxy is not told beside the request": {[]Flow{proxied, request},
			"allowed: from frontend to backend:8080, GET /, by CiliumNetworkPolicy shop/p."},
		"a way to the proxy alone is": {[]Flow{proxied}, "to proxy: from frontend to backend:8080, TCP."},
		"a search list is one name": {[]Flow{dns("cilium.io.default.svc.cluster.local"), dns("cilium.io.cluster.local"), dns("cilium.io"), dns("backend.shop.svc.cluster.local")},
			"allowed: from frontend to kube-system/kube-dns:53, DNS cilium.io.\nallowed: from frontend to kube-system/kube-dns:53, DNS backend.shop.svc.cluster.local."},
		"an answer alone": {[]Flow{answer(200)}, "allowed: from frontend to backend:8080, GET /, HTTP 200."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := told(tc.flows...); got != tc.want {
				t.Errorf("told\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestConnection(t *testing.T) {
	c := Connection{Flow: Flow{Verdict: Allowed, From: End{Namespace: "kube-system", Name: "coredns"}, To: End{Name: "host", Port: 6443}, Code: 403,
		By: []string{"CiliumNetworkPolicy a/p", "CiliumClusterwideNetworkPolicy p", "CiliumNetworkPolicy a/q"}}}
	if !c.Refused() || c.Of("shop") || c.Of() || !c.Of("shop", "kube-system") || c.Policies() != "p, q" {
		t.Errorf("refused %v, of shop %v, of kube-system %v, by %q", c.Refused(), c.Of("shop"), c.Of("kube-system"), c.Policies())
	}
	if !c.Holds("COREDNS") || !c.Holds("6443") || c.Holds("frontend") {
		t.Error("what a connection holds is not found, or what it does not hold is")
	}
	if from, _ := c.Ends("shop"); from != "kube-system/coredns" {
		t.Errorf("a pod of another namespace is %q", from)
	}
}

// TestLogIsBounded: the oldest go, and are counted.
func TestLogIsBounded(t *testing.T) {
	l := NewLog(3)
	for i := range 5 {
		l.Add(Flow{Verdict: Allowed, From: frontend, To: End{Name: "x", Port: uint16(i + 1)}})
	}
	all, missed := l.Take()
	if len(all) != 3 || missed != 2 || all[2].To.Port != 5 {
		t.Errorf("%d kept, the last to port %d, %d not", len(all), all[len(all)-1].To.Port, missed)
	}
	if all, missed = l.Take(); len(all) != 0 || missed != 0 {
		t.Errorf("taken twice: %v, %d", all, missed)
	}
}
