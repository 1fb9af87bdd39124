// Package oncluster judges a class as an Indexed Job of a Kubernetes cluster: a
// submission a pod, which gets it from the grader by its standard input, and answers on
// its standard output. The Job controller starts pods, and starts them anew where they
// or their nodes fail. It knows no provider, and prints nothing.
package oncluster

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Labels of what a run makes.
const (
	appLabel  = "app.kubernetes.io/name"
	appName   = "netdojo-grade"
	runLabel  = "app.kubernetes.io/instance"
	container = "worker"
	stateDir  = "/var/lib/netdojo"
)

// The worker's command line, and the one by which it examines its surroundings.
var (
	workArgs    = []string{"grade", "worker"}
	examineArgs = []string{"grade", "worker", "--examine"}
)

const (
	// retries is how often the Job controller begins a submission anew whose pod failed.
	retries = 4
	// unreachable is how long a pod stays on a node that is not heard of any more. The
	// node controller takes some 40 seconds to notice that.
	unreachable = 10
	// margin is what a pod needs beside judging: its image, its clusters' starts and ends.
	margin = 10 * time.Minute
	// leftover is how long a Job stays whose grader was killed.
	leftover = 10 * time.Minute
)

// Plan is what is run, and where.
type Plan struct {
	Namespace string
	Name      string // of the Job and of all that goes with it
	Image     string // of the workers
	// Privileged has pods be root of their nodes, for clusters that cannot give a pod users
	// of its own. What was handed in is kept from the node by netdojo alone then.
	Privileged bool
	TimeLimit  time.Duration
	Size, Jobs int
}

func (p Plan) labels() map[string]string {
	return map[string]string{appLabel: appName, runLabel: p.Name}
}

// job is the Indexed Job of a class. It has no podFailurePolicy: with one, a pod would be
// replaced only once it has ended, which on a node that died it never does.
func (p Plan) job() *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.labels()},
		Spec: batchv1.JobSpec{
			CompletionMode:          ptr.To(batchv1.IndexedCompletion),
			Completions:             ptr.To(int32(p.Size)),
			Parallelism:             ptr.To(int32(min(p.Jobs, p.Size))),
			BackoffLimitPerIndex:    ptr.To(int32(retries)),
			PodReplacementPolicy:    ptr.To(batchv1.TerminatingOrFailed),
			TTLSecondsAfterFinished: ptr.To(int32(leftover.Seconds())),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: p.labels()},
				Spec:       p.pod(workArgs),
			},
		},
	}
}

// examination is a pod that tells whether a worker could work where it runs.
func (p Plan) examination() *corev1.Pod {
	spec := p.pod(examineArgs)
	spec.Containers[0].Stdin, spec.Containers[0].StdinOnce = false, false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name + "-examine", Namespace: p.Namespace, Labels: p.labels()},
		Spec:       spec,
	}
}

func (p Plan) pod(args []string) corev1.PodSpec {
	tolerate := func(key string) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To(int64(unreachable))}
	}
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever,
		// What was handed in may take the pod: it has nothing that the API would let it in by.
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
		HostUsers:                     p.hostUsers(),
		TerminationGracePeriodSeconds: ptr.To(int64(2)),
		ActiveDeadlineSeconds:         ptr.To(int64((2*p.TimeLimit + margin).Seconds())),
		Tolerations:                   []corev1.Toleration{tolerate(corev1.TaintNodeUnreachable), tolerate(corev1.TaintNodeNotReady)},
		Volumes: []corev1.Volume{{
			Name: "state", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse("4Gi"))}},
		}},
		Containers: []corev1.Container{{
			Name: container, Image: p.Image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
			Stdin: true, StdinOnce: true,
			VolumeMounts: []corev1.VolumeMount{{Name: "state", MountPath: stateDir}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("768Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
			},
			SecurityContext: p.security(),
		}},
	}
}

func (p Plan) hostUsers() *bool {
	if p.Privileged {
		return nil
	}
	return ptr.To(false)
}

// security is what making user namespaces in a pod takes. With users of its own the pod
// has no capability on its node, whatever it asks for.
func (p Plan) security() *corev1.SecurityContext {
	if p.Privileged {
		return &corev1.SecurityContext{Privileged: ptr.To(true)}
	}
	return &corev1.SecurityContext{
		ProcMount:       ptr.To(corev1.UnmaskedProcMount), // a /proc of which parts are hidden cannot be mounted anew
		SeccompProfile:  &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
		AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined},
	}
}

// wall keeps the pods from the cluster's network, where it enforces policies: they need none.
func (p Plan) wall() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, Labels: p.labels()},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: p.labels()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		},
	}
}

func (p Plan) String() string { return fmt.Sprintf("%s/%s", p.Namespace, p.Name) }
