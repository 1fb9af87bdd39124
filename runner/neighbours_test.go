package runner

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
)

// notices gathers what a session remarks.
func notices(o *options) *[]string {
	var all []string
	o.Listener = func(e event.Event) {
		if n, ok := e.(event.Notice); ok {
			all = append(all, n.Text)
		}
	}
	return &all
}

func has(all []string, text string) bool {
	return slices.ContainsFunc(all, func(one string) bool { return strings.Contains(one, text) })
}

// TestOtherLabsPolicies: labs 04 and 05 share a namespace. Who goes on with one is
// told of the other's policies, and who begins one anew is rid of them, and of
// clusterwide ones; what no lab has stays.
func TestOtherLabsPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab, o.Keep = lab04(t), true
		if run, err := runLab(t.Context(), o); err != nil || !run.OK() {
			t.Fatalf("lab 04: %v, %v", brief(run), err)
		}
		for _, p := range []struct{ kind, version, name string }{
			{"CiliumClusterwideNetworkPolicy", "cilium.io/v2", clusterwideOf(t, "14")}, {"CiliumNetworkPolicy", "cilium.io/v2", "mine"},
		} {
			u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": p.version, "kind": p.kind, "metadata": map[string]any{"name": p.name}}}
			if _, err := f.Apply(t.Context(), manifests.Object{Unstructured: u}, "default"); err != nil {
				t.Fatal(err)
			}
		}
		next, err := labs.Open("05")
		if err != nil {
			t.Fatal(err)
		}
		o.Lab, o.Provision = next, true
		told := notices(&o)
		if _, err := Do(t.Context(), o.Target, (*Session).Deploy); err != nil {
			t.Fatal(err)
		}
		if !has(*told, "backend-egress-allow-fqdn is of lab 04 and judges this lab's pods too") || f.asked("delete Cilium") {
			t.Errorf("going on with lab 05 says %q and asks %v", *told, f.asks())
		}
		told = notices(&o)
		if _, err := Do(t.Context(), o.Target, (*Session).Reset); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"backend-egress-allow-fqdn was of lab 04; the lab begins without it", "was of lab 14", "mine is not the lab's; it stays"} {
			if !has(*told, want) {
				t.Errorf("nothing says %q: %q", want, *told)
			}
		}
		var left []string
		for _, u := range f.objects {
			if strings.HasPrefix(u.GetKind(), "Cilium") {
				left = append(left, u.GetName())
			}
		}
		if !slices.Equal(left, []string{"mine"}) {
			t.Errorf("left are the policies %v, want only the learner's own", left)
		}
	})
}

// TestBaselineBesideOtherLabs: what an answer to another lab leaves possible is a
// control; a policy of nobody knows what is in the way of the baseline, which is said.
func TestBaselineBesideOtherLabs(t *testing.T) {
	for _, c := range []struct {
		name, policy string
		want         checks.ControlKind
		told         string
	}{
		{"an answer to lab 14", clusterwideOf(t, "14"), checks.ControlBefore, ""},
		{"a policy of the learner's", "mine", checks.ControlSibling, "CiliumClusterwideNetworkPolicy mine is there already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				o := f.options()
				o.Lab, o.StateDir = lab04(t), t.TempDir()
				u := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": map[string]any{"name": c.policy},
				}}
				if _, err := f.Apply(t.Context(), manifests.Object{Unstructured: u}, ""); err != nil {
					t.Fatal(err)
				}
				told := notices(&o)
				if _, err := prepareLab(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				if got := has(*told, "is there already"); got != (c.told != "") || !has(append(*told, ""), c.told) {
					t.Errorf("entering says %q, want %q", *told, c.told)
				}
				deploy(t, f, o.Lab, "solution/backend-egress-allow-fqdn.yaml")
				run, err := checkLab(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				wantBrief(t, run, "after kubernetes-io allowed/ok", "after cilium-io denied/policy-drop")
				if got := run.Tasks[0].Checks[1].Evidence.Control; got == nil || got.Kind != c.want {
					t.Errorf("control is %+v, want %s", got, c.want)
				}
			})
		})
	}
}

// TestPartialBaselineBesideOtherLabs: a baseline of which another lab's answer took a
// part is not kept, so that it is taken again without that answer.
func TestPartialBaselineBesideOtherLabs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.StateDir = lab04(t), t.TempDir()
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": map[string]any{"name": clusterwideOf(t, "14")},
		}}
		if _, err := f.Apply(t.Context(), manifests.Object{Unstructured: u}, ""); err != nil {
			t.Fatal(err)
		}
		f.refuseHost = "cilium.io"
		if _, err := prepareLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		f.refuseHost = ""
		if _, err := prepareLab(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		deploy(t, f, o.Lab, "solution/backend-egress-allow-fqdn.yaml")
		run, err := checkLab(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := run.Tasks[0].Checks[1].Evidence.Control; got == nil || got.Kind != checks.ControlBefore {
			t.Errorf("control is %+v, want that of the second baseline", got)
		}
	})
}

