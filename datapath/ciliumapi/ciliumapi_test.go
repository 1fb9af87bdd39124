package ciliumapi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	daemonapi "github.com/cilium/cilium/api/v1/client/daemon"
	endpointapi "github.com/cilium/cilium/api/v1/client/endpoint"
	policyapi "github.com/cilium/cilium/api/v1/client/policy"
	"github.com/cilium/cilium/api/v1/models"
	"github.com/cilium/cilium/pkg/client"
)

// engine answers from fixed lists.
type engine struct{}

func (engine) EndpointModels() []*models.Endpoint {
	var out []*models.Endpoint
	for i, app := range []string{"backend", "db"} {
		spec := &models.EndpointConfigurationSpec{LabelConfiguration: &models.LabelConfigurationSpec{}}
		out = append(out, &models.Endpoint{ID: int64(i + 1), Spec: spec, Status: &models.EndpointStatus{
			Realized: spec, State: models.EndpointStateReady.Pointer(),
			Labels: &models.LabelConfigurationStatus{SecurityRelevant: models.Labels{"k8s:app=" + app, "k8s:tier=x"}},
			Health: &models.EndpointHealth{OverallHealth: models.EndpointHealthStatusOK},
		}})
	}
	return out
}

func (engine) EndpointID(prefix, id string) (uint32, bool) {
	if prefix == "cep-name" && id == "default/db" {
		return 2, true
	}
	return 1, prefix == "cilium-local" && id == "1"
}

func (engine) IdentityModels() []*models.Identity {
	return []*models.Identity{
		{ID: 2, Labels: models.Labels{"reserved:world"}},
		{ID: 4711, Labels: models.Labels{"k8s:app=db"}},
		{ID: 16777217, Labels: models.Labels{"fqdn:cilium.io"}},
	}
}

func (e engine) IdentityModel(labels []string) *models.Identity {
	if len(labels) == 1 && labels[0] == "k8s:app=db" {
		return e.IdentityModels()[1]
	}
	return nil
}
func (engine) IdentityUsers() []*models.IdentityEndpoints { return []*models.IdentityEndpoints{} }

func (engine) AddressModels() []*models.IPListEntry {
	var out []*models.IPListEntry
	for cidr, id := range map[string]int64{"10.244.0.11/32": 4711, "203.0.113.7/32": 16777217, "203.0.113.0/24": 2} {
		out = append(out, &models.IPListEntry{Cidr: &cidr, Identity: &id})
	}
	return out
}

func (engine) SelectorModels(subjects bool) models.SelectorCache {
	name := "peers"
	if subjects {
		name = "subjects"
	}
	return models.SelectorCache{{Selector: name}}
}
func (engine) PolicyModel() *models.Policy { return &models.Policy{Policy: "[]", Revision: 7} }

func (engine) LookupModels() []*models.DNSLookup {
	return []*models.DNSLookup{
		{EndpointID: 1, Source: "lookup", Fqdn: "cilium.io.", Ips: []string{"203.0.113.7"}},
		{EndpointID: 2, Source: "connection", Fqdn: "kubernetes.io.", Ips: []string{"198.51.100.1"}},
	}
}
func (engine) NameModel() *models.NameManager { return &models.NameManager{} }

