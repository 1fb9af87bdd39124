package pagerun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/checks/kube"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/event"
)

// Bounds of what is waited for.
const (
	readyTimeout   = 60 * time.Second
	usedTimeout    = 10 * time.Second // for a cluster that was there before
	readyPause     = 200 * time.Millisecond
	enforceTimeout = 20 * time.Second
	deployTimeout  = 2 * time.Minute
	cleanTimeout   = time.Minute
)

// open opens the cluster or brings it up, and connects to it.
func (s *session) open() step.Step {
	return step.Step{Name: "Provision the cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		h, err := s.t.Provider.Open(ctx, s.t.Spec.Name)
		if errors.Is(err, cluster.ErrNotRunning) {
			known, lerr := s.t.Provider.List(ctx)
			if lerr != nil {
				return nil, lerr
			}
			s.fresh = !slices.Contains(known, s.t.Spec.Name)
			h, err = s.t.Provider.Up(ctx, s.t.Spec, func(u step.Update) { s.t.Listener.Session(event.StepUpdate{Update: u, Depth: 1}) })
			s.booted = err == nil
		}
		if err != nil {
			return nil, err
		}
		s.handle = h
		return nil, s.attach(ctx, detail)
	}}
}

// attach makes what speaks through the handle.
func (s *session) attach(ctx context.Context, detail func(string)) error {
	if err := s.awaitReady(ctx, detail); err != nil {
		return err
	}
	st, err := s.handle.Status(ctx)
	if err != nil {
		return err
	}
	s.run.Provider, s.run.Datapath = st.Provider, string(st.Datapath)
	s.namespace = "default"
	if g, ok := s.handle.(cluster.Guest); ok {
		if s.namespace, err = g.Settle(ctx, "page"); err != nil {
			return err
		}
		s.only = s.namespace
	}
	config := s.handle.RESTConfig()
	if s.objects, err = manifests.New(config); err != nil {
		return err
	}
	if s.execer, err = kube.NewExecer(config); err != nil {
		return err
	}
	if s.inspector, err = kube.NewInspector(config); err != nil {
		return err
	}
	s.applier = &apply.Applier{API: s.objects, Datapath: s.handle, Namespace: s.namespace, Tell: s.t.Listener.Session}
	s.dnsTrouble = s.dnsState
	if err := s.openFlows(ctx, detail); err != nil {
		return err
	}
	if s.flows == nil {
		s.t.Listener.Session(event.Notice{Text: "the datapath reports no flows: a deny rests on its control and on a timeout alone"})
	}
	var names []string
	for _, p := range s.t.Pages {
		names = append(names, p.Hosts()...)
	}
	if err := s.handle.ServeNames(ctx, names); err != nil {
		return fmt.Errorf("serve the page's names: %w", err)
	}
	return nil
}

// awaitReady waits for the cluster. One that was there before and does not become
// ready is used as it is: the page shows what that means.
func (s *session) awaitReady(ctx context.Context, detail func(string)) error {
	limit := usedTimeout
	if s.booted {
		limit = readyTimeout
	}
	wctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	last, err := cluster.AwaitReady(wctx, s.handle, detail)
	switch {
	case err == nil || ctx.Err() != nil || wctx.Err() == nil:
		return err
	case s.booted:
		return fmt.Errorf("cluster %s is not ready: %s", s.t.Spec.Name, last)
	}
	s.t.Listener.Session(event.Notice{Text: fmt.Sprintf("cluster %s is not ready: %s", s.t.Spec.Name, last)})
	return nil
}

// openFlows has the flow log follow the datapath.
func (s *session) openFlows(ctx context.Context, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (bool, error) {
		// The log lives as long as the session.
		if s.flows, last = checks.OpenFlowLog(context.WithoutCancel(ctx), flowSource{s.handle}); last != nil {
			detail(last.Error())
		}
		return last == nil, nil
	})
	if err != nil {
		return last
	}
	return nil
}

// flowSource gives a cluster's flows to the checks.
type flowSource struct{ handle cluster.Handle }

