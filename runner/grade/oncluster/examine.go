package oncluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/netdojo/netdojo/cure"
)

// oldest is the first Kubernetes whose Jobs have a limit for each index.
var oldest = version.MustParseGeneric("1.33.0")

// examineTimeout bounds the examination, in which a node may have to pull the image.
const examineTimeout = 5 * time.Minute

// Finding is something that a worker's surroundings lack.
type Finding struct {
	What string `json:"what"`
	Cure string `json:"cure,omitempty"`
}

// Findings are what an examination tells, as the message by which its pod ends.
type Findings struct {
	Netdojo  string    `json:"netdojo"`
	Findings []Finding `json:"findings"`
}

// maxFindings is what the kubelet takes of such a message.
const maxFindings = 4096

// WriteFindings writes them for Examine. Those that do not fit are left out.
func WriteFindings(w io.Writer, f Findings) error {
	for {
		data, err := json.Marshal(f)
		if err != nil || len(data) <= maxFindings || len(f.Findings) == 0 {
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		}
		f.Findings = f.Findings[:len(f.Findings)-1]
	}
}

// Examine asks whether the cluster has what grading needs of it, before anything that was
// handed in is on it. Errors name what is missing, with the cure.
func (r *Run) Examine(ctx context.Context, netdojo string) error {
	for _, ask := range []func(context.Context) error{r.recent, r.permitted, r.admitted, r.usersOfItsOwn} {
		if err := ask(ctx); err != nil {
			return err
		}
	}
	return r.works(ctx, netdojo)
}

// recent asks for the API server's version.
func (r *Run) recent(context.Context) error {
	info, err := r.Client.Discovery().ServerVersion()
	if err != nil {
		return &cure.Problem{What: "connect to the cluster", Err: err, Fix: "see that kubectl version works with this context"}
	}
	v, err := version.ParseGeneric(info.GitVersion)
	if err == nil && v.LessThan(oldest) {
		return &cure.Problem{
			What: fmt.Sprintf("the cluster is Kubernetes %s, whose Jobs do not begin a single index anew", info.GitVersion),
			Fix:  fmt.Sprintf("grade on one of %s or later, or on this machine", oldest),
		}
	}
	return nil
}

