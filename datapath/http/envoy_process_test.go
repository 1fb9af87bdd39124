//go:build envoy

package http

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacconfig "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// realEnvoy is a process of Envoy.
type realEnvoy struct{ addr string }

func (e *realEnvoy) dial(peer int) func() (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(peer+1))}}
	return func() (net.Conn, error) { return d.Dial("tcp4", e.addr) }
}

func newEnvoy(t *testing.T, sets []*ruleSet, server netip.AddrPort) *realEnvoy {
	t.Helper()
	if *envoyProgram == "" {
		t.Fatal("no Envoy is named; make envoy fetches one and runs this test")
	}
	translator := envoypolicy.NewEnvoyL7RulesTranslator(slog.New(slog.DiscardHandler), nil)
	routes := make([]*routev3.Route, 0, len(sets))
	for _, set := range sets {
		for i, rule := range set.policy.Spec.Ingress {
			http, _ := translator.GetEnvoyHTTPRules(rule.ToPorts[0].Rules, "default")
			set.rules[i].http = http
		}
		routes = append(routes, set.route(t))
	}
	e := &realEnvoy{addr: freeAddr(t)}
	config, err := protojson.Marshal(bootstrap(t, netip.MustParseAddrPort(e.addr), server, routes))
	must(t, err)
	file := filepath.Join(t.TempDir(), "envoy.json")
	must(t, os.WriteFile(file, config, 0o600))
	var log bytes.Buffer
	// One worker, so that a connection takes the way of every other.
	cmd := exec.Command(*envoyProgram, "-c", file, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning")
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("Envoy: %s", log.String())
		}
	})
	for start := time.Now(); ; {
		if c, err := net.Dial("tcp4", e.addr); err == nil {
			must(t, c.Close())
			return e
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Envoy ended: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("Envoy does not listen\n%s", log.String())
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	out, err := anypb.New(m)
	must(t, err)
	return out
}

// route holds a set's rules: who matches none of them gets 403.
func (s *ruleSet) route(t *testing.T) *routev3.Route {
	t.Helper()
	allow, deny := map[string]*rbacconfig.Policy{}, map[string]*rbacconfig.Policy{}
	for peer, denied := range s.denied {
		if denied {
			deny[fmt.Sprint(peer)] = &rbacconfig.Policy{Principals: principal(peer), Permissions: []*rbacconfig.Permission{anything}}
		}
	}
	for i, r := range s.rules {
		policy := &rbacconfig.Policy{Principals: principal(r.peer)}
		for _, h := range r.http.HttpRules {
			if len(h.HeaderMatches) > 0 {
				t.Fatalf("%v is no rule that RBAC has a word for", h)
			}
			all := []*rbacconfig.Permission{anything}
			for _, m := range h.Headers {
				all = append(all, &rbacconfig.Permission{Rule: &rbacconfig.Permission_Header{Header: m}})
			}
			policy.Permissions = append(policy.Permissions, &rbacconfig.Permission{Rule: &rbacconfig.Permission_AndRules{AndRules: &rbacconfig.Permission_Set{Rules: all}}})
		}
		allow[fmt.Sprint(i)] = policy
	}
	rules := func(action rbacconfig.RBAC_Action, policies map[string]*rbacconfig.Policy) *anypb.Any {
		return pack(t, &rbacv3.RBACPerRoute{Rbac: &rbacv3.RBAC{Rules: &rbacconfig.RBAC{Action: action, Policies: policies}}})
	}
	return &routev3.Route{
		Match: &routev3.RouteMatch{
			PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"},
			Headers: []*routev3.HeaderMatcher{{Name: setHeader, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: fmt.Sprint(s.number)},
			}}}},
		},
		Action:               &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "server"}}},
		TypedPerFilterConfig: map[string]*anypb.Any{"deny": rules(rbacconfig.RBAC_DENY, deny), "allow": rules(rbacconfig.RBAC_ALLOW, allow)},
	}
}

var anything = &rbacconfig.Permission{Rule: &rbacconfig.Permission_Any{Any: true}}

func principal(peer int) []*rbacconfig.Principal {
	if peer < 0 {
		return []*rbacconfig.Principal{{Identifier: &rbacconfig.Principal_Any{Any: true}}}
	}
	return []*rbacconfig.Principal{{Identifier: &rbacconfig.Principal_DirectRemoteIp{DirectRemoteIp: &corev3.CidrRange{
		AddressPrefix: fmt.Sprintf("127.0.1.%d", peer+1), PrefixLen: wrapperspb.UInt32(32),
	}}}}
}

// bootstrap is a listener with the settings of Cilium's
// (GetHttpFilterChainProto in its pkg/envoy), with RBAC where Cilium's own filter is.
func bootstrap(t *testing.T, listen, server netip.AddrPort, routes []*routev3.Route) *bootstrapv3.Bootstrap {
	t.Helper()
	address := func(a netip.AddrPort) *corev3.Address {
		return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
		}}}
	}
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix:                   "proxy",
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		UseRemoteAddress:             wrapperspb.Bool(true),
		SkipXffAppend:                true,
		NormalizePath:                wrapperspb.Bool(true),
		MergeSlashes:                 true,
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT,
		InternalAddressConfig:        &hcmv3.HttpConnectionManager_InternalAddressConfig{},
		HttpFilters: []*hcmv3.HttpFilter{
			{Name: "deny", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(t, &rbacv3.RBAC{})}},
			{Name: "allow", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(t, &rbacv3.RBAC{})}},
			{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(t, &routerv3.Router{})}},
		},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			VirtualHosts: []*routev3.VirtualHost{{Name: "sets", Domains: []string{"*"}, Routes: routes}},
		}},
	}
	// Cilium's filter compares all values of a header as one, joined by commas, as
	// Envoy did before these switches came.
	legacy, err := structpb.NewStruct(map[string]any{
		"envoy.reloadable_features.match_headers_individually":      false,
		"envoy.reloadable_features.rbac_match_headers_individually": false,
	})
	must(t, err)
	return &bootstrapv3.Bootstrap{LayeredRuntime: &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "cilium", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: legacy},
	}}}, StaticResources: &bootstrapv3.Bootstrap_StaticResources{
		Listeners: []*listenerv3.Listener{{
			Name: "proxy", Address: address(listen),
			FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
				Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(t, manager)},
			}}}},
		}},
		Clusters: []*clusterv3.Cluster{{
			Name: "server", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "server", Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(server)}}}},
			}}},
		}},
	}}
}
