package controlplane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netdojo/netdojo/internal/ipfamily"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMergedListener(t *testing.T) {
	a, b := listen(t), listen(t)
	m := mergeListeners(a, b)
	if m.Addr().String() != a.Addr().String() {
		t.Errorf("its address is %v, want the first's, %v", m.Addr(), a.Addr())
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(m) }()
	for _, l := range []net.Listener{a, b} {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != l.Addr().String() {
			t.Errorf("%v answers %q, %v", l.Addr(), body, err)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("serving ended with %v", err)
	}
	for _, l := range []net.Listener{a, b} {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Errorf("%v is still open", l.Addr())
		}
	}
}

func TestGate(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	open := make(chan struct{})
	client := &http.Client{Transport: &gate{open: open, next: http.DefaultTransport}}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request at a closed gate gives %v", err)
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := client.Get(srv.URL)
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a request went through a closed gate: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(open)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestHealthzLeavesSlowHooksOut(t *testing.T) {
	var query string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { query = r.URL.RawQuery }))
	defer srv.Close()
	healthy := 0
	client := &http.Client{Transport: &healthz{next: http.DefaultTransport, healthy: func() { healthy++ }}}
	for path, excluded := range map[string]bool{"/healthz": true, "/api": false} {
		resp, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := strings.Contains(query, "bootstrap-roles"); got != excluded {
			t.Errorf("%s was asked with %q", path, query)
		}
	}
	if healthy != 1 {
		t.Errorf("healthy was told %d times", healthy)
	}
}

// TestSeedRoundTrip proves that what is written into the store reads back as
// what was meant, and is complete enough to be served.
func TestSeedRoundTrip(t *testing.T) {
	codec, err := newSeedCodec()
	if err != nil {
		t.Fatal(err)
	}
	objects := seedObjects(testConfig(t), "the authority")
	defs, err := seedCRDs(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for key, crd := range defs {
		objects[key] = crd
		for _, want := range []apiextv1.CustomResourceDefinitionConditionType{apiextv1.Established, apiextv1.NamesAccepted} {
			found := false
			for _, c := range crd.(*apiextv1.CustomResourceDefinition).Status.Conditions {
				// The API holds back objects of a kind that is new: two seconds each.
				found = found || c.Type == want && c.Status == apiextv1.ConditionTrue && time.Since(c.LastTransitionTime.Time) > 10*time.Second
			}
			if !found {
				t.Errorf("%s is not %s, or newly so", key, want)
			}
		}
	}
	for _, key := range []string{
		"/registry/namespaces/kube-system", "/registry/serviceaccounts/default/default", "/registry/configmaps/default/kube-root-ca.crt",
		"/registry/clusterroles/cluster-admin", "/registry/clusterrolebindings/cluster-admin",
		"/registry/roles/kube-system/extension-apiserver-authentication-reader", "/registry/priorityclasses/system-node-critical",
		"/registry/minions/node-1", "/registry/apiextensions.k8s.io/customresourcedefinitions/ciliumnetworkpolicies.cilium.io",
	} {
		if objects[key] == nil {
			t.Errorf("%s is not seeded", key)
		}
	}
	for key, obj := range objects {
		data, err := runtime.Encode(codec, obj)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		back, err := runtime.Decode(codec, data)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		m, err := meta.Accessor(back)
		if err != nil {
			t.Fatal(err)
		}
		stamp := m.GetCreationTimestamp()
		if !strings.HasSuffix(key, "/"+m.GetName()) || m.GetUID() == "" || stamp.IsZero() || m.GetResourceVersion() != "" {
			t.Errorf("%s reads back as %s, UID %q, made %v, version %q", key, m.GetName(), m.GetUID(), stamp, m.GetResourceVersion())
		}
	}
}

func TestValidate(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		"folder":        func(c *Config) { c.Dir = "" },
		"node name":     func(c *Config) { c.NodeName = "" },
		"node address":  func(c *Config) { c.NodeAddr = netip.Addr{} },
		"Service range": func(c *Config) { c.ServiceCIDR = ipfamily.Pair[netip.Prefix]{} },
	} {
		cfg := *testConfig(t)
		spoil(&cfg)
		if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), "no "+want) {
			t.Errorf("without a %s: %v", want, err)
		}
	}
}
