package runner

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/cluster"
	"github.com/netdojo/netdojo/cluster/step"
	"github.com/netdojo/netdojo/manifests"
)

// workload is one of the lab's objects and whether the cluster has it.
type workload struct {
	manifests.Object
	ref   manifests.Ref
	there bool
}

// inventory looks each of the lab's workloads up, in the order of its files.
func (s *Session) inventory(ctx context.Context) ([]workload, error) {
	objects, err := s.read(s.lab.Workloads)
	if err != nil {
		return nil, err
	}
	found := make([]workload, len(objects))
	group, gctx := errgroup.WithContext(ctx)
	for i, obj := range objects {
		found[i] = workload{Object: obj, ref: obj.Ref(s.lab.Namespace)}
		group.Go(func() error {
			_, err := s.conn.objects.Get(gctx, found[i].ref)
			if apierrors.IsNotFound(err) {
				return nil
			}
			found[i].there = err == nil
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("look for the lab's workloads: %w", err)
	}
	return found, nil
}

// complete deploys the workloads that the cluster does not have. Those that it
// has may be the learner's work by now: they stay as they are, and only a
// cluster that has just come up is waited for with all of them.
func (s *Session) complete() step.Step {
	return step.Step{Name: "Deploy the workloads", Run: func(ctx context.Context, detail func(string)) (step.Undo, error) {
		ctx, cancel := context.WithTimeout(ctx, s.t.DeployTimeout)
		defer cancel()
		awaitDNS, err := s.clusterDNS(ctx, detail)
		if err != nil {
			return nil, err
		}
		found, err := s.inventory(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.namespace(ctx); err != nil {
			return nil, err
		}
		var awaited []manifests.Ref
		for _, w := range found {
			if !w.there {
				if w.ref, _, err = s.applier.One(ctx, w.Object); err != nil {
					return nil, err
				}
			}
			if !w.there || s.booted {
				awaited = append(awaited, w.ref)
			}
		}
		if err := s.conn.objects.Wait(ctx, awaited, detail); err != nil {
			return nil, err
		}
		return nil, awaitDNS(ctx)
	}}
}

// present makes sure that the lab is on the cluster before anything is probed.
// A pod that is missing although all workloads are there is somebody's doing:
// the verdict says so, unless strict is set.
func (s *Session) present(strict bool) step.Step {
	return step.Step{Name: "Find the lab's pods", Run: func(ctx context.Context, _ func(string)) (step.Undo, error) {
		lacking, err := s.withoutPod(ctx)
		if err != nil || lacking == nil {
			return nil, err
		}
		found, err := s.inventory(ctx)
		if err != nil {
			return nil, err
		}
		var missing []string
		for _, w := range found {
			if !w.there {
				missing = append(missing, w.ref.String())
			}
		}
		switch {
		case len(missing) > 0:
			return nil, &EnvironmentError{
				During: "cluster " + s.t.Spec.Name,
				Err:    fmt.Errorf("lab %s is not on it: there is no %s", s.lab.ID, strings.Join(missing, ", no ")),
				Advice: "deploy what is missing, and keep what is there: " + s.command("shell"),
			}
		case strict:
			return nil, &EnvironmentError{
				During: "check " + lacking.ID, Err: fmt.Errorf("no pod matches %s", lacking.From),
				Advice: "deploy the lab anew: " + s.command("run") + " --solve=false --keep",
			}
		}
		return nil, nil
	}}
}

// withoutPod is a check of the session's tasks that has no pod to probe from;
// nil when all have one.
func (s *Session) withoutPod(ctx context.Context) (*checks.Check, error) {
	var todo []checks.Check
	for _, t := range s.tasks {
		todo = append(todo, t.Checks...)
	}
	missing := make([]bool, len(todo))
	group, gctx := errgroup.WithContext(ctx)
	for i, c := range todo {
		group.Go(func() error {
			if !c.InPod() {
				return nil
			}
			d, err := c.Destination()
			if err != nil {
				return err
			}
			subject, err := s.conn.inspector.Subject(gctx, c.From, d)
			missing[i] = subject.State == checks.PodMissing
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range todo {
		if missing[i] {
			return &todo[i], nil
		}
	}
	return nil, nil
}

// command is netdojo's command for this lab on this cluster, for advice.
func (s *Session) command(verb string) string {
	lab := s.lab.ID
	if s.lab.Dir != "" {
		lab = s.lab.Dir
	}
	text := "netdojo " + verb + " " + lab
	if s.t.Spec.Name != cluster.DefaultName {
		text += " --name " + s.t.Spec.Name
	}
	return text
}
