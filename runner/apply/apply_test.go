package apply_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/event"
)

// fake is an API and a datapath.
type fake struct {
	enforced time.Duration // how long the datapath takes
	rejects  map[string]*policies.Rejection
	never    string // the policy that the datapath does not come to judge by

	mu      sync.Mutex // guards what follows
	objects []unstructured.Unstructured
	asked   []cluster.PolicyRef
	told    []event.Event
}

func (f *fake) applier() *apply.Applier {
	return &apply.Applier{API: f, Datapath: f, Namespace: "lab", Tell: func(e event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.told = append(f.told, e)
	}}
}

func (f *fake) Apply(_ context.Context, obj manifests.Object, namespace string) (manifests.Result, error) {
	if strings.HasPrefix(obj.GetName(), "misspelt") {
		return manifests.Result{}, &manifests.ApplyError{Object: obj, Err: apierrors.NewBadRequest(`unknown field "spec.egres"`)}
	}
	if obj.GetName() == "unlucky" {
		return manifests.Result{}, &manifests.ApplyError{Object: obj, Err: errors.New("connection refused")}
	}
	u := obj.DeepCopy()
	u.SetNamespace(obj.Ref(namespace).Namespace)
	u.SetUID(types.UID("uid-" + u.GetName()))
	u.SetGeneration(1)
	f.objects = append(f.objects, *u)
	return manifests.Result{Unstructured: u, Created: true, At: time.Now()}, nil
}

func (f *fake) List(_ context.Context, gvk schema.GroupVersionKind, namespace, _ string) (found []unstructured.Unstructured, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.objects {
		if u.GroupVersionKind() == gvk && u.GetNamespace() == namespace {
			found = append(found, u)
		}
	}
	return found, nil
}

func (f *fake) Delete(_ context.Context, ref manifests.Ref) (types.UID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.objects {
		if u.GetName() == ref.Name {
			return u.GetUID(), nil
		}
	}
	return "", nil
}

func (f *fake) Wait(context.Context, []manifests.Ref, func(string)) error { return nil }

func (f *fake) Enforced(ctx context.Context, ref cluster.PolicyRef) error {
	f.mu.Lock()
	f.asked = append(f.asked, ref)
	f.mu.Unlock()
	if r := f.rejects[ref.Name]; r != nil {
		return &cluster.RejectedError{Ref: ref, Rejection: r}
	}
	if ref.Name == f.never {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.enforced):
		return nil
	}
}

func objects(t *testing.T, text string) []manifests.Object {
	t.Helper()
	found, err := object.Parse("answer.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const policy = "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: NAME}\nspec: {}\n"

func named(names ...string) string {
	text := ""
	for _, n := range names {
		text += strings.Replace(policy, "NAME", n, 1)
	}
	return text
}

func TestAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{enforced: 7 * time.Millisecond, rejects: map[string]*policies.Rejection{"odd": policies.NotServed([]string{"spec.x"})}}
		text := "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: other}\n" + named("good", "misspelt", "odd")
		out, err := f.applier().All(t.Context(), "4.1", objects(t, text), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Refs) != 3 || out.Refs[0].Namespace != "other" || out.Refs[1].Namespace != "lab" {
			t.Errorf("the API took %v", out.Refs)
		}
		if len(out.Policies) != 3 {
			t.Fatalf("policies are %+v", out.Policies)
		}
		misspelt, good, odd := out.Policies[0], out.Policies[1], out.Policies[2]
		if misspelt.Name != "misspelt" || misspelt.Rejected == "" || misspelt.Line == 0 || !strings.Contains(misspelt.Cure, "kubectl explain") {
			t.Errorf("what the API refuses is %+v", misspelt)
		}
		if good.EnforcedMs == nil || *good.EnforcedMs != 7 || good.Rejected != "" {
			t.Errorf("what is enforced is %+v", good)
		}
		if odd.EnforcedMs != nil || !strings.Contains(odd.Rejected, "spec.x") || odd.Cure == "" {
			t.Errorf("what the datapath refuses is %+v", odd)
		}
		if r := out.Rejected(); r == nil || r.Name != "misspelt" {
			t.Errorf("the first that is rejected is %+v", r)
		}
		var kinds []string
		for _, e := range f.told {
			switch e := e.(type) {
			case event.Applied:
				kinds = append(kinds, "applied "+e.Object.Name)
			case event.PolicyRejected:
				kinds = append(kinds, "rejected "+e.Object.Name)
			}
		}
		if want := []string{"applied web", "rejected misspelt", "applied good", "rejected odd"}; !slices.Equal(kinds, want) {
			t.Errorf("told %v, want %v", kinds, want)
		}
	})
}

