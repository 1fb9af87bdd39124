package runner

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/manifests/object"
)

// guestCluster is a fakeCluster that netdojo did not make.
type guestCluster struct{ *fakeCluster }

func (g guestCluster) Open(ctx context.Context, name string) (cluster.Handle, error) {
	h, err := g.fakeCluster.Open(ctx, name)
	return guestHandle{h}, err
}

func (g guestCluster) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	h, err := g.fakeCluster.Up(ctx, spec, report)
	return guestHandle{h}, err
}

type guestHandle struct{ cluster.Handle }

func (h guestHandle) Settle(_ context.Context, lab string) (string, error) {
	h.Handle.(fakeHandle).f.note("settle %s", lab)
	return "netdojo-" + lab, nil
}

func (h guestHandle) Lacks(ctx context.Context, features []string) ([]cluster.Lack, error) {
	return h.Handle.(fakeHandle).Lacks(ctx, features)
}

// asGuest is a session on the fake as somebody's cluster.
func asGuest(f *fakeCluster) options {
	o := f.options()
	connect := o.connect
	o.connect = func(h cluster.Handle) (*connection, error) { return connect(h.(guestHandle).Handle) }
	o.Provider = guestCluster{f}
	return o
}

// TestGuest: on somebody's cluster a lab keeps to its own namespace.
func TestGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := asGuest(f)
		o.Lab = lab04(t)
		run, err := runLab(t.Context(), o)
		if err != nil || !run.OK() {
			t.Fatalf("%v, %v", err, brief(run))
		}
		if !f.asked("settle 04") {
			t.Errorf("no namespace was asked for: %v", f.asks())
		}
		for _, c := range run.Tasks[0].Checks {
			if !strings.HasPrefix(c.From, "netdojo-04/") {
				t.Errorf("%s probes from %s", c.ID, c.From)
			}
		}
		for _, p := range run.Tasks[0].Policies {
			if p.Namespace != "netdojo-04" {
				t.Errorf("%s is in %s", p.Name, p.Namespace)
			}
		}
	})
}

// TestGuestLacks: what cannot be judged is said with its reason, and proves nothing;
// the rest is run.
func TestGuestLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.lacks = map[string]string{"CiliumNetworkPolicy": "calico does not enforce it"}
		o := asGuest(f)
		o.Lab = lab04(t)
		run, err := runLab(t.Context(), o)
		if err != nil || run.OK() || run.Failed == 0 {
			t.Fatalf("%v, %v", err, brief(run))
		}
		for _, c := range run.Tasks[0].Checks {
			switch c.Phase {
			case checks.Before:
				if !c.Passed {
					t.Errorf("%s was not run: %+v", c.ID, c)
				}
			case checks.After:
				if c.Cause != checks.CauseUnsupported || !strings.Contains(c.Detail, "calico does not enforce it") || c.Passed {
					t.Errorf("%s: %+v", c.ID, c)
				}
			}
		}
		if f.asked("enforced") {
			t.Errorf("the solution was applied: %v", f.asks())
		}
	})
}

// TestOutsideOf: what a lab does beyond its own namespace is not done on somebody's
// cluster.
func TestOutsideOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const selector = "  endpointSelector: {}\n  ingress:\n  - fromEndpoints:\n    - "
		for name, tc := range map[string]struct{ text, want string }{
			"of the lab's own": {"kind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nmetadata: {name: a, namespace: default}\nspec:\n" + selector + "matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system}\n", ""},
			"clusterwide":      {"kind: CiliumClusterwideNetworkPolicy\napiVersion: cilium.io/v2\nmetadata: {name: a}\n", "whole cluster's"},
			"another's":        {"kind: Service\napiVersion: v1\nmetadata: {name: a, namespace: other}\n", "namespace other"},
			"a label": {"kind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\nmetadata: {name: a}\nspec:\n" + selector + "matchLabels: {k8s:io.kubernetes.pod.namespace: default}\n",
				"by its name"},
			"an expression": {"kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: a}\nspec:\n  ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [default]}]}}]}]\n",
				"by its name"},
		} {
			objects, err := object.Parse("a.yaml", []byte(tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if why := outsideOf(objects, "default"); (why == "") != (tc.want == "") || !strings.Contains(why, tc.want) {
				t.Errorf("%s: %q", name, why)
			}
		}
		f := newFakeCluster()
		o := asGuest(f)
		lab := *lab04(t)
		lab.FS = fstest.MapFS{"w.yaml": {Data: []byte("kind: Namespace\napiVersion: v1\nmetadata: {name: more}\n")}}
		lab.Workloads = []string{"w.yaml"}
		o.Lab = &lab
		if _, err := runLab(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not supported on a cluster that netdojo did not make") || f.asked("settle") {
			t.Errorf("a lab with a namespace of its own: %v, %v", err, f.asks())
		}
	})
}
