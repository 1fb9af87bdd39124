package kubeconfig_test

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster/kubeconfig"
)

// A server that pods took over does not make its clients call another one.
func TestNoRedirectElsewhere(t *testing.T) {
	var reached atomic.Int32
	victim := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer victim.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case "/there":
			_, _ = io.WriteString(w, "hello")
		default:
			http.Redirect(w, r, victim.URL+"/containers/create", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	p := kubeconfig.Private{Server: server.URL, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	client, err := rest.HTTPClientFor(p.REST())
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		var away *kubeconfig.RedirectError
		if !errors.As(err, &away) || away.To != victim.URL {
			t.Errorf("%s: %v", method, err)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("the victim was called %d times", reached.Load())
	}
	resp, err := client.Get(server.URL + "/here")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != "hello" {
		t.Errorf("a redirect to the same server: %q, %v", b, err)
	}
}