// admitted asks whether the namespace takes a worker's pod, without making one.
func (r *Run) admitted(ctx context.Context) error {
	_, err := r.Client.CoreV1().Pods(r.Plan.Namespace).Create(ctx, r.Plan.examination(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	fix := "ask whoever runs the cluster to admit such pods in a namespace of their own, and give it with --namespace"
	if strings.Contains(err.Error(), "PodSecurity") {
		fix = fmt.Sprintf("workers make user namespaces: give them a namespace that may (kubectl label namespace %s pod-security.kubernetes.io/enforce=privileged), or another one with --namespace", r.Plan.Namespace)
	}
	return &cure.Problem{What: "the cluster takes no worker's pod", Err: err, Fix: fix}
}

// usersOfItsOwn asks whether a node's runtime can give a pod a range of ids of its own. Who may
// not list nodes is told by the pod.
func (r *Run) usersOfItsOwn(ctx context.Context) error {
	if r.Plan.Privileged {
		return nil
	}
	nodes, err := r.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the cluster's nodes: %w", err)
	}
	var lacking []string
	for _, n := range nodes.Items {
		for _, h := range n.Status.RuntimeHandlers {
			if h.Name == "" && h.Features != nil && h.Features.UserNamespaces != nil && *h.Features.UserNamespaces {
				return nil
			}
		}
		lacking = append(lacking, fmt.Sprintf("%s (%s, Linux %s)", n.Name, n.Status.NodeInfo.ContainerRuntimeVersion, n.Status.NodeInfo.KernelVersion))
	}
	return &cure.Problem{
		What: "no node can give a pod users of its own (hostUsers: false): " + strings.Join(lacking, ", "),
		Fix:  withoutUsers,
	}
}

const withoutUsers = "it takes Linux 6.3 and containerd 2.0 with runc 1.2, or CRI-O with crun; else --privileged-workers has pods be root of their nodes, " +
	"which keeps submissions from the nodes by netdojo alone: on a cluster that has nothing else"

// works has a pod bring up a cluster, as workers do.
func (r *Run) works(ctx context.Context, netdojo string) (err error) {
	pods := r.Client.CoreV1().Pods(r.Plan.Namespace)
	want := r.Plan.examination()
	if err := r.removePod(ctx, want.Name); err != nil {
		return err
	}
	if _, err := pods.Create(ctx, want, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("examine the cluster: %w", err)
	}
	defer func() {
		err = errors.Join(err, r.removePod(context.WithoutCancel(ctx), want.Name))
	}()
	why := "its pod did not start"
	var end *corev1.ContainerStateTerminated
	err = r.await(ctx, examineTimeout, func() (bool, error) {
		pod, err := pods.Get(ctx, want.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		switch now := waiting(pod); {
		case now != "":
			why = now
		case working(pod):
			why = "no cluster comes up in it"
		}
		for _, s := range pod.Status.ContainerStatuses {
			end = s.State.Terminated
		}
		if hopeless(pod) {
			return false, errors.New(why)
		}
		if pod.Status.Phase == corev1.PodFailed && end == nil {
			return false, errors.New(pod.Status.Reason + ": " + pod.Status.Message)
		}
		return end != nil, nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("it does not end within %s: %s", examineTimeout, why)
		}
		return &cure.Problem{What: "a worker does not run on the cluster", Err: err, Fix: r.startCure(err.Error())}
	}
	return r.conclude(end, netdojo)
}

// hopeless says whether a pod's image or settings keep it from starting for good.
func hopeless(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			switch w.Reason {
			case "ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
				return true
			}
		}
	}
	return false
}

func (r *Run) startCure(why string) string {
	switch {
	case strings.Contains(why, "Image"):
		return "have the nodes reach the image: netdojo grade worker-image FILE writes it, push it to a registry of theirs and name it with --worker-image"
	case !r.Plan.Privileged:
		return withoutUsers
	}
	return "see kubectl describe for pods of namespace " + r.Plan.Namespace
}

// conclude makes an error of what the examination's pod has told at its end.
func (r *Run) conclude(end *corev1.ContainerStateTerminated, netdojo string) error {
	var f Findings
	dec := json.NewDecoder(strings.NewReader(end.Message))
	if err := dec.Decode(&f); err != nil {
		return &cure.Problem{
			What: fmt.Sprintf("a worker on the cluster ended with exit code %d and told nothing (%s)", end.ExitCode, end.Reason),
			Fix:  "see that --worker-image is one that this netdojo's grade worker-image has made",
		}
	}
	if f.Netdojo != netdojo {
		return &cure.Problem{
			What: fmt.Sprintf("the workers' image has netdojo %s, and this is netdojo %s", f.Netdojo, netdojo),
			Fix:  "make it with this netdojo: netdojo grade worker-image FILE",
		}
	}
	if len(f.Findings) == 0 {
		return nil
	}
	var what []string
	for _, one := range f.Findings {
		what = append(what, one.What)
	}
	fix := f.Findings[0].Cure
	if !r.Plan.Privileged {
		fix = strings.TrimPrefix(fix+"; ", "; ") + withoutUsers
	}
	return &cure.Problem{What: "a worker cannot work on the cluster: " + strings.Join(what, "; "), Fix: fix}
}

func (r *Run) removePod(ctx context.Context, name string) error {
	pods := r.Client.CoreV1().Pods(r.Plan.Namespace)
	if err := ignoreMissing(pods.Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return fmt.Errorf("remove the pod %s: %w", name, err)
	}
	err := r.await(ctx, goneTimeout, func() (bool, error) {
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), ignoreMissing(err)
	})
	if err != nil {
		return fmt.Errorf("wait until the pod %s is gone: %w", name, err)
	}
	return nil
}
