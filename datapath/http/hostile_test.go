package http

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// TestSlowCrowd keeps hundreds of connections busy with heads, bodies and answers
// that never end, and nobody else waits for them.
func TestSlowCrowd(t *testing.T) {
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			for {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}
		hello(w, r)
	})
	r := newRig(t, b.addr, allow)
	for i := range 300 {
		c, err := net.Dial("tcp4", r.Addr().String())
		must(t, err)
		defer c.Close()
		_, err = io.WriteString(c, []string{
			"GET / HTTP/1.1\r\nHost: a\r\nX: ",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx",
			"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", // and the answer is never read
		}[i%3])
		must(t, err)
	}
	start := time.Now()
	if resp := r.raw("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1)[0]; resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	if took := time.Since(start); took >= headTimeout {
		t.Errorf("an honest client waited %v", took)
	}
}

// TestFormsOfAHeader are spellings of a header by which a rule could be dodged: the
// rules see what the server sees, or nobody sees anything.
func TestFormsOfAHeader(t *testing.T) {
	for _, c := range []struct {
		head string
		want string // what the rules and the server see of X-Role; "-" is a refusal
	}{
		{"X-Role: admin\r\n", "admin"},
		{"x-rOLE:admin\r\n", "admin"},
		{"X-Role: \t admin \t\r\n", "admin"},
		{"X-Role: guest\r\nx-role: admin\r\n", "guest,admin"},
		{"X-Role : admin\r\n", "-"},
		{" X-Role: admin\r\n", ""}, // goes on with the line before
		{"X-Role: guest\r\n admin\r\n", "guest admin"},
		{"X-Role: guest\x00admin\r\n", "-"},
		{"X-Role\x00: admin\r\n", "-"},
		{"X-Role: guest\rX-Role: admin\r\n", "-"},
		{"X_Role: admin\r\n", ""},
		{"Connection: X-Role\r\nX-Role: admin\r\n", ""},
	} {
		var saw []string
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
			saw = append(saw, strings.Join(r.Header["X-Role"], ","))
			hello(w, r)
		})
		judged := []string{}
		r := newRig(t, b.addr, func(q *verdict.HTTPRequest) []verdict.Verdict {
			judged = append(judged, strings.Join(q.Header["X-Role"], ","))
			return allow(q)
		})
		resp := r.raw("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+c.head+"\r\n", 1)[0]
		switch {
		case c.want == "-" && (resp.StatusCode != http.StatusBadRequest || len(judged)+len(saw) > 0):
			t.Errorf("%q: status %d, judged %q, the server saw %q", c.head, resp.StatusCode, judged, saw)
		case c.want != "-" && (len(judged) != 1 || len(saw) != 1 || judged[0] != c.want || saw[0] != c.want):
			t.Errorf("%q: judged %q, the server saw %q", c.head, judged, saw)
		}
	}
}
