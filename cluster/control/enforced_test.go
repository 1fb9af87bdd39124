package control_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/control"
	"github.com/netdojo/netdojo/policies"
)

// TestRejectionTravels: why a policy is not enforced comes over the wire whole, its
// cure included, from an agent that says no more than a message too.
func TestRejectionTravels(t *testing.T) {
	whole := policies.NotServed([]string{"spec.egress[0].toPorts[0].terminatingTLS"})
	for name, tc := range map[string]struct {
		body control.Error
		want *policies.Rejection
	}{
		"whole":          {control.Error{Message: whole.Reason, Cure: whole.Advice, Rejection: whole}, whole},
		"a message only": {control.Error{Message: "no", Cure: "do"}, &policies.Rejection{Reason: "no", Advice: "do"}},
	} {
		server := httptest.NewServer(control.Answer(func(*http.Request) (any, error) {
			return nil, &control.Failure{Code: http.StatusUnprocessableEntity, Body: tc.body}
		}))
		client := control.NewClientOver(func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", server.Listener.Addr().String())
		})
		ref := cluster.PolicyRef{Kind: policies.CiliumNetworkPolicy, Name: "p"}
		err := client.Enforced(t.Context(), ref)
		rejected, ok := errors.AsType[*cluster.RejectedError](err)
		if !ok || rejected.Ref != ref || !reflect.DeepEqual(rejected.Rejection, tc.want) || rejected.Cure() != tc.want.Advice {
			t.Errorf("%s: %#v", name, err)
		}
		client.CloseIdle()
		server.Close()
	}
}
