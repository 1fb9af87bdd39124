package runner

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/manifests/object"
)

// TestLenientAnswer: a policy that is refused costs itself, and what is in force is
// judged; otherwise nothing is.
func TestLenientAnswer(t *testing.T) {
	lab := lab04(t)
	text, err := fs.ReadFile(lab.FS, lab.Tasks[0].Solution[0])
	if err != nil {
		t.Fatal(err)
	}
	objects, err := object.Parse("answer.yaml", append(text, "\n---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: typo}\nspec: {}\n---\napiVersion: v1\nkind: Widget\nmetadata: {name: odd}\n"...))
	if err != nil {
		t.Fatal(err)
	}
	for _, lenient := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			f.rejects = map[string]string{"typo": "unknown field", "odd": "no such kind"}
			o := f.options()
			o.Lab, o.Provision = lab, true
			answer := Answer{Name: "the submission", Objects: objects, Lenient: lenient}
			if !lenient {
				answer.Objects = objects[:2]
			}
			run, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
				return errors.Join(s.Reset(ctx), s.Prove(ctx, Always(answer)))
			})
			if err != nil || run.OK() != lenient {
				t.Errorf("lenient %v: %v: %v", lenient, err, brief(run))
			}
			var refused []string
			for _, p := range run.Tasks[0].Policies {
				if p.Rejected != "" {
					refused = append(refused, p.Name)
				}
			}
			if want := map[bool][]string{true: {"typo", "odd"}, false: {"typo"}}[lenient]; !slices.Equal(refused, want) {
				t.Errorf("lenient %v: refused are %v", lenient, refused)
			}
		})
	}
}

// TestLenientAnswerDoesNotGetReady: what never gets ready is left to the checks.
func TestLenientAnswerDoesNotGetReady(t *testing.T) {
	lab := lab04(t)
	objects, err := object.Parse("answer.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, lenient := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			o := f.options()
			o.Lab, o.Provision = lab, true
			run, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
				if err := s.Reset(ctx); err != nil {
					return err
				}
				f.notReady = errors.New("no node is fit for it")
				return s.Prove(ctx, Always(Answer{Name: "it", Objects: objects, Lenient: lenient}))
			})
			if (err == nil) != lenient || lenient && len(run.Tasks[0].Checks) != 4 {
				t.Errorf("lenient %v: %v: %v", lenient, err, brief(run))
			}
		})
	}
}

// TestEmpty: no policy, whosever, and no object of the kinds that are named stays, and
// no pod; what Kubernetes itself keeps does.
func TestEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab, o.Keep = lab04(t), true
		for _, text := range []string{
			"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: someones, namespace: default}\n",
			"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: everywhere}\n",
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: someones, namespace: default}\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: someones, namespace: default}\n",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-root-ca.crt, namespace: default}\n",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: elsewhere, namespace: other}\n",
		} {
			objects, err := object.Parse("x.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Apply(t.Context(), objects[0], "default"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
			return s.Empty(ctx, []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"}})
		})
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for k := range f.objects {
			left = append(left, k)
		}
		slices.Sort(left)
		if got := strings.Join(left, ", "); got != "ConfigMap default/kube-root-ca.crt, Secret other/elsewhere" {
			t.Errorf("left are %s", got)
		}
	})
}

// TestEmptyWaitsForPods: a pod that does not end is an error that names it.
func TestEmptyWaitsForPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		f.running = true
		o := f.options()
		o.Lab, o.Keep = lab04(t), true
		objects, err := object.Parse("x.yaml", []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: stays, namespace: default}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Apply(t.Context(), objects[0], "default"); err != nil {
			t.Fatal(err)
		}
		_, err = Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error { return s.Empty(ctx, nil) })
		if err == nil || !strings.Contains(err.Error(), "pod default/stays does not end") {
			t.Errorf("got %v", err)
		}
	})
}
