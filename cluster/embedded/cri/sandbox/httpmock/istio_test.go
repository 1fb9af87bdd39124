package httpmock

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAuthorized(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "/auth-header-required", nil)
	req.Header.Set("Authorization", "Bearer 123456")
	rec := httptest.NewRecorder()
	mocks["json-mock"].handler(options{}).ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Errorf("with the header: %d %s", rec.Code, rec.Body)
	}
}

// TestEchoAdvanced: the flags of Cilium's connectivity test, on ports that are free.
func TestEchoAdvanced(t *testing.T) {
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		return port
	}
	e := echoAdvanced{web: listFlag{free()}, grpc: listFlag{free()}, tcp: listFlag{free()}, version: "v7"}
	failed := make(chan error, 3)
	if err := e.serve(failed); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ask := func(client *http.Client, port, kind string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:"+port+"/a?b", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	_, body := ask(http.DefaultClient, e.web[0], "text/plain")
	for _, want := range []string{"ServiceVersion=v7\n", "ServicePort=" + e.web[0] + "\n", "URL=/a?b\n", "Method=POST\n", "IP=127.0.0.1\n", "RequestHeader=Content-Type:text/plain\n", "\nHostname="} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %q", want, body)
		}
	}
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	defer two.CloseIdleConnections()
	if resp, _ := ask(&http.Client{Transport: two}, e.grpc[0], "application/grpc"); resp.ProtoMajor != 2 || resp.Header.Get("Grpc-Status") != "12" {
		t.Errorf("a call is answered with %s, %v", resp.Proto, resp.Header)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+e.tcp[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "there and back\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(conn).ReadString('\n'); got != "there and back\n" {
		t.Errorf("came back: %q, %v", got, err)
	}
	e = echoAdvanced{web: listFlag{free()}, crt: "/none"}
	e.tls = e.web
	if err := e.serve(failed); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Errorf("a certificate that is not there: %v", err)
	}
}
