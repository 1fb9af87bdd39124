package pagerun

import (
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// frame is one frame of a WebSocket's server.
func frame(final bool, op byte, payload string) []byte {
	first := op
	if final {
		first |= 0x80
	}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	stream := slices.Concat(
		frame(true, 2, "\x01one"), frame(true, 9, "ping"), frame(false, 2, "\x01tw"), frame(true, 0, "o"),
		frame(true, 2, "\x02"+long[:300]), frame(true, 2, "\x01"+long), frame(true, 2, "\x03end"),
	)
	want := []string{"\x01one", "\x01two", "\x02" + long[:300], "\x01" + long, "\x03end"}
	for _, step := range []int{1, 3, 1000, len(stream)} {
		var f frames
		var got []string
		for part := range slices.Chunk(stream, step) {
			f.feed(part, func(m []byte) { got = append(got, string(m)) })
		}
		if !slices.Equal(got, want) {
			t.Errorf("in steps of %d: %d messages, want %d", step, len(got), len(want))
		}
	}
	var f frames
	f.feed(binary.BigEndian.AppendUint64([]byte{0x82, 127}, 1<<40), func([]byte) { t.Error("a message") })
	if !f.lost || len(f.buf) > 100 {
		t.Errorf("an endless frame is waited for: %d bytes kept", len(f.buf))
	}
}

func TestExecutionEnds(t *testing.T) {
	status := func(text string) *execution {
		e := &execution{done: make(chan struct{})}
		e.take([]byte("\x01HTTP/2 200 \r\n"))
		e.take([]byte("\x03" + text))
		e.end("the connection ended")
		return e
	}
	code := func(e *execution) int {
		if c := e.look().code; c != nil {
			return *c
		}
		return -1
	}
	for text, want := range map[string]int{
		`{"status":"Success"}`: 0,
		`{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"28"}]}}`: 28,
		`{"status":"Failure","reason":"InternalError","message":"no such container"}`:                                 -1,
		``: -1,
	} {
		e := status(text)
		if got := code(e); got != want || e.look().out != "HTTP/2 200 \r\n" || e.running() {
			t.Errorf("%s: code %d, want %d", text, got, want)
		}
	}
}

// relay is an api in front of a server.
func relay(t *testing.T, only string, h http.HandlerFunc) (*api, string) {
	t.Helper()
	return guarded(t, only, nil, h)
}

// guarded is the same with a guard.
func guarded(t *testing.T, only string, guard func(Request) string, h http.HandlerFunc) (*api, string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	a, err := newAPI(&rest.Config{Host: server.URL, BearerToken: "secret"}, "/prefix", only, guard, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(a.server.Handler)
	t.Cleanup(front.Close)
	return a, front.URL + "/prefix"
}

func send(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer the page's")
	req.Header.Set("Impersonate-User", "admin")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// A guard sees what a path names, however it is spelled, and what it refuses does not
// reach the cluster.
func TestGuard(t *testing.T) {
	reached := false
	var seen Request
	_, url := guarded(t, "", func(q Request) string {
		seen = q
		if q.Resource == "secrets" || q.Odd {
			return "no"
		}
		return ""
	}, func(http.ResponseWriter, *http.Request) { reached = true })
	for path, want := range map[string]Request{
		"/api/v1/namespaces/a/pods/x/log":                     {Resource: "pods", Namespace: "a", Name: "x", Sub: "/log"},
		"/apis/apps/v1/namespaces/a/deployments/d/scale":      {Group: "apps", Resource: "deployments", Namespace: "a", Name: "d", Sub: "/scale"},
		"/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies": {Group: "cilium.io", Resource: "ciliumclusterwidenetworkpolicies"},
		"/version":                         {},
		"/openapi/v3/":                     {},
		"/api/v1/namespaces/a/secrets":     {Resource: "secrets", Namespace: "a"},
		"/api/v1/namespaces/a/..%2fb/pods": {Odd: true},
		"/api/v1//namespaces/a/pods":       {Odd: true},
		"/api/v1/namespaces/a/../b/pods":   {Odd: true},
		"/api/v1/namespaces/a/%73ecrets":   {Odd: true},
	} {
		reached = false
		code, text := send(t, "GET", url+path, "")
		refused := want.Resource == "secrets" || want.Odd
		if refused == reached || refused != (code == http.StatusForbidden && strings.Contains(text, `"no"`)) {
			t.Errorf("%s: %d, reached %v", path, code, reached)
		}
		want.Method, want.Path = "GET", seen.Path
		if want.Odd {
			want = seen
			want.Odd = true
		}
		if seen != want {
			t.Errorf("%s is seen as %+v, want %+v", path, seen, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	const ns = "/api/v1/namespaces"
	for _, tc := range []struct {
		method, path, body string
		only               string
		refused            bool
	}{
		{"GET", ns + "/kube-system", "", "", false},
		{"DELETE", ns + "/kube-system", "", "", true},
		{"DELETE", ns + "/default", "", "", true},
		{"DELETE", ns + "/mine", "", "", false},
		{"DELETE", ns, "", "", true},
		{"DELETE", "/api/v1/nodes/node", "", "", true},
		{"DELETE", "/api/v1/nodes", "", "", true},
		{"PATCH", "/api/v1/nodes/node", `{"spec":{"unschedulable":true}}`, "", true},
		{"PATCH", "/api/v1/nodes/node", `{"metadata":{"labels":{"a":"b"}}}`, "", false},
		{"DELETE", ns + "/kube-system/pods/coredns-x", "", "", false},
		{"DELETE", "/apis/apps/v1/namespaces/kube-system/deployments/coredns", "", "", true},
		{"DELETE", "/apis/apps/v1/namespaces/kube-system/deployments", "", "", true},
		{"DELETE", "/apis/cilium.io/v2/namespaces/kube-system/ciliumnetworkpolicies/x", "", "", false},
		{"DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ciliumnetworkpolicies.cilium.io", "", "", true},
		{"DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/other.example.com", "", "", false},
		{"POST", ns + "/mine/pods", "{}", "mine", false},
		{"POST", ns + "/theirs/pods", "{}", "mine", true},
		{"POST", ns + "/theirs/pods/x/exec", "", "mine", true},
		{"POST", ns, "{}", "mine", true},
		{"DELETE", ns + "/mine", "", "mine", true},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "{}", "mine", false},
		{"PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x", "{}", "mine", true},
	} {
		a, url := relay(t, tc.only, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization"); got != "Bearer secret" || r.Header.Get("Impersonate-User") != "" {
				t.Errorf("%s %s comes with %q", tc.method, tc.path, got)
			}
			body, _ := io.ReadAll(r.Body)
			if string(body) != tc.body {
				t.Errorf("%s %s comes with the body %q", tc.method, tc.path, body)
			}
		})
		code, text := send(t, tc.method, url+tc.path, tc.body)
		_, _, refusals := a.take()
		if refused := code == http.StatusForbidden; refused != tc.refused || refused != (len(refusals) == 1) || refused && !strings.Contains(text, "netdojo lets no page") {
			t.Errorf("%s %s (only %q): %d %s", tc.method, tc.path, tc.only, code, text)
		}
	}
}

func TestWritesAreNoted(t *testing.T) {
	a, url := relay(t, "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Method {
		case http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"p","namespace":"n","uid":"u","generation":3}}`)
		case http.MethodDelete:
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Status","status":"Success","details":{"name":"p","kind":"networkpolicies","uid":"u"}}`)
		default:
			_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"n"}}`)
		}
	})
	const path = "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies"
	send(t, http.MethodPost, url+path, "{}")
	send(t, http.MethodPost, url+path+"?dryRun=All", "{}")
	send(t, http.MethodGet, url+"/api/v1/namespaces/n/pods/x", "")
	if code, text := send(t, http.MethodDelete, url+path+"/p", ""); code != 200 || !strings.Contains(text, "Success") {
		t.Errorf("the page reads %d %s", code, text)
	}
	_, writes, _ := a.take()
	if len(writes) != 2 {
		t.Fatalf("noted %+v", writes)
	}
	made, _ := writes[0].policy()
	gone, _ := writes[1].policy()
	if !writes[0].created || made.Generation != 3 || made.UID != "u" || made.Namespace != "n" || made.Kind != "NetworkPolicy" {
		t.Errorf("made %+v", writes[0])
	}
	if !gone.Deleted || gone.Name != "p" || gone.Namespace != "n" || gone.Kind != "NetworkPolicy" || writes[1].created {
		t.Errorf("deleted %+v", writes[1])
	}
}

func TestScreen(t *testing.T) {
	r, w := io.Pipe()
	var s screen
	go s.read(r)
	mark := s.clear()
	go func() {
		_, _ = io.WriteString(w, "one\r\n\x1b[31mtwo\x1b[0m \xff\r\n"+Mark[:4])
		_, _ = io.WriteString(w, Mark[4:]+"of the next")
		w.Close()
	}()
	select {
	case <-mark:
	case <-time.After(time.Minute):
		t.Fatal("the mark is not seen")
	}
	if got := s.settle(mark); got != "one\ntwo \uFFFD\n" {
		t.Errorf("shows %q", got)
	}
}
