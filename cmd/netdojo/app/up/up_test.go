package up

import (
	"context"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/exit"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cure"
)

func TestFlags(t *testing.T) {
	t.Setenv(env.ClusterVar, "")
	plain := cluster.Spec{Name: "netdojo", Provider: "fake", Datapath: "netdojo", World: "simulated", DNSReject: cluster.RejectRefused, IPFamily: cluster.FamilyIPv4, PodSecurity: cluster.PodsPrivileged}
	with := func(change func(*cluster.Spec)) cluster.Spec {
		s := plain
		change(&s)
		return s
	}
	for name, tc := range map[string]struct {
		args string
		want cluster.Spec
		err  string
	}{
		"none":       {"", plain, ""},
		"name":       {"--name two", with(func(s *cluster.Spec) { s.Name = "two" }), ""},
		"name error": {"--dns-reject-response-code nameError", with(func(s *cluster.Spec) { s.DNSReject = cluster.RejectNameError }), ""},
		"both families": {"--provider embedded --ip-family dual", with(func(s *cluster.Spec) {
			s.Provider, s.IPFamily = "embedded", cluster.FamilyDual
		}), ""},
		"CIDRs of pods": {"--provider embedded --policy-cidr-match-mode pods", with(func(s *cluster.Spec) {
			s.Provider, s.CIDRMatch = "embedded", []string{cluster.CIDRMatchPods}
		}), ""},
		"CIDRs of nodes": {"--provider embedded --policy-cidr-match-mode pods,nodes", with(func(s *cluster.Spec) {
			s.Provider, s.CIDRMatch = "embedded", []string{cluster.CIDRMatchPods, cluster.CIDRMatchNodes}
		}), ""},
		"CIDRs of Services": {"--policy-cidr-match-mode services", plain, "not known"},
		"CIDRs elsewhere":   {"--provider kind --policy-cidr-match-mode pods", plain, "provider embedded or the datapath cilium only"},
		"IPv6 alone":        {"--ip-family ipv6", plain, "not known"},
		"IPv6 elsewhere":    {"--provider kind --ip-family dual", plain, "provider embedded only"},
		"pod security": {"--provider embedded --pod-security restricted", with(func(s *cluster.Spec) {
			s.Provider, s.PodSecurity = "embedded", cluster.PodsRestricted
		}), ""},
		"a level of its own":     {"--pod-security strict", plain, "not known"},
		"pod security elsewhere": {"--provider kind --pod-security baseline", plain, "provider embedded only"},
		"IPv6 internet": {"--provider embedded --ip-family dual --world internet", with(func(s *cluster.Spec) {
			s.Provider, s.IPFamily, s.World = "embedded", cluster.FamilyDual, "internet"
		}), ""},
		"three nodes": {"--provider embedded --nodes 3", with(func(s *cluster.Spec) {
			s.Provider, s.Nodes = "embedded", 3
		}), ""},
		"nodes of kind's":     {"--provider kind --nodes 2", with(func(s *cluster.Spec) { s.Provider, s.Nodes = "kind", 2 }), ""},
		"too many nodes":      {"--nodes 10", plain, "use 1 to 9"},
		"fewer than no nodes": {"--nodes -1", plain, "use 1 to 9"},
		"nodes of another's":  {"--provider existing --nodes 2", plain, "not for the provider existing"},
		"bad answer":          {"--dns-reject-response-code never", plain, "not known"},
		"fresh on a port":     {"--fresh --api-port 6443", with(func(s *cluster.Spec) { s.Fresh, s.APIPort = true, 6443 }), ""},
		"publish": {"--publish 8080:lab/web:80", with(func(s *cluster.Spec) {
			s.Publish = []cluster.Publish{{HostPort: 8080, Namespace: "lab", Service: "web", ServicePort: 80}}
		}), ""},
		"publish in default": {"--publish 1:web:2", with(func(s *cluster.Spec) {
			s.Publish = []cluster.Publish{{HostPort: 1, Namespace: "default", Service: "web", ServicePort: 2}}
		}), ""},
		"publish without":    {"--publish 8080:80", plain, "three parts"},
		"publish no port":    {"--publish x:web:80", plain, "is no port"},
		"publish big port":   {"--publish 8080:web:65536", plain, "is no port"},
		"publish no service": {"--publish 8080:lab/:80", plain, "no name"},
		"bad name":           {"--name a_b", plain, "cannot name"},
		"bad port":           {"--api-port 70000", plain, "no port"},
		"bad world":          {"--world mars", plain, "not known"},
		"bad datapath":       {"--datapath ovs", plain, "not known"},
		"real Cilium": {"--provider kind --datapath cilium --cilium-values a.yaml --cilium-values b.yaml --cilium-chart dir --cilium-version 1.2.3", with(func(s *cluster.Spec) {
			s.Provider, s.Datapath, s.CiliumChart, s.CiliumVersion, s.CiliumValues = "kind", "cilium", "dir", "1.2.3", []string{"a.yaml", "b.yaml"}
		}), ""},
		"Cilium elsewhere":    {"--datapath cilium", plain, "provider kind only"},
		"values of no Cilium": {"--provider kind --cilium-values a.yaml", plain, "datapath cilium only"},
		"argument":            {"more", plain, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _ := streams.Test("")
			var got *Options
			cmd := New(&env.Env{Streams: s, Kinds: []env.Kind{{Name: "fake"}}}, func(_ context.Context, o *Options) error {
				got = o
				return nil
			})
			cmd.SetArgs(strings.Fields(tc.args))
			cmd.SetOut(io.Discard)
			cmd.SetErr(io.Discard)
			err := cmd.Execute()
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				if got != nil {
					t.Error("ran all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Spec, tc.want) {
				t.Errorf("spec %+v, want %+v", got.Spec, tc.want)
			}
		})
	}
}

