package oncluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
)

const (
	// silence is how long the API server may fail to answer.
	silence = 5 * time.Minute
	// tries is how often a pod is attached to that could not be spoken to.
	tries = 10
)

// collector gives each pod of a Job its work, and collects what they find. The Job's word
// on a submission counts only where it has given up: what is done is what was kept.
type collector struct {
	*Run
	plan  Plan
	job   *batchv1.Job
	batch grade.Batch

	mu      sync.Mutex // guards what follows
	serving map[types.UID]*served
	tried   map[types.UID]int
	done    map[int]bool
	causes  map[int]string // why a submission was not judged, last
	told    map[string]bool
	failed  error // of keeping: there is no use in going on
}

// served is a pod that is spoken with.
type served struct {
	cancel context.CancelCauseFunc
	going  time.Time // since when it is ending, or is not there any more; zero for one that works
}

// errUnheard is why a pod is given up that was to end, and whose connection does not.
var errUnheard = errors.New("its node is not heard of any more")

func newCollector(r *Run, p Plan, job *batchv1.Job, b grade.Batch) *collector {
	return &collector{
		Run: r, plan: p, job: job, batch: b, serving: map[types.UID]*served{}, tried: map[types.UID]int{},
		done: map[int]bool{}, causes: map[int]string{}, told: map[string]bool{},
	}
}

// collect returns when every submission is done.
func (c *collector) collect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	tick := time.NewTicker(c.poll())
	defer tick.Stop()
	answered := time.Now()
	for {
		err := c.look(ctx, &serving)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			answered = time.Now()
		case time.Since(answered) > silence:
			return err
		default:
			c.Log.Warn("the cluster was not looked at", slog.Any("error", err))
		}
		c.mu.Lock()
		failed, all := c.failed, len(c.done) == c.plan.Size
		c.mu.Unlock()
		if failed != nil || all {
			return failed
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look is one look at the cluster.
func (c *collector) look(ctx context.Context, serving *sync.WaitGroup) error {
	// The Job first: one that is finished has no pods that this would miss.
	job, err := c.Client.BatchV1().Jobs(c.plan.Namespace).Get(ctx, c.plan.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("look at the Job %s: %w", c.plan, err)
	}
	if job.UID != c.job.UID {
		return c.giveUp(fmt.Errorf("somebody else has made the Job %s anew", c.plan))
	}
	pods, err := c.Client.CoreV1().Pods(c.plan.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: runLabel + "=" + c.plan.Name,
		FieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
	})
	if err != nil {
		return fmt.Errorf("list the workers: %w", err)
	}
	there := map[types.UID]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !metav1.IsControlledBy(pod, c.job) || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if pod.DeletionTimestamp != nil {
			continue // on a node that died it is so for good
		}
		there[pod.UID] = true
		if why := waiting(pod); why != "" {
			c.notice("a worker waits: " + why)
		}
		n, ok := index(pod)
		if ok && n < c.plan.Size && working(pod) {
			c.serve(ctx, serving, pod, n)
		}
	}
	busy := c.hangUp(there)
	for n := range c.plan.Size {
		if in(ptr.Deref(job.Status.FailedIndexes, ""), n) {
			c.abandon(ctx, n, "its pods failed")
		} else if finished(job) && busy == 0 && len(there) == 0 {
			c.abandon(ctx, n, "its pod ended without an outcome")
		}
	}
	return nil
}

// hangUp gives up pods that are not among those that work for longer than a farewell takes,
// and says how many are left that are spoken with.
func (c *collector) hangUp(there map[types.UID]bool) (left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid, s := range c.serving {
		switch {
		case there[uid]:
			s.going = time.Time{}
		case s.going.IsZero():
			s.going = time.Now()
		case time.Since(s.going) > c.farewell():
			s.cancel(errUnheard)
		}
	}
	return len(c.serving)
}

