package manifests

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// PodGVK is the kind Pod.
var PodGVK = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

// Diagnosis says what keeps the pods behind an object from being ready.
type Diagnosis struct {
	Pod      string
	Reason   string
	Advice   string
	Hopeless bool // waiting longer cannot help
}

// Diagnose looks at the pods that a workload selects and tells about the first
// one that is not ready. False means that nothing is known: the object has no
// pods by its nature, or the API did not answer.
func (c *Client) Diagnose(ctx context.Context, ref Ref) (Diagnosis, bool) {
	var pods []unstructured.Unstructured
	if ref.GVK.GroupKind() == PodGVK.GroupKind() {
		pod, err := c.Get(ctx, ref)
		if err != nil {
			return Diagnosis{}, false
		}
		pods = []unstructured.Unstructured{*pod}
	} else {
		owner, err := c.Get(ctx, ref)
		if err != nil {
			return Diagnosis{}, false
		}
		raw, found, _ := unstructured.NestedMap(owner.Object, "spec", "selector")
		if !found || ref.GVK.Group != "apps" && ref.GVK.Group != "batch" {
			return Diagnosis{}, false
		}
		selector, err := selectorOf(raw)
		if err != nil {
			return Diagnosis{}, false
		}
		pods, err = c.List(ctx, PodGVK, ref.Namespace, selector)
		if err != nil {
			return Diagnosis{}, false
		}
		if len(pods) == 0 {
			return Diagnosis{Reason: "no pod yet" + c.warning(ctx, owner)}, true
		}
	}
	for i := range pods {
		if d, ok := diagnosePod(&pods[i]); ok {
			if d.Reason == "" {
				d.Reason = "pod " + pods[i].GetName() + " is not ready yet" + c.warning(ctx, &pods[i])
			}
			return d, true
		}
	}
	return Diagnosis{}, false
}

func selectorOf(raw map[string]any) (string, error) {
	var s metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &s); err != nil {
		return "", err
	}
	selector, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return "", err
	}
	return selector.String(), nil
}

// diagnosePod reads a pod's status. False means that it is ready or going.
func diagnosePod(pod *unstructured.Unstructured) (Diagnosis, bool) {
	if !pod.GetDeletionTimestamp().IsZero() {
		return Diagnosis{}, false
	}
	if ok, _ := Ready(pod); ok {
		return Diagnosis{}, false
	}
	d := Diagnosis{Pod: pod.GetName()}
	for _, list := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", list)
		for _, s := range statuses {
			m, ok := s.(map[string]any)
			if !ok {
				continue
			}
			reason, _, _ := unstructured.NestedString(m, "state", "waiting", "reason")
			message, _, _ := unstructured.NestedString(m, "state", "waiting", "message")
			if reason == "" || reason == "PodInitializing" || reason == "ContainerCreating" {
				continue
			}
			image, _ := m["image"].(string)
			d.Advice, d.Hopeless = podAdvice(reason, image, pod)
			// A runtime of ours says in its message how to mend it.
			message, cure, ok := strings.Cut(message, " Cure: ")
			if ok {
				d.Advice = cure
			}
			d.Reason = fmt.Sprintf("pod %s: %s", d.Pod, strings.TrimSpace(reason+": "+message))
			return d, true
		}
	}
	if ok, text := condition(pod, "PodScheduled"); !ok && !strings.Contains(text, "not set yet") {
		d.Reason = fmt.Sprintf("pod %s is not scheduled: %s", d.Pod, text)
		d.Advice = "look at the node: netdojo kubectl describe node"
	}
	return d, true
}

func podAdvice(reason, image string, pod *unstructured.Unstructured) (advice string, hopeless bool) {
	describe := fmt.Sprintf("netdojo kubectl -n %s describe pod %s", pod.GetNamespace(), pod.GetName())
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull":
		// The kubelet would try again, but no lab waits for a registry to come back.
		return fmt.Sprintf("load the image: docker save %s -o image.tar && netdojo image load image.tar", image), true
	case "InvalidImageName":
		return "correct the image's name in the manifest", true
	case "CreateContainerConfigError", "CreateContainerError":
		return "see why: " + describe, true
	case "CrashLoopBackOff":
		return fmt.Sprintf("see its last words: netdojo kubectl -n %s logs --previous %s", pod.GetNamespace(), pod.GetName()), true
	}
	return "see why: " + describe, false
}

// warning is the last Warning event about an object, ready to be appended.
func (c *Client) warning(ctx context.Context, u *unstructured.Unstructured) string {
	events, err := c.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "events"}).
		Namespace(u.GetNamespace()).
		List(ctx, metav1.ListOptions{FieldSelector: "type=Warning,involvedObject.uid=" + string(u.GetUID())})
	if err != nil {
		return ""
	}
	latest, text := "", ""
	for _, e := range events.Items {
		at, _, _ := unstructured.NestedString(e.Object, "lastTimestamp")
		if at < latest {
			continue
		}
		reason, _, _ := unstructured.NestedString(e.Object, "reason")
		message, _, _ := unstructured.NestedString(e.Object, "message")
		latest, text = at, fmt.Sprintf(" (%s: %s)", reason, message)
	}
	return text
}
