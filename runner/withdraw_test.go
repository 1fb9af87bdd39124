package runner

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWithdraw removes what an answer brought, also where Reset does not: policies
// that the lab does not name, and other objects. What the lab deploys stays.
func TestWithdraw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.Provision = lab04(t), true
		answer, err := Text("mine", "mine.yaml", `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: mine, namespace: default}, spec: {podSelector: {}}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: backend}}
`)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
			if err := s.Reset(ctx); err != nil {
				return err
			}
			if err := s.Apply(ctx, Always(answer)); err != nil {
				return err
			}
			for _, ref := range []string{key("NetworkPolicy", "default", "mine"), key("ConfigMap", "default", "mine")} {
				if f.objects[ref] == nil {
					t.Errorf("%s is not applied", ref)
				}
			}
			if err := s.Withdraw(ctx); err != nil {
				return err
			}
			for ref, want := range map[string]bool{
				key("NetworkPolicy", "default", "mine"): false, key("ConfigMap", "default", "mine"): false,
				key("Deployment", "default", "backend"): true,
			} {
				if got := f.objects[ref] != nil; got != want {
					t.Errorf("%s is there: %v", ref, got)
				}
			}
			if !f.asked("enforced mine deleted=true") {
				t.Error("the datapath is not waited for")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestNamespaceThatEnds enters a lab whose namespace is still being deleted.
func TestNamespaceThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster()
		o := f.options()
		o.Lab, o.Provision = lab04(t).In("office"), true
		f.ending = map[string]int{"office": 3}
		_, err := Do(t.Context(), o.Target, func(s *Session, ctx context.Context) error {
			if err := s.Deploy(ctx); err != nil {
				return err
			}
			if f.ending["office"] != 0 {
				t.Error("the workloads were applied while the namespace was being deleted")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		f.ending["office"] = 1 << 30
		o.DeployTimeout = time.Second
		if _, err = Do(t.Context(), o.Target, (*Session).Deploy); err == nil || !strings.Contains(err.Error(), "namespace office is gone") {
			t.Errorf("a namespace that does not end: %v", err)
		}
	})
}
