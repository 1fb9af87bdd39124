package oncluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/netdojo/netdojo/runner/grade"
	"github.com/netdojo/netdojo/runner/grade/result"
)

// school is a cluster with a Job controller of the simplest kind. Its pods run the real
// worker with a judge of the test's.
type school struct {
	t      *testing.T
	client *fake.Clientset
	// judge is asked with the number of the submission and how many pods it had before.
	judge func(ctx context.Context, n, before int, w grade.Work) (grade.Outcome, error)
	// cut ends the connection to a pod instead, once it has its work.
	cut func(n, before int) bool
	// dead has the node of a pod die instead: nothing is heard of it, and it never ends.
	dead func(n, before int) bool

	mu     sync.Mutex // guards what follows
	pods   int
	starts map[int]int // pods of each submission
	ended  map[string]error
}

func newSchool(t *testing.T) *school {
	s := &school{t: t, client: fake.NewClientset(), starts: map[int]int{}, ended: map[string]error{}}
	uids := 0
	s.client.PrependReactor("create", "jobs", func(a ktesting.Action) (bool, runtime.Object, error) {
		job := a.(ktesting.CreateAction).GetObject().(*batchv1.Job)
		uids++
		job.UID = types.UID(fmt.Sprintf("job-%d", uids))
		return false, nil, nil
	})
	return s
}

func (s *school) run() *Run {
	return &Run{Client: s.client, Attach: s.attach, Plan: Plan{Namespace: "marks", Name: "netdojo-grade-x", Image: "i"}, Log: slog.New(slog.DiscardHandler), Poll: 5 * time.Millisecond, Farewell: 100 * time.Millisecond}
}

