package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/labs"
	"github.com/netdojo/netdojo/manifests"
	"github.com/netdojo/netdojo/runner/event"
	"github.com/netdojo/netdojo/runner/record"
)

var namespaceGVK = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// open connects to the cluster, which must run.
func (s *session) open() step.Step {
	return step.Step{Name: "Open the cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		h, err := s.o.Provider.Open(ctx, s.o.Spec.Name)
		if errors.Is(err, cluster.ErrNotRunning) {
			return nil, &EnvironmentError{
				During: "cluster " + s.o.Spec.Name, Err: err,
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
func (s *session) provision() step.Step {
	return step.Step{Name: "Provision the cluster", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		h, err := s.o.Provider.Open(ctx, s.o.Spec.Name)
		if errors.Is(err, cluster.ErrNotRunning) {
			known, lerr := s.o.Provider.List(ctx)
			if lerr != nil {
				return nil, lerr
			}
			s.fresh = !slices.Contains(known, s.o.Spec.Name)
			h, err = s.o.Provider.Up(ctx, s.o.Spec, s.nested())
			s.booted = err == nil
		}
		if errors.Is(err, cluster.ErrAlreadyRunning) {
			h, err = s.o.Provider.Open(ctx, s.o.Spec.Name)
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
		if err := h.ServeNames(ctx, worldNames(s.o.Lab)); err != nil {
			return nil, fmt.Errorf("serve the lab's names: %w", err)
		}
		return nil, nil
	}}
}

// readyTimeout bounds the wait for a cluster that runs but is not ready: one
// that another command has just started, or whose DNS is away for a moment.
const (
	readyTimeout = 60 * time.Second
	readyPause   = 200 * time.Millisecond
)

// awaitReady polls the cluster's status, for a provider has no watch for it.
func (s *session) awaitReady(ctx context.Context, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	pause := time.NewTicker(readyPause)
	defer pause.Stop()
	for {
		st, err := s.handle.Status(ctx)
		if err != nil || st.Ready {
			return err
		}
		detail(st.Detail)
		select {
		case <-ctx.Done():
			return &EnvironmentError{
				During: "cluster " + s.o.Spec.Name, Err: fmt.Errorf("it is not ready: %s", st.Detail),
				Advice: fmt.Sprintf("start it anew: netdojo down --name %s", s.o.Spec.Name),
			}
		case <-pause.C:
		}
	}
}

// attach takes a handle and everything that speaks through it.
func (s *session) attach(ctx context.Context, h cluster.Handle, detail func(string)) error {
	s.handle = h
	st, err := h.Status(ctx)
	if err != nil {
		return err
	}
	s.run.Provider, s.run.Datapath = st.Provider, st.Datapath
	if guest, ok := h.(cluster.Guest); ok {
		if err := s.settle(ctx, guest); err != nil {
			return err
		}
	} else if err := s.examine(ctx, h); err != nil {
		return err
	}
	if s.conn, err = s.o.connect(h); err != nil {
		return err
	}
	if err := s.openFlows(ctx, h, detail); err != nil {
		return err
	}
	if s.flows == nil {
		s.emit(event.Notice{Text: "the datapath reports no flows: a deny rests on its control and on curl's timeout alone"})
	}
	s.prober = &checks.Prober{Exec: s.conn.execer, Inspect: s.conn.inspector, Flows: s.flows, WaitTimeout: s.o.WaitTimeout}
	return nil
}

// openFlows has the flow log follow the datapath. A node that has just come back
// does not know its own pods for a moment, whatever the API says of them.
func (s *session) openFlows(ctx context.Context, h cluster.Handle, detail func(string)) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	pause := time.NewTicker(readyPause)
	defer pause.Stop()
	for {
		// The log lives as long as the session, not as the step that opens it.
		flows, err := checks.OpenFlowLog(context.WithoutCancel(ctx), flowSource{h})
		if err == nil {
			s.flows = flows
			return nil
		}
		detail(err.Error())
		select {
		case <-ctx.Done():
			return err
		case <-pause.C:
		}
	}
}

// examine refuses a lab on a datapath that would let pass what the lab wants to
// see denied: HTTP rules without a proxy, for one, which are valid and do nothing.
func (s *session) examine(ctx context.Context, h cluster.Handle) error {
	examiner, ok := h.(cluster.Examiner)
	if !ok || len(s.o.Lab.Needs) == 0 {
		return nil
	}
	lacks, err := examiner.Lacks(ctx, s.o.Lab.Needs)
	if err != nil {
		return fmt.Errorf("find out what the datapath enforces: %w", err)
	}
	if len(lacks) == 0 {
		return nil
	}
	var features, why, fixes []string
	for _, l := range lacks {
		features, why, fixes = append(features, l.Feature), append(why, l.Why), append(fixes, l.Fix)
	}
	return &EnvironmentError{
		Err: fmt.Errorf("lab %s needs %s, which the datapath %s of cluster %s does not enforce: %s",
			s.o.Lab.ID, strings.Join(features, " and "), s.run.Datapath, s.o.Spec.Name, strings.Join(why, "; ")),
		Advice: strings.Join(slices.Compact(fixes), "; "),
	}
}

// worldNames are the names that a lab asks for and those that its checks dial
// outside the cluster.
func worldNames(lab *labs.Lab) []string {
	names := slices.Clone(lab.World.Names)
	for _, t := range lab.Tasks {
		for _, c := range t.Checks {
			d, err := checks.ParseDestination(c.To)
			if err != nil || d.IsIP() || !strings.Contains(d.Host, ".") || inCluster(d.Host) {
				continue
			}
			names = append(names, d.Host)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func inCluster(host string) bool {
	return strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".cluster.local")
}

// deploy brings the lab to its clean state: none of its policies, its workloads
// as declared and ready.
func (s *session) deploy() step.Step {
	return step.Step{Name: "Deploy the workloads", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		ctx, cancel := context.WithTimeout(ctx, s.o.DeployTimeout)
		defer cancel()
		if err := s.cleanState(ctx); err != nil {
			return nil, err
		}
		return nil, s.workloads(ctx, detail)
	}}
}

// workloads applies the lab's workloads and waits until they are ready.
func (s *session) workloads(ctx context.Context, detail func(string)) error {
	objects, err := s.read(s.o.Lab.Workloads)
	if err != nil {
		return err
	}
	if loader, ok := s.handle.(cluster.ImageLoader); ok {
		if err := loader.EnsureImages(ctx, imagesOf(objects), detail); err != nil {
			return fmt.Errorf("bring the lab's images: %w", err)
		}
	}
	if err := s.namespace(ctx); err != nil {
		return err
	}
	refs := make([]manifests.Ref, 0, len(objects))
	for _, obj := range objects {
		ref, res, err := s.apply(ctx, obj)
		if err != nil {
			return err
		}
		if res.Created {
			s.created = append(s.created, ref)
		}
		refs = append(refs, ref)
	}
	return s.conn.objects.Wait(ctx, refs, detail)
}

// imagesOf are the images that objects run, whatever kind the objects are.
func imagesOf(objects []manifests.Object) []string {
	var images []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				list, isList := below.([]any)
				if isList && (key == "containers" || key == "initContainers") {
					for _, c := range list {
						container, _ := c.(map[string]any)
						if image, ok := container["image"].(string); ok && image != "" {
							images = append(images, image)
						}
					}
				}
				walk(below)
			}
		case []any:
			for _, below := range v {
				walk(below)
			}
		}
	}
	for _, o := range objects {
		walk(o.Object)
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// namespace makes the lab's namespace when it is not there.
func (s *session) namespace(ctx context.Context) error {
	name := s.o.Lab.Namespace
	ref := manifests.Ref{GVK: namespaceGVK, Name: name}
	if _, err := s.conn.objects.Get(ctx, ref); err == nil || !apierrors.IsNotFound(err) {
		return err
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(namespaceGVK)
	u.SetName(name)
	if _, err := s.conn.objects.Apply(ctx, manifests.Object{Unstructured: u}, ""); err != nil {
		return err
	}
	s.created = append(s.created, ref)
	return nil
}

// apply applies one object and tells it.
func (s *session) apply(ctx context.Context, obj manifests.Object) (manifests.Ref, manifests.Result, error) {
	res, err := s.conn.objects.Apply(ctx, obj, s.o.Lab.Namespace)
	if err != nil {
		return manifests.Ref{}, res, err
	}
	ref := manifests.Ref{GVK: obj.GroupVersionKind(), Namespace: res.GetNamespace(), Name: res.GetName()}
	if !isPolicy(ref.GVK) {
		s.emit(event.Applied{Object: record.Applied{File: obj.File, Kind: ref.GVK.Kind, Namespace: ref.Namespace, Name: ref.Name}})
	}
	return ref, res, nil
}

// read parses files of the lab.
func (s *session) read(files []string) ([]manifests.Object, error) {
	var objects []manifests.Object
	for _, file := range files {
		data, err := fs.ReadFile(s.o.Lab.FS, file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		found, err := manifests.Parse(file, data)
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			if s.visit.home != "" && o.GetNamespace() == s.visit.home {
				o.SetNamespace(s.o.Lab.Namespace)
			}
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// prerequisite applies the solution of an earlier task.
func (s *session) prerequisite(t labs.Task) step.Step {
	return step.Step{Name: "Apply the solution of task " + t.ID, Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		var task record.Task
		if why := s.visit.unsupported[t.ID]; why != "" {
			return nil, fmt.Errorf("task %s is not supported here: %s", t.ID, why)
		}
		if err := s.applyFiles(ctx, &task, t.Solution, detail); err != nil {
			return nil, err
		}
		if r := firstRejected(task.Policies); r != nil {
			return nil, fmt.Errorf("%s %s is rejected: %s", r.Kind, r.Name, r.Rejected)
		}
		return nil, nil
	}}
}

// applyAnswer applies what is between the phases, and notes in task how long
// the datapath took. A policy that is rejected is noted, not an error.
func (s *session) applyAnswer(task *record.Task, files []string) step.Step {
	name := "Apply the solution"
	if s.o.Wrong != "" {
		name = "Apply the wrong answer " + s.o.Wrong
	}
	return step.Step{Name: name, Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		return nil, s.applyFiles(ctx, task, files, detail)
	}}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
