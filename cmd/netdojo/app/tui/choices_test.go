package tui

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/doctor"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/cmd/netdojo/app/env"
	"github.com/netdojo/netdojo/cmd/netdojo/app/streams"
	"github.com/netdojo/netdojo/cmd/netdojo/app/up"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/tui/backend"
)

// memory is a provider of clusters that only are remembered.
type memory struct {
	cluster.Provider
	kind  string
	specs map[string]cluster.Spec
	run   map[string]bool
	down  error // what Down ends with
}

func newMemory(kind string) *memory {
	return &memory{kind: kind, specs: map[string]cluster.Spec{}, run: map[string]bool{}}
}

func (m *memory) begin(spec cluster.Spec) {
	spec.Provider = m.kind
	m.specs[spec.Name], m.run[spec.Name] = spec, true
}

func (m *memory) List(context.Context) (names []string, err error) {
	for name := range m.specs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (m *memory) Status(_ context.Context, name string) (cluster.Status, error) {
	s := m.specs[name]
	return cluster.Status{Name: name, Provider: m.kind, Datapath: s.Datapath, World: s.World, Running: m.run[name], Ready: m.run[name], ReadyMs: 4200}, nil
}

func (m *memory) Spec(name string) (cluster.Spec, error) { return m.specs[name], nil }

func (m *memory) Down(_ context.Context, name string, _ bool, _ step.Reporter) error {
	if m.down == nil {
		m.run[name] = false
	}
	return m.down
}

// machine is a command's surroundings with all providers, and two contexts in the
// kubeconfig, of which one is netdojo's own.
func machine(t *testing.T) (*env.Env, map[string]*memory) {
	t.Helper()
	t.Setenv(env.ClusterVar, "")
	file := filepath.Join(t.TempDir(), "config")
	t.Setenv("KUBECONFIG", file)
	config := `apiVersion: v1
kind: Config
current-context: prod
clusters:
- {name: c, cluster: {server: "https://192.0.2.7:6443"}}
contexts:
- {name: prod, context: {cluster: c, user: u}}
- {name: netdojo-netdojo, context: {cluster: c, user: u}}
- {name: nowhere, context: {cluster: missing, user: u}}
users:
- {name: u, user: {token: secret}}
`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, _ := streams.Test("")
	e := &env.Env{Streams: s, StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	all := map[string]*memory{}
	for _, name := range []string{"embedded", "kind", "existing"} {
		m := newMemory(name)
		all[name] = m
		e.Kinds = append(e.Kinds, env.Kind{Name: name, New: func(*env.Env) (cluster.Provider, error) { return m, nil }})
	}
	return e, all
}

func opened(t *testing.T, e *env.Env, spec *cluster.Spec) *world {
	t.Helper()
	o := &up.Options{Env: e}
	if spec != nil {
		o.Spec = *spec
	}
	b, err := newBackend(context.Background(), o, spec != nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func inUse(t *testing.T, b *world) backend.Choice {
	t.Helper()
	all, err := b.Choices(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c backend.Choice) bool { return c.Chosen })
	if i < 0 {
		t.Fatalf("none is chosen of %+v", all)
	}
	return all[i]
}

func silent(event.Event) {}

// TestChoices: the providers' clusters and the contexts that are the user's.
func TestChoices(t *testing.T) {
	e, _ := machine(t)
	b := opened(t, e, nil)
	all, err := b.Choices(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range all {
		ids = append(ids, c.ID)
		if c.Good == "" || c.Takes == "" || c.Leave == "" || c.Title == "" {
			t.Errorf("%s does not tell all: %+v", c.ID, c)
		}
		if asks := c.Asks != ""; asks != c.Foreign {
			t.Errorf("%s asks %q", c.ID, c.Asks)
		}
	}
	if want := []string{"embedded", "kind", "kind-cilium", "context:prod"}; !slices.Equal(ids, want) {
		t.Errorf("the choices are %v, want %v", ids, want)
	}
	b.Agree("context:prod")
	if all, _ = b.Choices(context.Background()); all[3].Asks != "" {
		t.Errorf("after a yes it asks %q", all[3].Asks)
	}
}

// TestChoiceIsRemembered: by the cluster's name; the command line goes before it, and
// what runs before both.
func TestChoiceIsRemembered(t *testing.T) {
	ctx := context.Background()
	e, all := machine(t)
	b := opened(t, e, nil)
	if got := inUse(t, b).ID; got != "embedded" {
		t.Errorf("at first %s is chosen", got)
	}
	for _, tc := range []struct {
		id   string
		want cluster.Spec
	}{
		{"kind", cluster.Spec{Provider: "kind", Datapath: "netdojo"}},
		{"kind-cilium", cluster.Spec{Provider: "kind", Datapath: "cilium"}},
		{"context:prod", cluster.Spec{Provider: "existing", Datapath: "netdojo", Context: "prod"}},
	} {
		if err := b.Choose(ctx, tc.id, silent); err != nil {
			t.Fatal(err)
		}
		tc.want.Name, tc.want.World = "netdojo", "simulated"
		for what, b := range map[string]*world{"at once": b, "the next time": opened(t, e, nil)} {
			if got, err := b.spec(ctx); err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%s, %s: it brings up %+v, %v; want %+v", tc.id, what, got, err, tc.want)
			}
			if got := inUse(t, b).ID; got != tc.id {
				t.Errorf("%s, %s: %s is chosen", tc.id, what, got)
			}
		}
	}
	if got := inUse(t, opened(t, e, &cluster.Spec{Provider: "kind", Datapath: "netdojo", World: "internet"})); got.ID != "kind" {
		t.Errorf("with --provider kind, %s is chosen", got.ID)
	}
	if got := inUse(t, opened(t, e, nil)).ID; got != "context:prod" {
		t.Errorf("the command line is remembered: %s is chosen", got)
	}
	all["embedded"].begin(cluster.Spec{Name: "netdojo", Datapath: "netdojo", World: "simulated"})
	if got := inUse(t, opened(t, e, nil)).ID; got != "embedded" {
		t.Errorf("embedded runs, and %s is chosen", got)
	}
	if st, err := opened(t, e, nil).Cluster(ctx); err != nil || st.What != "embedded" || !st.Running {
		t.Errorf("it is shown as %+v, %v", st, err)
	}
}

// TestCommandLineIsKept: what flags describe is brought up whenever it is what is
// chosen, with all that they say.
func TestCommandLineIsKept(t *testing.T) {
	ctx := context.Background()
	e, _ := machine(t)
	asked := cluster.Spec{Provider: "kind", Datapath: "netdojo", World: "internet", Nodes: 2}
	b := opened(t, e, &asked)
	for _, tc := range []struct {
		id    string
		nodes int
	}{{"", 2}, {"embedded", 0}, {"kind", 2}} {
		if tc.id != "" {
			if err := b.Choose(ctx, tc.id, silent); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.spec(ctx); err != nil || got.Nodes != tc.nodes {
			t.Errorf("after %q it brings up %+v, %v", tc.id, got, err)
		}
	}
}

// TestStoppedClusterComesBack: as it was made, where it is what is chosen.
func TestStoppedClusterComesBack(t *testing.T) {
	ctx := context.Background()
	e, all := machine(t)
	was := cluster.Spec{Name: "netdojo", Datapath: "netdojo", World: "internet", IPFamily: cluster.FamilyDual}
	all["embedded"].begin(was)
	b := opened(t, e, nil)
	if err := b.Choose(ctx, "kind", silent); err != nil {
		t.Fatal(err)
	}
	if all["embedded"].run["netdojo"] {
		t.Error("the former cluster runs on")
	}
	if got, err := b.spec(ctx); err != nil || got.Provider != "kind" || got.IPFamily != "" {
		t.Errorf("it brings up %+v, %v", got, err)
	}
	if err := b.Choose(ctx, "embedded", silent); err != nil {
		t.Fatal(err)
	}
	if got, err := b.spec(ctx); err != nil || got.IPFamily != cluster.FamilyDual || got.World != "internet" {
		t.Errorf("it brings up %+v, %v", got, err)
	}
}

// TestChangeThatFails: a cluster that cannot be taken down stays what labs are done on.
func TestChangeThatFails(t *testing.T) {
	ctx := context.Background()
	e, all := machine(t)
	all["embedded"].begin(cluster.Spec{Name: "netdojo", Datapath: "netdojo"})
	all["embedded"].down = errors.New("it hangs")
	b := opened(t, e, nil)
	if err := b.Choose(ctx, "kind", silent); err == nil || !strings.Contains(err.Error(), "take cluster netdojo down: it hangs") {
		t.Errorf("the change ends with %v", err)
	}
	all["embedded"].run["netdojo"] = false
	if got := inUse(t, opened(t, e, nil)).ID; got != "embedded" {
		t.Errorf("%s is chosen", got)
	}
	if err := b.Choose(ctx, "nothing", silent); err == nil {
		t.Error("what nobody knows can be chosen")
	}
}

// TestBrokenChoice: a record that cannot be read keeps nobody from a lab; it is told,
// with what to do.
func TestBrokenChoice(t *testing.T) {
	ctx := context.Background()
	for name, text := range map[string]string{
		"no JSON":         "{",
		"another version": `{"schema": "netdojo.dev/choice/v9", "name": "netdojo", "choice": "kind"}`,
		"another's":       `{"schema": "netdojo.dev/choice/v1", "name": "two", "choice": "kind"}`,
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := machine(t)
			dir := filepath.Join(e.StateDir, "choices", "netdojo")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b := opened(t, e, nil)
			miss := b.Missing(ctx)
			if len(miss) == 0 || !strings.Contains(miss[0].Cause, "cluster.json") || !strings.Contains(miss[0].Cure, "choose a cluster anew") || miss[0].Fatal {
				t.Errorf("it is told as %+v", miss)
			}
			if got, err := b.spec(ctx); err != nil || got.Provider != "embedded" {
				t.Errorf("it brings up %+v, %v", got, err)
			}
			if err := b.Choose(ctx, "kind", silent); err != nil {
				t.Fatal(err)
			}
			if got := inUse(t, opened(t, e, nil)).ID; got != "kind" {
				t.Errorf("%s is chosen", got)
			}
		})
	}
}

// TestUnknownChoice: what a later version may have remembered is passed over.
func TestUnknownChoice(t *testing.T) {
	e, _ := machine(t)
	if err := remember(e, "netdojo", func(r *remembered) { r.Choice = "cloud" }); err != nil {
		t.Fatal(err)
	}
	if got := inUse(t, opened(t, e, nil)).ID; got != "embedded" {
		t.Errorf("%s is chosen", got)
	}
}

// TestTakes: how long a cluster took here is told the next time.
func TestTakes(t *testing.T) {
	e, all := machine(t)
	b := opened(t, e, nil)
	if got := inUse(t, b).Takes; got != "It takes some 2 s on a machine with 2 processors; here it never came up." {
		t.Errorf("it says %q", got)
	}
	all["embedded"].begin(cluster.Spec{Name: "netdojo", Datapath: "netdojo"})
	b.came(context.Background())
	if got := inUse(t, opened(t, e, nil)).Takes; got != "It took 4.2 s when it last came up here." {
		t.Errorf("it says %q", got)
	}
}

// TestLooksAreBounded: one that hangs, whatever ends its context, is given up.
func TestLooksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		defer close(hangs)
		began := time.Now()
		f := bounded(t.Context(), 10*time.Second, "the doctor of kind", func(context.Context) backend.Findings {
			<-hangs
			return backend.Findings{}
		})
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(f.Missing) != 1 || f.Missing[0].Cure == "" || !strings.Contains(f.Missing[0].Cause, "the doctor of kind was not done within 10s") {
			t.Errorf("it says %+v", f)
		}
	})
}