// TestNamesakesAreNotMisplaced: other labs' policies of the same name are in their
// place, and a second one of the lab's own is no mistake.
func TestNamesakesAreNotMisplaced(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string // the namespaces with a policy default-deny
		want int
	}{
		{"lab 06's", []string{"depot"}, 0},
		{"nobody's", []string{"web"}, 1},
		{"the lab's own beside nobody's", []string{"canteen", "web"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				f.running = true
				o := f.options()
				lab, err := labs.Open("10")
				if err != nil {
					t.Fatal(err)
				}
				o.Lab = lab
				told := notices(&o)
				for _, ns := range c.in {
					u := &unstructured.Unstructured{Object: map[string]any{
						"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
						"metadata": map[string]any{"name": "default-deny", "namespace": ns},
					}}
					if _, err := f.Apply(t.Context(), manifests.Object{Unstructured: u}, ""); err != nil {
						t.Fatal(err)
					}
				}
				look := func(s *Session, ctx context.Context) error { return s.misplacedPolicies(ctx) }
				if _, err := Do(t.Context(), o.Target, look); err != nil {
					t.Fatal(err)
				}
				if len(*told) != c.want {
					t.Errorf("told: %q, want %d", *told, c.want)
				}
			})
		})
	}
}

// clusterwideOf is a clusterwide policy of a lab's solution.
func clusterwideOf(t *testing.T, id string) string {
	t.Helper()
	lab, err := labs.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range answered(lab) {
		if name, ok := strings.CutPrefix(key, "CiliumClusterwideNetworkPolicy /"); ok {
			return name
		}
	}
	t.Fatalf("lab %s has no clusterwide policy", id)
	return ""
}

// keptCluster is a fakeCluster whose DNS is netdojo's, and which may not come up.
type keptCluster struct {
	*fakeCluster
	broken bool // its pod does not become ready
}

func (k keptCluster) Open(ctx context.Context, name string) (cluster.Handle, error) {
	h, err := k.fakeCluster.Open(ctx, name)
	return keptHandle{h, k.broken}, err
}

func (k keptCluster) Up(ctx context.Context, spec cluster.Spec, report step.Reporter) (cluster.Handle, error) {
	h, err := k.fakeCluster.Up(ctx, spec, report)
	return keptHandle{h, k.broken}, err
}

type keptHandle struct {
	cluster.Handle
	broken bool
}

func systemObject(version, kind, name string, more map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name, "namespace": "kube-system"},
	}}
	for k, v := range more {
		u.Object[k] = v
	}
	return u
}

// DNSObjects are the Service and, as if its controller had made it, the slice of
// the Service's pods.
func (k keptHandle) DNSObjects() ([]*unstructured.Unstructured, error) {
	ready := map[string]any{"endpoints": []any{
		map[string]any{"conditions": map[string]any{"ready": true, "serving": true, "terminating": true}},
		map[string]any{"conditions": map[string]any{"ready": true, "serving": !k.broken}},
	}}
	return []*unstructured.Unstructured{systemObject("v1", "Service", "kube-dns", nil), systemObject("discovery.k8s.io/v1", "EndpointSlice", "kube-dns-1", ready)}, nil
}

// TestClusterDNS: a lab is not begun without cluster DNS; what is gone of it is
// brought back, with a word, or the cure is told.
func TestClusterDNS(t *testing.T) {
	for name, broken := range map[string]bool{"brought back": false, "broken": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster()
				f.running = true
				o := f.options()
				connect := o.connect
				o.connect = func(h cluster.Handle) (*connection, error) { return connect(h.(keptHandle).Handle) }
				o.Lab, o.Keep, o.Provision, o.Provider = lab04(t), true, true, keptCluster{f, broken}
				told := notices(&o)
				_, err := Do(t.Context(), o.Target, (*Session).Reset)
				if broken {
					if err == nil || !strings.Contains(err.Error(), "cluster DNS does not work") {
						t.Errorf("without cluster DNS the lab begins: %v", err)
					}
					return
				}
				if err != nil || !has(*told, "cluster DNS was gone; it was brought back") || !f.asked("apply Service kube-system/kube-dns") {
					t.Fatalf("%v, told %q: %v", err, *told, f.asks())
				}
				f.forget()
				told = notices(&o)
				if _, err := Do(t.Context(), o.Target, (*Session).Reset); err != nil || len(*told) > 0 || f.asked("apply Service kube-system/kube-dns") {
					t.Errorf("with cluster DNS there: %v, told %q: %v", err, *told, f.asks())
				}
			})
		})
	}
}
