package oncluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/netdojo/netdojo/runner/grade"
)

// Run judges batches on a cluster.
type Run struct {
	Client kubernetes.Interface
	Attach Attacher
	Plan   Plan
	Log    *slog.Logger
	// Poll is how often the cluster is looked at; 0 is a second.
	Poll time.Duration
	// Farewell is how long a pod may take to end that is told to; 0 is 15 seconds.
	Farewell time.Duration
}

const (
	defaultPoll     = time.Second
	defaultFarewell = 15 * time.Second
	// goneTimeout bounds the wait until what was deleted is gone.
	goneTimeout = time.Minute
)

func (r *Run) poll() time.Duration {
	if r.Poll > 0 {
		return r.Poll
	}
	return defaultPoll
}

func (r *Run) farewell() time.Duration {
	if r.Farewell > 0 {
		return r.Farewell
	}
	return defaultFarewell
}

// Judge is a grade.Elsewhere. What it makes on the cluster is gone when it returns.
func (r *Run) Judge(ctx context.Context, b grade.Batch) (err error) {
	p := r.Plan
	p.Size, p.Jobs, p.TimeLimit = b.Size, b.Jobs, b.TimeLimit
	if err := r.remove(ctx, p); err != nil { // what a run that was killed has left
		return err
	}
	defer func() {
		err = errors.Join(err, r.remove(context.WithoutCancel(ctx), p))
	}()
	if _, err := r.Client.NetworkingV1().NetworkPolicies(p.Namespace).Create(ctx, p.wall(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("keep the workers from the cluster's network: %w", err)
	}
	job, err := r.Client.BatchV1().Jobs(p.Namespace).Create(ctx, p.job(), metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the Job %s: %w", p, err)
	}
	return newCollector(r, p, job, b).collect(ctx)
}

// remove takes away what a run makes, and waits until it is gone. The network stays closed
// for pods until they have ended; those on a node that died never do.
func (r *Run) remove(ctx context.Context, p Plan) error {
	err := r.Client.BatchV1().Jobs(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
	if err = ignoreMissing(err); err == nil {
		err = r.await(ctx, goneTimeout, func() (bool, error) {
			_, err := r.Client.BatchV1().Jobs(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
			return apierrors.IsNotFound(err), ignoreMissing(err)
		})
	}
	if err != nil {
		return fmt.Errorf("remove the Job %s: %w", p, err)
	}
	err = r.await(ctx, r.farewell(), func() (bool, error) {
		left, err := r.Client.CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: runLabel + "=" + p.Name})
		return err == nil && len(left.Items) == 0, err
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("wait for the end of the workers: %w", err)
	}
	err = r.Client.NetworkingV1().NetworkPolicies(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{})
	if err := ignoreMissing(err); err != nil {
		return fmt.Errorf("remove the workers' NetworkPolicy %s: %w", p, err)
	}
	return nil
}

// await looks again and again until look says that it is so. The limit, a
// context.DeadlineExceeded, is between looks: one that is cut off says something else.
func (r *Run) await(ctx context.Context, limit time.Duration, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return wait.PollUntilContextCancel(ctx, r.poll(), true, func(context.Context) (bool, error) { return look() })
}

func ignoreMissing(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// finished says whether a Job starts no more pods.
func finished(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == "True" {
			return true
		}
	}
	return false
}