// TestCannot: what real Cilium without Envoy cannot judge of the course is told before
// it is brought up, as the runner would refuse it after.
func TestCannot(t *testing.T) {
	e, _ := machine(t)
	b := opened(t, e, nil)
	all, err := labs.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	have := []doctor.Result{{ID: doctor.NodeImage, State: doctor.OK}}
	for _, tc := range []struct {
		name    string
		id      string
		results []doctor.Result
		cannot  bool
	}{
		{"the image without Envoy", "kind-cilium", have, true},
		{"an image that is pulled", "kind-cilium", []doctor.Result{{ID: doctor.NodeImage, State: doctor.Warning}}, false},
		{"netdojo's datapath", "kind", have, false},
		{"embedded", "embedded", nil, false},
	} {
		var f backend.Findings
		b.lacking(context.Background(), b.specOf(tc.id), false, tc.results, &f)
		for _, lab := range all {
			needs := slices.Contains(lab.Needs, "http") || slices.Contains(lab.Needs, "tls")
			if lab.NeedsIPv6() && tc.id != "embedded" { // no kind cluster has it, and another cluster does
				if why := f.Cannot[lab.ID]; !strings.Contains(why, "IPv6 beside IPv4: kind clusters have IPv4 alone; ") || !strings.Contains(why, "netdojo up --ip-family dual --name dual") {
					t.Errorf("%s: lab %s: %q", tc.name, lab.ID, why)
				}
				continue
			}
			if got := f.Cannot[lab.ID] != ""; got != (needs && tc.cannot) {
				t.Errorf("%s: lab %s, which needs %v: %q", tc.name, lab.ID, lab.Needs, f.Cannot[lab.ID])
			}
		}
	}
}

// TestFeatures: a lab needs what it says, and the kinds of its solutions.
func TestFeatures(t *testing.T) {
	lab, err := labs.Open("04")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := featuresOf(lab), []string{"CiliumNetworkPolicy", "dns"}; !slices.Equal(got, want) {
		t.Errorf("lab 04 needs %v, want %v", got, want)
	}
}
