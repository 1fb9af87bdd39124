package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/runner/apply"
	"github.com/netdojo/netdojo/runner/event"
)

var namespaceGVK = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// find opens the cluster, which must run.
func (s *Session) find() step.Step {
	return step.Step{Name: "Open the cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		h, err := s.t.Provider.Open(ctx, s.t.Spec.Name)
		if errors.Is(err, cluster.ErrNotRunning) {
			return nil, &EnvironmentError{
				During: "cluster " + s.t.Spec.Name, Err: err,
				Advice: "bring it up with the lab: " + s.command("shell"),
			}
		}
		if err != nil {
			return nil, err
		}
		return nil, s.attach(ctx, h, detail)
	}}
}

// provision opens the cluster or brings it up, and has the world serve the
// lab's names. What it acquires, close gives back.
func (s *Session) provision() step.Step {
	return step.Step{Name: "Provision the cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		h, err := s.t.Provider.Open(ctx, s.t.Spec.Name)
		if errors.Is(err, cluster.ErrNotRunning) {
			known, lerr := s.t.Provider.List(ctx)
			if lerr != nil {
				return nil, lerr
			}
			s.fresh = !slices.Contains(known, s.t.Spec.Name)
			spec, more := s.specOfLab()
			h, err = s.t.Provider.Up(ctx, spec, s.nested())
			s.booted = err == nil
			if err != nil && len(more) > 0 {
				err = fmt.Errorf("lab %s needs %s: %w", s.lab.ID, strings.Join(more, " and "), err)
			}
		}
		if errors.Is(err, cluster.ErrAlreadyRunning) {
			h, err = s.t.Provider.Open(ctx, s.t.Spec.Name)
		}
		if err != nil {
			return nil, err
		}
		s.handle = h
		// An API server that has just come back refuses what it will allow.
		if err := s.awaitReady(ctx, detail); err != nil {
			return nil, err
		}
		if err := s.attach(ctx, h, detail); err != nil {
			return nil, err
		}
		if err := h.ServeNames(ctx, worldNames(s.lab)); err != nil {
			return nil, fmt.Errorf("serve the lab's names: %w", err)
		}
		return nil, nil
	}}
}

// specOfLab is what the cluster is asked to be for the lab, and what of it nobody asked for.
func (s *Session) specOfLab() (spec cluster.Spec, more []string) {
	spec = s.t.Spec
	if s.lab.NeedsIPv6() && !spec.Dual() {
		spec.IPFamily = cluster.FamilyDual
		more = append(more, cluster.Having(cluster.FeatureIPv6))
	}
	// A file of kind's configuration says itself how many nodes there are.
	if s.lab.NeedsNodes() && spec.Nodes < cluster.LabNodes && spec.KindConfig == "" {
		spec.Nodes = cluster.LabNodes
		more = append(more, cluster.Having(cluster.FeatureNodes))
	}
	return spec, more
}

// readyTimeout bounds the wait for a cluster that runs but is not ready: one
// that another command has just started, or whose DNS is away for a moment.
const (
	readyTimeout = 60 * time.Second
	readyPause   = 200 * time.Millisecond
)

// awaitReady waits until the cluster is ready.
func (s *Session) awaitReady(ctx context.Context, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	last, err := cluster.AwaitReady(ctx, s.handle, detail)
	if err != nil && ctx.Err() != nil {
		return &EnvironmentError{
			During: "cluster " + s.t.Spec.Name, Err: fmt.Errorf("it is not ready: %s", last),
			Advice: fmt.Sprintf("start it anew: netdojo down --name %s", s.t.Spec.Name),
		}
	}
	return err
}

// attach takes a handle and everything that speaks through it.
func (s *Session) attach(ctx context.Context, h cluster.Handle, detail func(string)) error {
	s.handle = h
	st, err := h.Status(ctx)
	if err != nil {
		return err
	}
	s.run.Provider, s.run.Datapath = st.Provider, string(st.Datapath)
	if g, ok := h.(cluster.Guest); ok {
		if err := s.settle(ctx, g); err != nil {
			return err
		}
	} else if err := s.examine(ctx, h); err != nil {
		return err
	}
	if s.conn, err = s.t.connect(h); err != nil {
		return err
	}
	s.applier = &apply.Applier{API: s.conn.objects, Datapath: h, Namespace: s.lab.Namespace, Tell: s.emit}
	if err := s.openFlows(ctx, h, detail); err != nil {
		return err
	}
	if s.flows == nil {
		s.emit(event.Notice{Text: "the datapath reports no flows: a deny rests on its control and on curl's timeout alone"})
	}
	s.prober = &checks.Prober{Exec: s.conn.execer, Inspect: s.conn.inspector, Objects: s.conn.reader, Flows: s.flows, WaitTimeout: s.t.WaitTimeout}
	return nil
}

