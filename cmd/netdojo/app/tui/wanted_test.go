package tui

import (
	"context"
	"reflect"
	"testing"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
)

// stopped is a provider that remembers one cluster, which does not run.
type stopped struct {
	cluster.Provider
	spec cluster.Spec
}

func (s stopped) List(context.Context) ([]string, error) { return []string{s.spec.Name}, nil }

func (s stopped) Status(context.Context, string) (cluster.Status, error) {
	return cluster.Status{Name: s.spec.Name, Provider: s.spec.Provider}, nil
}

func (s stopped) Spec(string) (cluster.Spec, error) { return s.spec, nil }

// TestScreensCluster: the screen brings up what the command line describes, else what the
// cluster was, else what netdojo up would.
func TestScreensCluster(t *testing.T) {
	t.Setenv(env.ClusterVar, "")
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	s, _, _ := streams.Test("")
	was := cluster.Spec{Name: "kept", Provider: "kind", Datapath: "cilium", World: "internet"}
	e := &env.Env{Streams: s, Kinds: []env.Kind{
		{Name: "embedded", New: func(*env.Env) (cluster.Provider, error) { return stopped{spec: cluster.Spec{Name: "other"}}, nil }},
		{Name: "kind", New: func(*env.Env) (cluster.Provider, error) { return stopped{spec: was}, nil }},
	}}
	asked := cluster.Spec{Provider: "kind", Datapath: "netdojo", World: "simulated", Nodes: 2}
	for _, tc := range []struct {
		name  string
		spec  cluster.Spec
		given bool
		want  cluster.Spec
	}{
		{"nothing is said", cluster.Spec{}, false, cluster.Spec{Name: "netdojo", Provider: "embedded", Datapath: "netdojo", World: "simulated"}},
		{"the name of one that was", cluster.Spec{Name: "kept"}, false, was},
		{"a cluster is described", asked, true, cluster.Spec{Name: "netdojo", Provider: "kind", Datapath: "netdojo", World: "simulated", Nodes: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := newBackend(context.Background(), &up.Options{Env: e, Spec: tc.spec}, tc.given)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := b.spec(context.Background()); err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("it brings up %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}
