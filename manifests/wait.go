package manifests

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// diagnoseEvery is how often a wait looks at the pods behind an object, to say
// what it waits for and to give up early when it can never end.
const diagnoseEvery = 300 * time.Millisecond

// NotReadyError is an object that did not become ready: what it was waiting for
// at the end, and why.
type NotReadyError struct {
	Ref    Ref
	State  string // the last state seen
	Reason string // of the pod behind it, as the cluster tells; "" when unknown
	Advice string
	Err    error // the context's, or nil when waiting longer is of no use
}

func (e *NotReadyError) Error() string {
	text := fmt.Sprintf("%s is not ready: %s", e.Ref, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

func (e *NotReadyError) Unwrap() error { return e.Err }

// Cure is the advice.
func (e *NotReadyError) Cure() string { return e.Advice }

// Wait waits for objects side by side until each is ready by the measure of its
// kind (Ready says which). It ends early, with a *NotReadyError, when a pod can
// never start. detail, which may be nil, is told what is waited for.
func (c *Client) Wait(ctx context.Context, refs []Ref, detail func(string)) error {
	if detail == nil {
		detail = func(string) {}
	}
	tell := make(chan string)
	told := make(chan struct{})
	go func() { // one caller of detail at a time
		defer close(told)
		last := ""
		for text := range tell {
			if text != last {
				detail(text)
			}
			last = text
		}
	}()
	group, gctx := errgroup.WithContext(ctx)
	for _, ref := range refs {
		group.Go(func() error { return c.waitOne(gctx, ref, tell) })
	}
	err := group.Wait()
	close(tell)
	<-told
	return err
}

func (c *Client) waitOne(ctx context.Context, ref Ref, tell chan<- string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	var state string // written by until's goroutine, read after it ended
	var diagnosis Diagnosis
	go func() {
		defer close(done)
		diagnosis = c.watchPods(ctx, ref, tell, cancel)
	}()
	err := c.until(ctx, ref, func(u *unstructured.Unstructured) (bool, error) {
		ok, text := Ready(u)
		state = text
		return ok, nil
	})
	if err == nil {
		cancel(nil)
		<-done
		return nil
	}
	hopeless := errors.Is(context.Cause(ctx), errHopeless)
	cancel(nil)
	<-done
	e := &NotReadyError{Ref: ref, State: state, Reason: diagnosis.Reason, Advice: diagnosis.Advice, Err: err}
	if hopeless {
		e.Err = nil
	}
	if e.State == "" {
		e.State = err.Error()
	}
	return e
}

var errHopeless = fmt.Errorf("a pod can never start")

// watchPods tells about the pods behind a workload until ctx ends, and cancels
// the wait when one of them can never start.
func (c *Client) watchPods(ctx context.Context, ref Ref, tell chan<- string, cancel context.CancelCauseFunc) Diagnosis {
	var last Diagnosis
	tick := time.NewTicker(diagnoseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
		d, ok := c.Diagnose(ctx, ref)
		if !ok {
			continue
		}
		last = d
		if d.Hopeless {
			cancel(errHopeless)
			return last
		}
		select {
		case tell <- ref.String() + ": " + d.Reason:
		case <-ctx.Done():
			return last
		}
	}
}

// until watches one object until done says so. It is given nil while the object
// does not exist.
func (c *Client) until(ctx context.Context, ref Ref, done func(*unstructured.Unstructured) (bool, error)) error {
	res, ref, err := c.resource(ref)
	if err != nil {
		return err
	}
	for {
		options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", ref.Name).String()}
		u, err := res.Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			u, err = nil, nil
		}
		if err != nil {
			return err
		}
		if ok, err := done(u); ok || err != nil {
			return err
		}
		// Without a version a watch starts with the objects that exist, so nothing
		// is missed when there was none to take the version from.
		if u != nil {
			options.ResourceVersion = u.GetResourceVersion()
		}
		w, err := res.Watch(ctx, options)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			continue
		}
		if err != nil {
			return err
		}
		ok, err := drain(ctx, w, ref.Name, done)
		if ok || err != nil {
			return err
		}
	}
}