func TestDifference(t *testing.T) {
	running := cluster.Status{Provider: "embedded", Datapath: "netdojo", World: "simulated", Server: "https://127.0.0.1:6443"}
	same := cluster.Spec{Provider: "embedded", Datapath: "netdojo", World: "simulated"}
	for name, tc := range map[string]struct {
		change func(*cluster.Spec)
		want   string
	}{
		"the same":     {func(*cluster.Spec) {}, ""},
		"same port":    {func(s *cluster.Spec) { s.APIPort = 6443 }, ""},
		"another port": {func(s *cluster.Spec) { s.APIPort = 1 }, "port: its API is on 6443, not 1"},
		"kind":         {func(s *cluster.Spec) { s.Provider = "kind" }, "provider: it has embedded, not kind"},
		"datapath":     {func(s *cluster.Spec) { s.Datapath = "cilium" }, "datapath: it has netdojo, not cilium"},
		"world":        {func(s *cluster.Spec) { s.World = "internet" }, "world: it has simulated, not internet"},
		"fresh":        {func(s *cluster.Spec) { s.Fresh = true }, "age: --fresh wants an empty one"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := same
			tc.change(&spec)
			if got := difference(spec, running); got != tc.want {
				t.Errorf("difference %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAlreadyRunningWithAnotherPublish(t *testing.T) {
	s, _, _ := streams.Test("")
	o := &Options{Env: &env.Env{Streams: s}, Spec: cluster.Spec{Name: "x", Publish: []cluster.Publish{{HostPort: 1}}}}
	err := already(context.Background(), o, remembering{}, cluster.Status{Ready: true}, nil)
	if exit.Code(err) != exit.Environment || !strings.Contains(err.Error(), "published ports") || len(cure.All(err)) == 0 {
		t.Errorf("error %v, want one on published ports with a cure", err)
	}
}

func TestAlreadyRunningWithOtherNodes(t *testing.T) {
	s, _, _ := streams.Test("")
	o := &Options{Env: &env.Env{Streams: s}, Spec: cluster.Spec{Name: "x", Nodes: 2}}
	err := o.Conflict(remembering{}, cluster.Status{Ready: true})
	if err == nil || !strings.Contains(err.Error(), "number of nodes: it has 1, not 2") || len(cure.All(err)) == 0 {
		t.Errorf("error %v, want one on the number of nodes with a cure", err)
	}
	o.Spec.Nodes = 0 // as many as it has
	if err := o.Conflict(remembering{}, cluster.Status{Ready: true}); err != nil {
		t.Error(err)
	}
}

// remembering is a provider that knows nothing but a spec without ports.
type remembering struct{ cluster.Provider }

func (remembering) Spec(string) (cluster.Spec, error) { return cluster.Spec{}, nil }

func TestToldOnATerminal(t *testing.T) {
	t.Setenv(env.ClusterVar, "")
	s, out, _ := streams.Test("")
	s.OutTTY = true
	o := &Options{Env: &env.Env{Streams: s}, Spec: cluster.Spec{Name: "two"}}
	told(o, cluster.Status{Server: "https://127.0.0.1:1"}, "/home/x/.kube/config", "is ready after 3.0 s")
	for _, want := range []string{
		"cluster two is ready after 3.0 s at https://127.0.0.1:1\n",
		"context netdojo-two is the current one in /home/x/.kube/config\n",
		"netdojo run 04 --name two\n", "netdojo down --name two\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestFirstFaultIsTold: of several flags that do not fit, it is always the same one.
func TestFirstFaultIsTold(t *testing.T) {
	for range 30 {
		err := CheckSpec(cluster.Spec{
			Name: "netdojo", Provider: "embedded", Datapath: "netdojo", World: "simulated",
			Nodes: 2, NodeImage: "i", KindConfig: "k", Context: "c", CiliumChart: "c",
		})
		if err == nil || !strings.Contains(err.Error(), "--node-image is for") {
			t.Fatalf("%v, want --node-image", err)
		}
	}
}