// openFlows has the flow log follow the datapath. A node that has just come back
// does not know its own pods for a moment, whatever the API says of them.
func (s *Session) openFlows(ctx context.Context, h cluster.Handle, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (bool, error) {
		// The log lives as long as the session, not as the step that opens it.
		if s.flows, last = checks.OpenFlowLog(context.WithoutCancel(ctx), flowSource{h}); last != nil {
			detail(last.Error())
		}
		return last == nil, nil
	})
	if err != nil {
		return last
	}
	return nil
}

// examine refuses a lab on a cluster that lacks what it needs: a datapath that would let
// pass what the lab wants to see denied, as HTTP rules without a proxy, which are valid
// and do nothing; or addresses of IPv6, or a second node.
func (s *Session) examine(ctx context.Context, h cluster.Handle) error {
	examiner, ok := h.(cluster.Examiner)
	if !ok || len(s.lab.Needs) == 0 {
		return nil
	}
	lacks, err := examiner.Lacks(ctx, s.lab.Needs)
	if err != nil {
		return fmt.Errorf("find out what the datapath enforces: %w", err)
	}
	if len(lacks) == 0 {
		return nil
	}
	var features, why, fixes []string
	what := fmt.Sprintf("cluster %s does not have", s.t.Spec.Name)
	for _, l := range lacks {
		name := cluster.Having(l.Feature)
		if name == "" {
			name, what = l.Feature, fmt.Sprintf("the datapath %s of cluster %s does not enforce", s.run.Datapath, s.t.Spec.Name)
		}
		features, why, fixes = append(features, name), append(why, l.Why), append(fixes, l.Fix)
	}
	refused := &EnvironmentError{
		Err:    fmt.Errorf("lab %s needs %s, which %s: %s", s.lab.ID, strings.Join(features, " and "), what, strings.Join(why, "; ")),
		Advice: strings.Join(slices.Compact(fixes), "; "),
	}
	if !slices.ContainsFunc(lacks, func(l cluster.Lack) bool { return !l.Anew }) {
		refused.Kind = cluster.ErrMadeOtherwise
	}
	return refused
}