// serve speaks with a pod that works, unless somebody does already.
func (c *collector) serve(ctx context.Context, serving *sync.WaitGroup, pod *corev1.Pod, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.serving[pod.UID]; known || c.tried[pod.UID] >= tries {
		return
	}
	c.tried[pod.UID]++
	own, cancel := context.WithCancelCause(ctx)
	c.serving[pod.UID] = &served{cancel: cancel}
	serving.Go(func() {
		defer cancel(nil)
		heard, err := c.speak(own, pod.Name, n)
		if own.Err() != nil && err != nil {
			err = context.Cause(own)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.serving, pod.UID)
		if heard {
			c.tried[pod.UID] = tries // its standard input is used up
		}
		if err != nil && ctx.Err() == nil && !c.done[n] {
			c.causes[n] = err.Error()
			if heard {
				c.batch.Notice(fmt.Sprintf("a worker failed, and its submission is begun anew: %v", err))
			}
		}
	})
}

// speak gives a pod its work and takes the outcome. Heard says whether the pod has got
// anything of it.
func (c *collector) speak(ctx context.Context, pod string, n int) (heard bool, err error) {
	work, err := c.batch.Work(ctx, n)
	if err != nil {
		return false, c.giveUp(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, toPod := io.Pipe()
	fromPod, out := io.Pipe()
	input := &counted{Reader: in}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lost := &lostError{c.Attach(ctx, c.plan.Namespace, pod, input, out)}
		in.CloseWithError(lost)
		out.CloseWithError(lost)
	}()
	err = exchange(toPod, fromPod, work, func(o grade.Outcome) error { return c.take(ctx, n, o) })
	go func() { _, _ = io.Copy(io.Discard, fromPod) }()
	select { // it may have yet to hear that its outcome is kept
	case <-ended:
	case <-time.After(c.farewell()):
	case <-ctx.Done():
	}
	cancel()
	fromPod.CloseWithError(io.ErrClosedPipe)
	toPod.Close()
	<-ended
	return input.got(), err
}

// take keeps an outcome. An error has the Job controller begin the submission anew.
func (c *collector) take(ctx context.Context, n int, out grade.Outcome) error {
	if out.Status == result.Failed {
		return fmt.Errorf("it was not judged: %s", out.Cause)
	}
	return c.keep(ctx, n, out)
}

func (c *collector) keep(ctx context.Context, n int, out grade.Outcome) error {
	err := c.batch.Done(ctx, n, out)
	var forged *grade.ForgedError
	switch {
	case err == nil:
		c.mu.Lock()
		c.done[n] = true
		c.mu.Unlock()
	case !errors.As(err, &forged) && ctx.Err() == nil:
		return c.giveUp(err)
	}
	return err
}

// abandon keeps a submission as failed that the Job does not begin anew.
func (c *collector) abandon(ctx context.Context, n int, otherwise string) {
	c.mu.Lock()
	done, cause := c.done[n], c.causes[n]
	c.mu.Unlock()
	if done {
		return
	}
	if cause == "" {
		cause = otherwise
	}
	if err := c.keep(ctx, n, grade.Failure(c.batch.Version, cause)); err != nil && ctx.Err() == nil {
		_ = c.giveUp(err)
	}
}

// giveUp ends the run.
func (c *collector) giveUp(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = err
	}
	return err
}

// notice tells something once.
func (c *collector) notice(text string) {
	c.mu.Lock()
	told := c.told[text]
	c.told[text] = true
	c.mu.Unlock()
	if !told {
		c.batch.Notice(text)
	}
}

// counted tells whether anything was read.
type counted struct {
	io.Reader
	mu sync.Mutex
	n  int
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.mu.Lock()
	r.n += n
	r.mu.Unlock()
	return n, err
}

func (r *counted) got() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n > 0
}

// index is the number of the submission that a pod is for.
func index(pod *corev1.Pod) (int, bool) {
	n, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	return n, err == nil && n >= 0
}

// working says whether a pod's worker runs.
func working(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == container {
			return s.State.Running != nil
		}
	}
	return false
}

// waiting is why a pod has not started; "" where nothing is wrong, or nothing is known yet.
func waiting(pod *corev1.Pod) string {
	for _, s := range pod.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return strings.ReplaceAll(w.Reason+": "+w.Message, pod.Name, "it")
		}
	}
	for _, k := range pod.Status.Conditions {
		if k.Type == corev1.PodScheduled && k.Status == corev1.ConditionFalse && k.Reason == corev1.PodReasonUnschedulable {
			return k.Message
		}
	}
	return ""
}

// in says whether a list of indexes, such as 1,3-5, has one.
func in(list string, n int) bool {
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		if first <= n && n <= last {
			return true
		}
	}
	return false
}
