package runner

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/netdojo/netdojo/cluster"
)

// restHandle is a cluster of which only the API server's address is known.
type restHandle struct {
	cluster.Handle
	url string
}

func (h restHandle) RESTConfig() *rest.Config { return &rest.Config{Host: h.url} }

// TestApplied: all kinds of policies that a cluster has are listed, those of netdojo
// left out; what cannot be listed is an error.
func TestApplied(t *testing.T) {
	forbidden := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(code int, text string) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/networkpolicies"):
			answer(200, `{"kind": "NetworkPolicyList", "apiVersion": "networking.k8s.io/v1", "items": [
				{"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "theirs", "namespace": "shop"}},
				{"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "marker", "namespace": "shop", "labels": {"`+cluster.MarkerLabel+`": ""}}}]}`)
		case strings.HasSuffix(r.URL.Path, "/ciliumclusterwidenetworkpolicies") && forbidden:
			answer(403, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "not yours"}`)
		case strings.HasSuffix(r.URL.Path, "/ciliumclusterwidenetworkpolicies"):
			answer(200, `{"kind": "CiliumClusterwideNetworkPolicyList", "apiVersion": "cilium.io/v2", "items": [
				{"kind": "CiliumClusterwideNetworkPolicy", "apiVersion": "cilium.io/v2", "metadata": {"name": "all"}}]}`)
		case strings.HasSuffix(r.URL.Path, "/ciliumnetworkpolicies"):
			answer(200, `{"kind": "CiliumNetworkPolicyList", "apiVersion": "cilium.io/v2", "items": []}`)
		default:
			answer(404, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`)
		}
	}))
	defer server.Close()
	found, err := Applied(t.Context(), restHandle{url: server.URL})
	var got []string
	for _, p := range found {
		got = append(got, p.GetKind()+" "+p.GetName())
	}
	slices.Sort(got)
	if want := []string{"CiliumClusterwideNetworkPolicy all", "NetworkPolicy theirs"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("found %q, %v; want %q", got, err, want)
	}
	forbidden = true
	if _, err := Applied(t.Context(), restHandle{url: server.URL}); err == nil || !strings.Contains(err.Error(), "list the policies: ") {
		t.Errorf("what may not be listed: %v", err)
	}
}