// worldNames are the names that a lab asks for and those that its checks dial or
// ask for outside the cluster.
func worldNames(lab *labs.Lab) []string {
	names := slices.Clone(lab.World.Names)
	for _, t := range lab.Tasks {
		for _, c := range t.Checks {
			for _, name := range c.Resolves() {
				if strings.Contains(name, ".") && !inCluster(name) {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func inCluster(host string) bool {
	return strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".cluster.local")
}

// clean brings the lab to its clean state: none of its policies, its workloads as
// declared and ready.
func (s *Session) clean() step.Step {
	return step.Step{Name: "Deploy the workloads", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		ctx, cancel := context.WithTimeout(ctx, s.t.DeployTimeout)
		defer cancel()
		if err := s.removeLabPolicies(ctx, nil); err != nil {
			return nil, err
		}
		return nil, s.workloads(ctx, detail)
	}}
}

// redeploy is clean without its cleaning.
func (s *Session) redeploy() step.Step {
	return step.Step{Name: "Find the workloads", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		ctx, cancel := context.WithTimeout(ctx, s.t.DeployTimeout)
		defer cancel()
		if err := s.workloads(ctx, detail); err != nil {
			return nil, err
		}
		return nil, s.tellOtherLabs(ctx)
	}}
}

// workloads applies the lab's workloads and waits until they are ready.
func (s *Session) workloads(ctx context.Context, detail func(string)) error {
	objects, err := s.read(s.lab.Workloads)
	if err != nil {
		return err
	}
	var awaitDNS func(context.Context) error
	var there bool
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		awaitDNS, err = s.clusterDNS(gctx, detail)
		return err
	})
	group.Go(func() (err error) {
		there, err = s.awaitNamespaces(gctx, objects, detail)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if loader, ok := s.handle.(cluster.ImageLoader); ok {
		if err := loader.EnsureImages(ctx, object.Images(objects), detail); err != nil {
			return fmt.Errorf("bring the lab's images: %w", err)
		}
	}
	if !there {
		if err := s.makeNamespace(ctx); err != nil {
			return err
		}
	}
	refs := make([]manifests.Ref, 0, len(objects))
	for _, obj := range objects {
		ref, res, err := s.applier.One(ctx, obj)
		if err != nil {
			return err
		}
		if res.Created {
			s.created = append(s.created, ref)
		}
		refs = append(refs, ref)
	}
	if err = s.conn.objects.Wait(ctx, refs, detail); err == nil {
		err = awaitDNS(ctx)
	}
	if err == nil && slices.ContainsFunc(refs, isPolicy) {
		_, err = s.activePolicies(ctx)
	}
	if err == nil {
		s.noteDeclared()
	}
	return err
}

// awaitNamespaces waits until no namespace of the lab is being deleted, as by the
// session before: nothing can be made in one that is. It says whether the lab's own is
// there.
func (s *Session) awaitNamespaces(ctx context.Context, objects []manifests.Object, detail func(string)) (there bool, err error) {
	names := []string{s.lab.Namespace}
	for _, o := range objects {
		if o.GroupVersionKind() == namespaceGVK {
			names = append(names, o.GetName())
		}
	}
	for _, name := range names {
		err := wait.PollUntilContextCancel(ctx, readyPause, true, func(ctx context.Context) (bool, error) {
			u, err := s.conn.objects.Get(ctx, manifests.Ref{GVK: namespaceGVK, Name: name})
			switch {
			case apierrors.IsNotFound(err):
				return true, nil
			case err != nil:
				return false, err
			case u.GetDeletionTimestamp() != nil:
				detail("waiting until the namespace " + name + " is gone")
				return false, nil
			}
			there = there || name == s.lab.Namespace
			return true, nil
		})
		if err != nil {
			return false, fmt.Errorf("wait until the namespace %s is gone: %w", name, err)
		}
	}
	return there, nil
}

// namespace makes the lab's namespace when it is not there.
func (s *Session) namespace(ctx context.Context) error {
	ref := manifests.Ref{GVK: namespaceGVK, Name: s.lab.Namespace}
	if _, err := s.conn.objects.Get(ctx, ref); err == nil || !apierrors.IsNotFound(err) {
		return err
	}
	return s.makeNamespace(ctx)
}

func (s *Session) makeNamespace(ctx context.Context) error {
	ref := manifests.Ref{GVK: namespaceGVK, Name: s.lab.Namespace}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(namespaceGVK)
	u.SetName(ref.Name)
	if _, err := s.conn.objects.Apply(ctx, manifests.Object{Unstructured: u}, ""); err != nil {
		return err
	}
	s.created = append(s.created, ref)
	return nil
}

// read parses files of the lab, with their objects moved to where the lab is.
func (s *Session) read(files []string) ([]manifests.Object, error) {
	objects, err := parse(s.lab.FS, files)
	return s.moved(objects), err
}

// prerequisite applies the solution of an earlier task.
func (s *Session) prerequisite(t labs.Task) step.Step {
	return step.Step{Name: "Apply the solution of task " + t.ID, Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		if why := s.guest.unsupported[t.ID]; why != "" {
			return nil, fmt.Errorf("task %s is not supported here: %s", t.ID, why)
		}
		out, err := s.applyAnswer(ctx, "", Solution(s.lab)(t), detail)
		if err != nil {
			return nil, err
		}
		if r := out.Rejected(); r != nil {
			return nil, fmt.Errorf("%s %s is rejected: %s", r.Kind, r.Name, r.Rejected)
		}
		return nil, nil
	}}
}

// clusterUID tells clusters of one name apart.
func (s *Session) clusterUID(ctx context.Context) (string, error) {
	u, err := s.conn.objects.Get(ctx, manifests.Ref{GVK: namespaceGVK, Name: metav1.NamespaceSystem})
	if err != nil {
		return "", fmt.Errorf("identify the cluster: %w", err)
	}
	return string(u.GetUID()), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
