package httpmock

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "page.txt"), []byte("a page"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		mock, method, path, body string
		status                   int
		want                     string // a part of the answer
	}{
		{"json-mock", "GET", "/public", "", 200, "public information"},
		{"json-mock", "GET", "/private", "", 200, "secret information"},
		{"json-mock", "GET", "/public/1", "", 200, `"id":1`},
		{"json-mock", "POST", "/public", `{"body":"new"}`, 201, `"body":"new"`},
		{"json-mock", "POST", "/public", "{", 400, "not JSON"},
		{"json-mock", "GET", "/", "", 200, "/public"},
		{"json-mock", "GET", "/none", "", 404, "{}"},
		{"json-mock", "GET", "/auth-header-required", "", 401, "Bearer 123456"},
		{"json-mock", "GET", "/client-ip", "", 200, `{"client-ip":"::ffff:192.0.2.1"}`},
		{"json-mock", "GET", "/hostname", "", 200, `{"hostname":"`},
		{"deathstar", "GET", "/v1/", "", 200, "Death Star"},
		{"deathstar", "GET", "/v1", "", 200, "Death Star"},
		{"deathstar", "POST", "/v1/request-landing", "", 200, "Ship landed\n"},
		{"deathstar", "PUT", "/v1/exhaust-port", "", 503, "Panic: deathstar exploded"},
		{"deathstar", "GET", "/v1/request-landing", "", 405, ""},
		{"nginx", "GET", "/", "", 200, "Welcome to nginx!"},
		{"nginx", "GET", "/page.txt", "", 200, "a page"},
		{"nginx", "GET", "/../../etc/passwd", "", 404, ""},
		{"httpd", "GET", "/", "", 200, "It works!"},
		{"http-echo", "GET", "/any", "", 200, "said\n"},
		{"http-echo", "GET", "/health", "", 200, "ok"},
		{"echo", "GET", "/x?y=z", "", 200, `"path":"/x?y=z"`},
		{"echo", "GET", "/echo?msg=hi", "", 200, "hi"},
		{"whoami", "GET", "/x?y", "", 200, "\nGET /x?y HTTP/1.1\nHost: example.com\nX-Test: yes\n"},
		{"whoami", "GET", "/api", "", 200, `"X-Test":["yes"]`},
		{"ealen-echo-server", "GET", "/x", "", 200, `"path":"/x"`},
		{"echo-basic", "GET", "/x", "", 200, `"path":"/x"`},
		{"hello-app", "GET", "/", "", 200, "Hello, world!\nVersion: 1.0.0\nHostname: "},
		{"kubernetes-bootcamp", "GET", "/", "", 200, "Hello Kubernetes bootcamp! | Running on: "},
		{"podinfo", "GET", "/", "", 200, `"message":"greetings from podinfo`},
		{"podinfo", "GET", "/healthz", "", 200, `{"status":"OK"}`},
		{"podinfo", "POST", "/echo", "said", 202, "said"},
		{"podinfo", "GET", "/status/503", "", 503, ""},
		{"podinfo", "GET", "/none", "", 404, ""},
		{"kuard", "GET", "/healthy", "", 200, "ok"},
		{"kuard", "GET", "/", "", 200, "KUAR Demo"},
		{"nginx-unprivileged", "GET", "/", "", 200, "Welcome to nginx!"},
		{"httpbin", "GET", "/get?a=b", "", 200, `"a":"b"`},
		{"httpbin", "POST", "/get", "", 405, ""},
		{"httpbin", "POST", "/post", "text", 200, `"data":"text"`},
		{"httpbin", "GET", "/status/418", "", 418, ""},
		{"httpbin", "GET", "/status/1", "", 400, "Invalid"},
		{"httpbin", "GET", "/ip", "", 200, `{"origin":"`},
		{"httpbin", "GET", "/headers", "", 200, `"X-Test":"yes"`},
		{"httpbin", "GET", "/delay/0.01", "", 200, "origin"},
	} {
		handler := logged(mocks[tc.mock].handler(options{text: "said", root: root}))
		req := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
		req.Header.Set("X-Test", "yes")
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		body, err := io.ReadAll(rec.Body)
		if err != nil || rec.Code != tc.status || !strings.Contains(string(body), tc.want) {
			t.Errorf("%s: %s %s: %d %q, %v, want %d %q", tc.mock, tc.method, tc.path, rec.Code, body, err, tc.status, tc.want)
		}
	}
}

func TestIndexOfAFolderWins(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	mocks["nginx"].handler(options{root: root}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Body.String() != "mine" {
		t.Errorf("got %q", rec.Body)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-as", "none"}, {"-nonsense"}} {
		if code := Run(args); code != 2 {
			t.Errorf("%v ended with %d", args, code)
		}
	}
	t.Setenv("PORT", "1234")
	if got := mocks["json-mock"].address(); got != ":1234" {
		t.Errorf("$PORT: %s", got)
	}
	if got := mocks["nginx"].address(); got != ":80" {
		t.Errorf("nginx with $PORT: %s", got)
	}
}