// drain reads a watch until done, or until the server ends it (false, nil).
func drain(ctx context.Context, w watch.Interface, name string, done func(*unstructured.Unstructured) (bool, error)) (bool, error) {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case ev, open := <-w.ResultChan():
			if !open || ev.Type == watch.Error {
				return false, ctx.Err()
			}
			u, ok := ev.Object.(*unstructured.Unstructured)
			if !ok || u.GetName() != name {
				continue
			}
			if ev.Type == watch.Deleted {
				u = nil
			}
			if ok, err := done(u); ok || err != nil {
				return ok, err
			}
		}
	}
}

// Ready says whether an object is ready by the measure of its kind, and what
// is missing. A nil object is not there. Kinds without a measure are ready when
// they exist.
func Ready(u *unstructured.Unstructured) (bool, string) {
	if u == nil {
		return false, "it does not exist"
	}
	if !u.GetDeletionTimestamp().IsZero() {
		return false, "it is being deleted"
	}
	switch u.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"},
		schema.GroupKind{Group: "apps", Kind: "ReplicaSet"},
		schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return replicasReady(u)
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return daemonsReady(u)
	case schema.GroupKind{Kind: "Pod"}:
		if phase, _, _ := unstructured.NestedString(u.Object, "status", "phase"); phase == "Succeeded" {
			return true, ""
		}
		return condition(u, "Ready")
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return condition(u, "Complete")
	case schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}:
		return condition(u, "Established")
	case schema.GroupKind{Kind: "Namespace"}:
		phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
		return phase == "Active" || phase == "", "phase is " + phase
	}
	return true, ""
}

func replicasReady(u *unstructured.Unstructured) (bool, string) {
	if !observed(u) {
		return false, "its controller has not seen it yet"
	}
	want, found, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if !found {
		want = 1
	}
	field := "availableReplicas"
	if u.GetKind() == "Deployment" || u.GetKind() == "StatefulSet" {
		updated, _, _ := unstructured.NestedInt64(u.Object, "status", "updatedReplicas")
		if updated < want {
			return false, fmt.Sprintf("%d of %d replicas are up to date", updated, want)
		}
		total, _, _ := unstructured.NestedInt64(u.Object, "status", "replicas")
		if total > want {
			return false, fmt.Sprintf("%d old replicas are going", total-want)
		}
	}
	have, _, _ := unstructured.NestedInt64(u.Object, "status", field)
	return have >= want, fmt.Sprintf("%d of %d replicas are available", have, want)
}

func daemonsReady(u *unstructured.Unstructured) (bool, string) {
	if !observed(u) {
		return false, "its controller has not seen it yet"
	}
	want, _, _ := unstructured.NestedInt64(u.Object, "status", "desiredNumberScheduled")
	updated, _, _ := unstructured.NestedInt64(u.Object, "status", "updatedNumberScheduled")
	have, _, _ := unstructured.NestedInt64(u.Object, "status", "numberAvailable")
	have = min(have, updated)
	return have >= want, fmt.Sprintf("%d of %d pods are available", have, want)
}

func observed(u *unstructured.Unstructured) bool {
	seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	return seen >= u.GetGeneration()
}

func condition(u *unstructured.Unstructured, name string) (bool, string) {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		m, ok := c.(map[string]any)
		if !ok || m["type"] != name {
			continue
		}
		if m["status"] == "True" {
			return true, ""
		}
		message, _ := m["message"].(string)
		if message == "" {
			message, _ = m["reason"].(string)
		}
		return false, fmt.Sprintf("condition %s is %v: %s", name, m["status"], message)
	}
	return false, "condition " + name + " is not set yet"
}