// Subscribe implements checks.FlowSource.
func (f flowSource) Subscribe(ctx context.Context) (checks.FlowStream, error) {
	stream, err := f.handle.Flows(ctx, 0)
	if errors.Is(err, cluster.ErrNoFlows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// setup applies the objects that the pages need, and waits for them.
func (s *session) setup() step.Step {
	return step.Step{Name: "Set up what the page needs", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		ctx, cancel := context.WithTimeout(ctx, deployTimeout)
		defer cancel()
		if loader, ok := s.handle.(cluster.ImageLoader); ok {
			if err := loader.EnsureImages(ctx, object.Images(s.t.Setup), detail); err != nil {
				return nil, fmt.Errorf("bring the images: %w", err)
			}
		}
		var refs []manifests.Ref
		for _, obj := range s.t.Setup {
			ref, res, err := s.applier.One(ctx, obj)
			if err != nil {
				return nil, err
			}
			if res.Created {
				s.note(ref, res.GetUID())
			}
			refs = append(refs, ref)
		}
		return nil, s.objects.Wait(ctx, refs, detail)
	}}
}

// awaitWrites waits, after a command, until the datapath judges by the policies that
// it wrote and the pods that it made are ready, as a careful reader would. It says what
// did not come to be so.
func (s *session) awaitWrites(ctx context.Context, writes []write) []string {
	var told []string
	var refs []manifests.Ref
	for _, w := range writes {
		if w.created && !w.deleted {
			s.note(w.ref, types.UID(w.uid))
		}
		if ref, ok := w.policy(); ok {
			s.epoch++
			ectx, cancel := context.WithTimeout(ctx, enforceTimeout)
			err := s.handle.Enforced(ectx, ref)
			cancel()
			var rejected *cluster.RejectedError
			switch {
			case errors.As(err, &rejected):
				told = append(told, rejected.Error())
			case err != nil && ctx.Err() == nil:
				told = append(told, fmt.Sprintf("%s %s is not enforced after %s: %v", ref.Kind, ref.Name, enforceTimeout, err))
			}
			continue
		}
		if !w.deleted && workload(w.ref.GVK) {
			refs = append(refs, w.ref)
		}
	}
	refs = slices.DeleteFunc(refs, func(ref manifests.Ref) bool { return s.removed(ctx, ref) })
	if len(refs) > 0 {
		wctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if err := s.objects.Wait(wctx, refs, func(string) {}); err != nil && ctx.Err() == nil {
			told = append(told, "what it made is not ready: "+err.Error())
		}
	}
	return told
}

// removed says whether an object that was there is gone, or about to be: the pod of
// kubectl run --rm, or one that a later command deleted.
func (s *session) removed(ctx context.Context, ref manifests.Ref) bool {
	u, err := s.objects.Get(ctx, ref)
	return apierrors.IsNotFound(err) || err == nil && u.GetDeletionTimestamp() != nil
}

func workload(gvk schema.GroupVersionKind) bool {
	return gvk.Group == "apps" && gvk.Kind != "ReplicaSet" && gvk.Kind != "ControllerRevision" || gvk.Group == "" && gvk.Kind == "Pod"
}

// dnsState says what is wrong with cluster DNS; "" when nothing is.
func (s *session) dnsState() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pods, err := s.objects.List(ctx, podGVK, "kube-system", "k8s-app=kube-dns")
	if err != nil {
		return ""
	}
	for i := range pods {
		if ready, _ := manifests.Ready(&pods[i]); ready {
			return ""
		}
	}
	return "cluster DNS (kube-dns) has no pod that is ready"
}

// kubeconfig is what the page's kubectl reads. It holds no credentials.
func (s *session) kubeconfig(server string) []byte {
	name := "netdojo-" + s.t.Spec.Name
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster: {server: %[2]q}
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s, namespace: %[3]s}
users:
- name: %[1]s
  user: {}
current-context: %[1]s
`, name, strings.TrimSuffix(server, "/"), s.namespace)
}