// control is the Job controller: it starts pods and counts their ends until ctx ends.
func (s *school) control(ctx context.Context) {
	for ctx.Err() == nil {
		s.step(ctx)
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (s *school) step(ctx context.Context) {
	jobs, err := s.client.BatchV1().Jobs("marks").List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	if len(jobs.Items) == 0 {
		_ = s.client.CoreV1().Pods("marks").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		return
	}
	job := jobs.Items[0]
	list, err := s.client.CoreV1().Pods("marks").List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	active, succeeded, failures := map[int]bool{}, map[int]bool{}, map[int]int{}
	for _, pod := range list.Items {
		n, _ := index(&pod)
		switch pod.Status.Phase {
		case corev1.PodSucceeded:
			succeeded[n] = true
		case corev1.PodFailed:
			failures[n]++
		default:
			s.mu.Lock()
			end, ended := s.ended[pod.Name]
			s.mu.Unlock()
			if !ended {
				if pod.DeletionTimestamp == nil {
					active[n] = true
				}
				continue
			}
			pod.Status.Phase = corev1.PodSucceeded
			if end != nil {
				pod.Status.Phase = corev1.PodFailed
			}
			pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
			if _, err := s.client.CoreV1().Pods("marks").UpdateStatus(ctx, &pod, metav1.UpdateOptions{}); err != nil && ctx.Err() == nil {
				s.t.Error(err)
			}
			active[n] = true // counted the next time
		}
	}
	var failed []string
	for n := range int(*job.Spec.Completions) {
		switch {
		case succeeded[n] || active[n]:
		case failures[n] > int(*job.Spec.BackoffLimitPerIndex):
			failed = append(failed, strconv.Itoa(n))
		case len(active) < int(*job.Spec.Parallelism):
			active[n] = true
			s.start(ctx, &job, n)
		}
	}
	if len(succeeded)+len(failed) == int(*job.Spec.Completions) || len(failed) > 0 {
		job.Status.FailedIndexes = ptr.To(strings.Join(failed, ","))
		if len(succeeded)+len(failed) == int(*job.Spec.Completions) {
			job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}
		_, _ = s.client.BatchV1().Jobs("marks").UpdateStatus(ctx, &job, metav1.UpdateOptions{})
	}
}

func (s *school) start(ctx context.Context, job *batchv1.Job, n int) {
	s.mu.Lock()
	s.pods++
	name := fmt.Sprintf("pod-%d-%d", n, s.pods)
	s.starts[n]++
	s.mu.Unlock()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "marks", UID: types.UID(name), Labels: job.Spec.Template.Labels,
			Annotations:     map[string]string{batchv1.JobCompletionIndexAnnotation: strconv.Itoa(n)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec: job.Spec.Template.Spec,
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: container, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
	if _, err := s.client.CoreV1().Pods("marks").Create(ctx, pod, metav1.CreateOptions{}); err != nil && ctx.Err() == nil {
		s.t.Error(err)
	}
}

// attach runs the worker of a pod.
func (s *school) attach(ctx context.Context, _, pod string, in io.Reader, out io.Writer) error {
	var n, number int
	if _, err := fmt.Sscanf(pod, "pod-%d-%d", &n, &number); err != nil {
		return err
	}
	s.mu.Lock()
	before := s.starts[n] - 1
	s.mu.Unlock()
	if s.dead != nil && s.dead(n, before) {
		lost, err := s.client.CoreV1().Pods("marks").Get(ctx, pod, metav1.GetOptions{})
		if err == nil { // as the node controller does, when it notices
			lost.DeletionTimestamp = ptr.To(metav1.Now())
			_, err = s.client.CoreV1().Pods("marks").Update(ctx, lost, metav1.UpdateOptions{})
		}
		if err != nil {
			s.t.Error(err)
		}
		_, _ = in.Read(make([]byte, 1<<20))
		<-ctx.Done()
		return ctx.Err()
	}
	end := Work(ctx, in, out, func(ctx context.Context, w grade.Work) (grade.Outcome, error) {
		if s.cut != nil && s.cut(n, before) {
			return grade.Outcome{}, errors.New("killed")
		}
		return s.judge(ctx, n, before, w)
	})
	s.mu.Lock()
	s.ended[pod] = end
	s.mu.Unlock()
	return end
}

// grader keeps outcomes as the results would.
type grader struct {
	mu      sync.Mutex
	kept    map[int]grade.Outcome
	notices []string
	forged  map[string]bool // causes that are not believed
}

func (g *grader) batch(size, jobs int) grade.Batch {
	g.kept = map[int]grade.Outcome{}
	return grade.Batch{
		Size: size, Jobs: jobs, Version: "v1", TimeLimit: time.Minute,
		Work: func(_ context.Context, n int) (*grade.Work, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			if _, done := g.kept[n]; done {
				return nil, nil
			}
			return &grade.Work{Schema: grade.WorkSchema, Netdojo: "v1", Lab: map[string][]byte{"n": []byte(strconv.Itoa(n))}}, nil
		},
		Done: func(_ context.Context, n int, out grade.Outcome) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.forged[out.Cause] {
				return &grade.ForgedError{Message: "of the test"}
			}
			if _, done := g.kept[n]; !done {
				g.kept[n] = out
			}
			return nil
		},
		Notice: func(text string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.notices = append(g.notices, text)
		},
	}
}

func right(context.Context, int, int, grade.Work) (grade.Outcome, error) {
	return grade.Outcome{Schema: grade.WorkSchema, Netdojo: "v1", Status: result.Graded}, nil
}

// judge runs a batch to its end and gives what was kept.
func (s *school) judgeAll(g *grader, size, jobs int) error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	controlling := make(chan struct{})
	go func() {
		defer close(controlling)
		s.control(ctx)
	}()
	err := s.run().Judge(ctx, g.batch(size, jobs))
	cancel()
	<-controlling
	return err
}

// Each submission is judged, by its own pod, which gets its own work and nothing else.
func TestJudge(t *testing.T) {
	s, g := newSchool(t), &grader{}
	s.judge = func(_ context.Context, n, _ int, w grade.Work) (grade.Outcome, error) {
		if got := string(w.Lab["n"]); got != strconv.Itoa(n) {
			t.Errorf("the pod of %d has the work of %s", n, got)
		}
		return grade.Outcome{Schema: grade.WorkSchema, Netdojo: "v1", Status: result.Graded, Cause: strconv.Itoa(n)}, nil
	}
	if err := s.judgeAll(g, 7, 3); err != nil {
		t.Fatal(err)
	}
	for n := range 7 {
		if got := g.kept[n]; got.Status != result.Graded || got.Cause != strconv.Itoa(n) || s.starts[n] != 1 {
			t.Errorf("%d: kept %+v after %d pods", n, got, s.starts[n])
		}
	}
	jobs, err := s.client.BatchV1().Jobs("marks").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(jobs.Items) != 0 {
		t.Errorf("%d Jobs are left, %v", len(jobs.Items), err)
	}
	walls, err := s.client.NetworkingV1().NetworkPolicies("marks").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(walls.Items) != 0 {
		t.Errorf("%d policies are left, %v", len(walls.Items), err)
	}
}

// A pod that is killed half-way, one that could not judge, and one whose outcome is not
// believed are each followed by another, which gets the work anew.
func TestBegunAnew(t *testing.T) {
	s, g := newSchool(t), &grader{forged: map[string]bool{"evil": true}}
	s.cut = func(n, before int) bool { return n == 0 && before < 2 }
	s.judge = func(ctx context.Context, n, before int, w grade.Work) (grade.Outcome, error) {
		out, _ := right(ctx, n, before, w)
		switch {
		case n == 1 && before == 0:
			return grade.Failure("v1", "no room"), nil
		case n == 2 && before == 0:
			out.Cause = "evil"
		}
		return out, nil
	}
	if err := s.judgeAll(g, 4, 2); err != nil {
		t.Fatal(err)
	}
	for n, pods := range []int{3, 2, 2, 1} {
		if got := g.kept[n]; got.Status != result.Graded || got.Cause != "" || s.starts[n] != pods {
			t.Errorf("%d: kept %+v after %d pods, want %d", n, got, s.starts[n], pods)
		}
	}
	for _, want := range []string{"no room", "not believed"} {
		if !slices.ContainsFunc(g.notices, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("nobody is told of %q: %q", want, g.notices)
		}
	}
}

// A node that dies takes a pod along, of which nothing is heard any more. Its successor's
// outcome counts, and the run comes to its end while that pod is still ending.
func TestNodeDies(t *testing.T) {
	s, g := newSchool(t), &grader{}
	s.judge = right
	s.dead = func(n, before int) bool { return n < 2 && before == 0 }
	if err := s.judgeAll(g, 3, 3); err != nil {
		t.Fatal(err)
	}
	for n, pods := range []int{2, 2, 1} {
		if got := g.kept[n]; got.Status != result.Graded || s.starts[n] != pods {
			t.Errorf("%d: kept %+v after %d pods, want %d", n, got, s.starts[n], pods)
		}
	}
	// One that the Job counts as well done, and that was not, is not waited for either.
	s, g = newSchool(t), &grader{}
	s.judge = right
	s.dead = func(_, before int) bool { return before == 0 }
	r := s.run()
	r.Attach = func(ctx context.Context, ns, pod string, in io.Reader, out io.Writer) error {
		if !strings.HasSuffix(pod, "-1") {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended[pod] = nil
			return nil
		}
		return s.attach(ctx, ns, pod, in, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go s.control(ctx)
	if err := r.Judge(ctx, g.batch(1, 1)); err != nil {
		t.Fatal(err)
	}
	if got := g.kept[0]; got.Status != result.Failed || got.Cause == "" {
		t.Errorf("kept %+v", got)
	}
}

// What the Job controller gives up is kept as failed, with why, and the rest goes on.
func TestGivenUp(t *testing.T) {
	s, g := newSchool(t), &grader{}
	s.judge = func(ctx context.Context, n, before int, w grade.Work) (grade.Outcome, error) {
		if n == 1 {
			return grade.Failure("v1", "the kernel has no nftables"), nil
		}
		return right(ctx, n, before, w)
	}
	if err := s.judgeAll(g, 3, 1); err != nil {
		t.Fatal(err)
	}
	if got := g.kept[1]; got.Status != result.Failed || !strings.Contains(got.Cause, "the kernel has no nftables") || s.starts[1] != retries+1 {
		t.Errorf("kept %+v after %d pods", got, s.starts[1])
	}
	if g.kept[0].Status != result.Graded || g.kept[2].Status != result.Graded {
		t.Errorf("kept %+v", g.kept)
	}
}

// A pod that ends well without an outcome has not been judged, whatever the Job says.
func TestEndsWithoutAnOutcome(t *testing.T) {
	s, g := newSchool(t), &grader{}
	s.judge = right
	r := s.run()
	r.Attach = func(_ context.Context, _, pod string, in io.Reader, _ io.Writer) error {
		_, _ = in.Read(make([]byte, 1))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended[pod] = nil
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go s.control(ctx)
	if err := r.Judge(ctx, g.batch(1, 1)); err != nil {
		t.Fatal(err)
	}
	if got := g.kept[0]; got.Status != result.Failed || !strings.Contains(got.Cause, "without an outcome") {
		t.Errorf("kept %+v", got)
	}
}

// What cannot be kept ends the run, and so does the user.
func TestRunEnds(t *testing.T) {
	s, g := newSchool(t), &grader{}
	s.judge = right
	b := g.batch(2, 1)
	full := errors.New("the disk is full")
	b.Done = func(context.Context, int, grade.Outcome) error { return full }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go s.control(ctx)
	if err := s.run().Judge(ctx, b); !errors.Is(err, full) {
		t.Errorf("ends with %v", err)
	}
	begun := make(chan struct{})
	s.judge = func(ctx context.Context, _, _ int, _ grade.Work) (grade.Outcome, error) {
		close(begun)
		<-ctx.Done()
		return grade.Outcome{}, ctx.Err()
	}
	mine, interrupt := context.WithCancel(ctx)
	go func() {
		<-begun
		interrupt()
	}()
	if err := s.run().Judge(mine, g.batch(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("ends with %v", err)
	}
	if jobs, err := s.client.BatchV1().Jobs("marks").List(ctx, metav1.ListOptions{}); err != nil || len(jobs.Items) != 0 {
		t.Errorf("%d Jobs are left, %v", len(jobs.Items), err)
	}
}

func TestIn(t *testing.T) {
	for n, want := range map[int]bool{0: false, 1: true, 2: false, 3: true, 4: true, 5: true, 6: false, 9: true} {
		if got := in("1,3-5,9", n); got != want {
			t.Errorf("%d: %v", n, got)
		}
	}
	if in("", 0) {
		t.Error("an empty list has 0")
	}
}