// start serves the engine, and returns Cilium's own client of it.
func start(t *testing.T) *client.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	s, err := Start(t.Context(), Config{
		Socket: socket, Engine: engine{}, Version: "1.20.2 of a test",
		Status: func(context.Context) *models.StatusResponse {
			return &models.StatusResponse{Cilium: &models.Status{State: models.StatusStateOk}}
		},
		Services: func() []*models.Service { return []*models.Service{{}} },
		Nodes:    func() *models.ClusterNodeStatus { return &models.ClusterNodeStatus{Self: "node"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
	})
	c, err := client.NewClient("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCiliumsClient(t *testing.T) {
	c := start(t)
	if list := must[[]*models.Endpoint](t)(c.EndpointList()); len(list) != 2 {
		t.Errorf("%d endpoints", len(list))
	}
	for id, want := range map[string]int64{"1": 1, "cep-name:default/db": 2} {
		if m := must[*models.Endpoint](t)(c.EndpointGet(id)); m.ID != want {
			t.Errorf("endpoint %s is %d, want %d", id, m.ID, want)
		}
	}
	if h := must[*models.EndpointHealth](t)(c.EndpointHealthGet("1")); h.OverallHealth != models.EndpointHealthStatusOK {
		t.Errorf("health %+v", h)
	}
	byLabel := must[*endpointapi.GetEndpointOK](t)(c.Endpoint.GetEndpoint(endpointapi.NewGetEndpointParams().WithLabels(models.Labels{"app=db"})))
	if len(byLabel.Payload) != 1 || byLabel.Payload[0].ID != 2 {
		t.Errorf("endpoints with app=db: %+v", byLabel.Payload)
	}
	if p := must[*models.Policy](t)(c.PolicyGet()); p.Revision != 7 {
		t.Errorf("policy %+v", p)
	}
	if s := must[models.SelectorCache](t)(c.SubjectPolicySelectorsGet()); s[0].Selector != "subjects" {
		t.Errorf("subject selectors %+v", s)
	}
	if s := must[[]*models.Service](t)(c.GetServices()); len(s) != 1 {
		t.Errorf("services %+v", s)
	}
	if h := must[*daemonapi.GetHealthzOK](t)(c.Daemon.GetHealthz(daemonapi.NewGetHealthzParams())); h.Payload.Cilium.State != models.StatusStateOk {
		t.Errorf("status %+v", h.Payload)
	}
	if i := must[*policyapi.GetIdentityIDOK](t)(c.Policy.GetIdentityID(policyapi.NewGetIdentityIDParams().WithID("4711"))); i.Payload.Labels[0] != "k8s:app=db" {
		t.Errorf("identity %+v", i.Payload)
	}
	if i := must[*policyapi.GetIdentityOK](t)(c.Policy.GetIdentity(policyapi.NewGetIdentityParams().WithLabels(models.Labels{"k8s:app=db"}))); len(i.Payload) != 1 {
		t.Errorf("identities %+v", i.Payload)
	}
	cidr, pattern, source := "203.0.113.0/24", "*.io", "connection"
	if ips := must[*policyapi.GetIPOK](t)(c.Policy.GetIP(policyapi.NewGetIPParams().WithCidr(&cidr))); len(ips.Payload) != 2 || *ips.Payload[0].Cidr != cidr {
		t.Errorf("addresses in %s: %+v", cidr, ips.Payload)
	}
	if ips := must[*policyapi.GetIPOK](t)(c.Policy.GetIP(policyapi.NewGetIPParams().WithLabels(models.Labels{"fqdn:cilium.io"}))); len(ips.Payload) != 1 {
		t.Errorf("addresses of cilium.io: %+v", ips.Payload)
	}
	for want, p := range map[string]*policyapi.GetFqdnCacheParams{
		"cilium.io. kubernetes.io.": policyapi.NewGetFqdnCacheParams().WithMatchpattern(&pattern),
		"kubernetes.io.":            policyapi.NewGetFqdnCacheParams().WithSource(&source),
		"cilium.io.":                policyapi.NewGetFqdnCacheParams().WithCidr(&cidr),
	} {
		var names []string
		for _, l := range must[*policyapi.GetFqdnCacheOK](t)(c.Policy.GetFqdnCache(p)).Payload {
			names = append(names, l.Fqdn)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("names %s, want %s", got, want)
		}
	}
	if l := must[*policyapi.GetFqdnCacheIDOK](t)(c.Policy.GetFqdnCacheID(policyapi.NewGetFqdnCacheIDParams().WithID("1"))); len(l.Payload) != 1 {
		t.Errorf("names of endpoint 1: %+v", l.Payload)
	}
}

func TestRefusals(t *testing.T) {
	c := start(t)
	if _, err := c.EndpointGet("99"); !errors.As(err, new(*endpointapi.GetEndpointIDNotFound)) && !strings.Contains(err.Error(), "404") {
		t.Errorf("unknown endpoint: %v", err)
	}
	wrong := "nonsense/99"
	for name, ask := range map[string]func() error{
		"cidr": func() error { _, err := c.Policy.GetIP(policyapi.NewGetIPParams().WithCidr(&wrong)); return err },
		"source": func() error {
			_, err := c.Policy.GetFqdnCache(policyapi.NewGetFqdnCacheParams().WithSource(&wrong))
			return err
		},
		"pattern": func() error {
			_, err := c.Policy.GetFqdnCache(policyapi.NewGetFqdnCacheParams().WithMatchpattern(&wrong))
			return err
		},
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Policy.GetIdentity(policyapi.NewGetIdentityParams().WithLabels(models.Labels{"k8s:app=nobody"})); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("unknown identity: %v", err)
	}
	// Not served, in the words of the agent.
	if _, err := c.ConfigGet(); err == nil || !strings.Contains(err.Error(), "501") {
		t.Errorf("configuration: %v", err)
	}
	if _, err := c.Policy.DeleteFqdnCache(policyapi.NewDeleteFqdnCacheParams()); err == nil {
		t.Error("names were deleted")
	}
}
