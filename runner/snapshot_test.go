package runner

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestSnapshot takes what is on one cluster to another.
func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := newFakeCluster(), newFakeCluster()
		answer, err := Text("mine", "mine.yaml", `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mine, namespace: default, annotations: {token: abc}}, spec: {podSelector: {}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: mine}, stringData: {password: hunter2}}
`)
		if err != nil {
			t.Fatal(err)
		}
		var objects []map[string]any
		o := here.options()
		o.Lab, o.Provision, o.Keep = lab04(t), true, true
		_, err = Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
			if err := errors.Join(s.Reset(ctx), s.Apply(ctx, Always(answer))); err != nil {
				return err
			}
			deployment := here.objects[key("Deployment", "default", "backend")]
			if err := unstructured.SetNestedField(deployment.Object, "frontend", "spec", "template", "metadata", "labels", "app"); err != nil {
				return err
			}
			objects, err = s.Snapshot(ctx)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(objects)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"hunter2", "abc", "uid", "generation", "image"} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%q is saved: %s", secret, data)
			}
		}
		o = there.options()
		o.Lab, o.Provision, o.Keep = lab04(t), true, true
		_, err = Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
			return errors.Join(s.Reset(ctx), s.Restore(ctx, objects))
		})
		if err != nil {
			t.Fatal(err)
		}
		if there.objects[key("NetworkPolicy", "default", "mine")] == nil {
			t.Error("the policy is not restored")
		}
		deployment := there.objects[key("Deployment", "default", "backend")]
		app, _, _ := unstructured.NestedString(deployment.Object, "spec", "template", "metadata", "labels", "app")
		containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
		if app != "frontend" || len(containers) != 1 {
			t.Errorf("the Deployment has the label %q and %d containers", app, len(containers))
		}
	})
}

// TestRestoreOfOthersObjects is given what no Snapshot has: nothing of it is applied.
func TestRestoreOfOthersObjects(t *testing.T) {
	policy := map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "p", "namespace": "default"}, "spec": map[string]any{},
	}
	for name, object := range map[string]map[string]any{
		"another namespace's policy": {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "p", "namespace": "kube-system"}},
		"another workload":           {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "miner"}},
		"a binding":                  {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": "admin"}},
		"a Secret":                   {"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "backend"}},
		"a policy of another group":  {"apiVersion": "example.com/v1", "kind": "NetworkPolicy", "metadata": map[string]any{"name": "p"}},
		"nothing":                    {},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			o := f.options()
			o.Lab, o.Provision, o.Keep = lab04(t), true, true
			_, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
				if err := s.Reset(ctx); err != nil {
					return err
				}
				return s.Restore(ctx, []map[string]any{policy, object})
			})
			var usage *UsageError
			if !errors.As(err, &usage) || usage.Cure() == "" || f.objects[key("NetworkPolicy", "default", "p")] != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.Provision, o.Keep = lab04(t), true, true
		hostile := map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "backend", "namespace": "default"},
			"spec": map[string]any{"replicas": int64(1), "template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "x"}}, "spec": map[string]any{
				"hostNetwork": true, "containers": []any{map[string]any{"name": "evil", "image": "evil"}},
			}}},
		}
		_, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
			return errors.Join(s.Reset(ctx), s.Restore(ctx, []map[string]any{hostile}))
		})
		if err != nil {
			t.Fatal(err)
		}
		data, _ := json.Marshal(f.objects[key("Deployment", "default", "backend")].Object)
		if strings.Contains(string(data), "evil") || strings.Contains(string(data), "hostNetwork") || !strings.Contains(string(data), `"app":"x"`) {
			t.Errorf("the Deployment is %s", data)
		}
	})
}