// TestAllEnds: with a datapath that never comes to it, and with an API that is away.
func TestAllEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := (&fake{enforced: time.Hour}).applier().All(t.Context(), "", objects(t, named("slow")), func(string) {})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "CiliumNetworkPolicy slow is enforced") || time.Since(began) > time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		out, err := (&fake{}).applier().All(t.Context(), "", objects(t, named("good", "unlucky", "later")), func(string) {})
		if err == nil || len(out.Refs) != 1 || out.Refs[0].Name != "good" {
			t.Errorf("%v, %+v: want what was applied by then", err, out)
		}
	})
}

func TestPoliciesAndRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{rejects: map[string]*policies.Rejection{"b": policies.Invalid(errors.New("no"))}}
		a := f.applier()
		for _, obj := range objects(t, named("b", "a")+"---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: marker, labels: {"+cluster.MarkerLabel+": ''}}\n") {
			if _, _, err := a.One(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
		}
		if len(f.told) != 0 {
			t.Errorf("told %v of policies that are not enforced yet", f.told)
		}
		found, err := a.Policies(t.Context(), []string{"lab", "other"})
		if err != nil || len(found) != 2 || found[0].Name != "a" || found[1].Name != "b" {
			t.Fatalf("%v, %v: want a and b", found, err)
		}
		entries, err := a.Await(t.Context(), found)
		if err != nil || len(entries) != 2 || entries[0].Rejected != "" || entries[0].EnforcedMs != nil || entries[1].Rejected != "no" {
			t.Errorf("%v, %+v", err, entries)
		}
		f.asked = nil
		gone := manifests.Ref{GVK: found[0].GVK, Namespace: "lab", Name: "gone"}
		if err := a.Remove(t.Context(), []manifests.Ref{found[0].Ref, gone}); err != nil {
			t.Error(err)
		}
		if len(f.asked) != 1 || f.asked[0].Name != "a" || !f.asked[0].Deleted || f.asked[0].UID != "uid-a" {
			t.Errorf("waited for %+v, want the end of a", f.asked)
		}
	})
}

// TestAwaitDeleted: a policy that is deleted while it is waited for is no failure, and the
// others are waited for.
func TestAwaitDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{enforced: 5 * time.Second, never: "gone"}
		a := f.applier()
		for _, obj := range objects(t, named("gone", "stays")) {
			if _, _, err := a.One(t.Context(), obj); err != nil {
				t.Fatal(err)
			}
		}
		found, err := a.Policies(t.Context(), []string{"lab"})
		if err != nil || len(found) != 2 {
			t.Fatalf("%v, %v", found, err)
		}
		f.mu.Lock()
		f.objects = slices.DeleteFunc(f.objects, func(u unstructured.Unstructured) bool { return u.GetName() == "gone" })
		f.mu.Unlock()
		began := time.Now()
		entries, err := a.Await(t.Context(), found)
		if err != nil || len(entries) != 1 || entries[0].Name != "stays" || time.Since(began) != f.enforced {
			t.Errorf("%v, %+v after %s", err, entries, time.Since(began))
		}
	})
}
