package watch

import corev1 "k8s.io/api/core/v1"

// Pods lists the pods that the API server knows, with what slimPod keeps of them.
// They are not to be changed.
func (w *Watcher) Pods() []*corev1.Pod {
	var out []*corev1.Pod
	for _, o := range w.pods.List() {
		out = append(out, o.(*corev1.Pod))
	}
	return out
}
