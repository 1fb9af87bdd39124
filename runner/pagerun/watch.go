package pagerun

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netdojo/netdojo/checks"
	"github.com/netdojo/netdojo/manifests"
)

// Bounds of what is asked while a command waits to begin, and of a drop that is seen.
const (
	askTimeout = 5 * time.Second
	// dropTime is how long a connection may still get through after its first drop, by
	// another address or a later try.
	dropTime = 1500 * time.Millisecond
)

// began notes who dials before the dialling begins, and ends what is dropped and would
// go on knocking.
func (r *reader) began(ctx context.Context) func(*execution) {
	return func(e *execution) {
		e.mark = r.flows.Mark()
		actx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		words := e.Words
		if e.Attached {
			// The pod began before somebody looked.
			e.mark, e.Begun = r.begin()
			words = r.program(e)
		}
		d, ok := dialOf(e, words)
		if !ok {
			return
		}
		dest, err := d.check.Destination()
		if err != nil {
			return
		}
		if e.Attached {
			e.told = make(chan struct{})
			go r.awaitProgram(ctx, e)
		}
		e.subject, e.subjectErr = r.inspector.Pod(actx, e.Namespace, e.Pod, e.Container, dest)
		if r.flows != nil && !d.Limited && !r.t.Wait && e.subjectErr == nil && e.subject.State == checks.PodReady {
			d.subject = e.subject
			go r.awaitDrop(ctx, d)
		}
	}
}

// program is what a pod runs by itself; nil when it cannot be told.
func (r *reader) program(e *execution) []string {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	u, err := r.objects.Get(ctx, manifests.Ref{GVK: podGVK, Namespace: e.Namespace, Name: e.Pod})
	if err != nil {
		return e.Words
	}
	var pod corev1.Pod
	if runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod) != nil {
		return e.Words
	}
	for _, c := range pod.Spec.Containers {
		if e.Container == "" || c.Name == e.Container {
			e.Words = append(append([]string{}, c.Command...), c.Args...)
			break
		}
	}
	return e.Words
}

// programPause is how often a pod is asked whether its program has ended: kubectl run
// --rm removes it right after that.
const programPause = 20 * time.Millisecond

// awaitProgram gives an execution that is attached to a pod's own program the exit code
// of that: the attachment itself ends well whatever the program does.
func (r *reader) awaitProgram(ctx context.Context, e *execution) {
	defer close(e.told)
	ctx, cancel := context.WithTimeout(ctx, r.t.CommandTimeout+lingerTime)
	defer cancel()
	tick := time.NewTicker(programPause)
	defer tick.Stop()
	for {
		u, err := r.objects.Get(ctx, manifests.Ref{GVK: podGVK, Namespace: e.Namespace, Name: e.Pod})
		if apierrors.IsNotFound(err) {
			return
		}
		var pod corev1.Pod
		if err == nil && runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod) == nil {
			if code := programCode(pod, e.Container); code != nil {
				e.mu.Lock()
				e.code = code
				e.mu.Unlock()
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// programCode is the exit code of a container's program, where it has ended; it may have
// been begun anew since.
func programCode(pod corev1.Pod, container string) *int {
	for _, c := range pod.Status.ContainerStatuses {
		if container != "" && c.Name != container {
			continue
		}
		for _, state := range []corev1.ContainerState{c.LastTerminationState, c.State} {
			if t := state.Terminated; t != nil {
				code := int(t.ExitCode)
				return &code
			}
		}
	}
	return nil
}

// awaitDrop ends a command in a pod whose connection a policy drops, when it has no
// timeout of its own.
func (r *reader) awaitDrop(ctx context.Context, d *dial) {
	var since time.Time
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for d.running() {
		flows, _, lost := r.flows.Since(d.mark)
		if lost != nil {
			return
		}
		v := checks.Judge(checks.Input{
			Check: d.check, Outcome: checks.Outcome{Started: d.Begun, Cancelled: true}, Subject: d.subject,
			Flows: flows, FlowState: checks.FlowsLive,
		})
		switch {
		case v.Evidence.Drop == nil || v.Cause == checks.CauseOtherDrop:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= dropTime:
			d.endedEarly()
			r.kill(ctx, d)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-d.done:
			return
		case <-tick.C:
		}
	}
}

// killScript sends SIGINT to the processes with the command line that is its argument.
const killScript = `for p in /proc/[0-9]*; do
  if [ "$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)" = "$1" ]; then kill -INT "${p#/proc/}" 2>/dev/null; fi
done`

// kill ends the program in its container, and where that does not help its connection.
func (r *reader) kill(ctx context.Context, d *dial) {
	kctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, _ = r.execer.Exec(kctx, checks.ExecRequest{ // an image without a shell is what the rest is for
		Namespace: d.Namespace, Pod: d.Pod, Container: d.Container,
		Command: []string{"sh", "-c", killScript, "sh", strings.Join(d.Connection.Words, " ") + " "},
	})
	select {
	case <-d.done:
	case <-time.After(interruptTime):
		d.disconnect()
	}
}
