package oncluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/netdojo/netdojo/cure"
)

// able is a school that has all that workers need, where an examination ends with what is
// given.
func able(t *testing.T, end corev1.PodStatus) *school {
	s := newSchool(t)
	s.client.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: "v1.36.3"}
	s.client.PrependReactor("create", "selfsubjectaccessreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
		review := a.(ktesting.CreateAction).GetObject().(*authv1.SelfSubjectAccessReview)
		review.Status.Allowed = true
		return true, review, nil
	})
	s.client.PrependReactor("create", "pods", func(a ktesting.Action) (bool, runtime.Object, error) {
		create := a.(ktesting.CreateActionImpl)
		pod := create.GetObject().(*corev1.Pod)
		if len(create.CreateOptions.DryRun) > 0 {
			return true, pod, nil
		}
		pod.Status = end
		return false, nil, nil
	})
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	node.Status.RuntimeHandlers = []corev1.NodeRuntimeHandler{{Features: &corev1.NodeRuntimeHandlerFeatures{UserNamespaces: ptr.To(true)}}}
	if _, err := s.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func ends(message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodSucceeded, ContainerStatuses: []corev1.ContainerStatus{{
		Name: container, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}},
	}}}
}

func waits(reason string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: container, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no"}},
	}}}
}

const fine = `{"netdojo": "v1", "findings": []}`

// What a cluster lacks is named, with a cure, and nothing is left of the examination.
func TestExamine(t *testing.T) {
	refuse := func(verb, resource, subresource string) func(*school) {
		return func(s *school) {
			s.client.PrependReactor("create", "selfsubjectaccessreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
				review := a.(ktesting.CreateAction).GetObject().(*authv1.SelfSubjectAccessReview)
				of := review.Spec.ResourceAttributes
				review.Status.Allowed = of.Verb != verb || of.Resource != resource || of.Subresource != subresource
				return true, review, nil
			})
		}
	}
	for name, tc := range map[string]struct {
		end        corev1.PodStatus
		but        func(*school)
		privileged bool
		want, cure string
	}{
		"all is there": {end: ends(fine)},
		"an old one": {end: ends(fine), but: func(s *school) {
			s.client.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: "v1.31.2"}
		}, want: "Kubernetes v1.31.2", cure: "1.33"},
		"no attaching": {end: ends(fine), but: refuse("create", "pods", "attach"), want: "you may not create pods/attach -n marks", cure: "Role of docs/grading.md"},
		"no Jobs":      {end: ends(fine), but: refuse("create", "jobs", ""), want: "create jobs.batch", cure: "Role"},
		"a strict namespace": {end: ends(fine), but: func(s *school) {
			s.client.PrependReactor("create", "pods", func(a ktesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New(`violates PodSecurity "baseline:latest": procMount`))
			})
		}, want: "procMount", cure: "kubectl label namespace marks"},
		"a runtime without user namespaces": {end: ends(fine), but: func(s *school) {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{ContainerRuntimeVersion: "containerd://1.7"}}}
			if _, err := s.client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}, want: "n (containerd://1.7", cure: "--privileged-workers"},
		"the same, privileged": {end: ends(fine), privileged: true, but: func(s *school) {
			if err := s.client.CoreV1().Nodes().Delete(t.Context(), "n", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
		"nodes may not be listed": {end: ends(fine), but: func(s *school) {
			s.client.PrependReactor("list", "nodes", func(ktesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", nil)
			})
		}},
		"no image":        {end: waits("ErrImageNeverPull"), want: "ErrImageNeverPull", cure: "worker-image"},
		"no start":        {end: waits("CreateContainerError"), want: "CreateContainerError", cure: "containerd 2.0"},
		"evicted":         {end: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted"}, want: "Evicted"},
		"a hidden /proc":  {end: ends(`{"netdojo": "v1", "findings": [{"what": "mount /proc", "cure": "unmask it"}]}`), want: "mount /proc", cure: "unmask it; it takes Linux"},
		"another netdojo": {end: ends(`{"netdojo": "v0", "findings": []}`), want: "netdojo v0", cure: "worker-image"},
		"something else":  {end: ends("hello"), want: "told nothing", cure: "--worker-image"},
		"one left from then": {end: ends(fine), but: func(s *school) {
			if _, err := s.client.CoreV1().Pods("marks").Create(t.Context(), plan.examination(), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := able(t, tc.end)
			if tc.but != nil {
				tc.but(s)
			}
			r := s.run()
			r.Plan = plan
			r.Plan.Privileged = tc.privileged
			err := r.Examine(t.Context(), "v1")
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || !strings.Contains(strings.Join(cure.All(err), " "), tc.cure)) {
				t.Errorf("%v, cure %q; want %q and %q", err, cure.All(err), tc.want, tc.cure)
			}
			if pods, err := s.client.CoreV1().Pods("marks").List(context.Background(), metav1.ListOptions{}); err != nil || len(pods.Items) != 0 {
				t.Errorf("%d pods are left, %v", len(pods.Items), err)
			}
		})
	}
}

// What a pod may say at its end is bounded by the kubelet.
func TestWriteFindings(t *testing.T) {
	f := Findings{Netdojo: "v1"}
	for range 100 {
		f.Findings = append(f.Findings, Finding{What: strings.Repeat("w", 99)})
	}
	var out bytes.Buffer
	if err := WriteFindings(&out, f); err != nil || out.Len() > maxFindings {
		t.Fatalf("%d bytes, %v", out.Len(), err)
	}
	var back Findings
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.Findings) < 30 {
		t.Errorf("%d findings, %v", len(back.Findings), err)
	}
}
