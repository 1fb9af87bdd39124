package kubelet

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	events "k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/config"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
)

// The kubelet asks for its pods only when it knows its node, by whose labels and
// capacity it admits them, and looks whether it does once a second. On a fast
// start the first look comes a moment too early. The source here is the
// kubelet's own, but for being told.

// nodeKnown is closed when the kubelet has read its node from the API.
type nodeKnown chan struct{}

// watch looks often until the kubelet knows its node or ctx ends. A new node has
// no capacity before the kubelet has reported it. Pods that are bound to it from
// the first moment would be turned away, where a scheduler would have waited.
func (k nodeKnown) watch(ctx context.Context, kl *kubelet.Kubelet) {
	const often = 5 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		if node, err := kl.GetNode(ctx); err == nil && !node.Status.Allocatable.Pods().IsZero() {
			close(k)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// podSource gives the kubelet the API's pods for its node as soon as known is
// closed. It sets the recorder of deps, which reports pods that are invalid.
func podSource(ctx context.Context, deps *kubelet.Dependencies, nodeName string, known nodeKnown) *config.PodConfig {
	broadcaster := events.NewBroadcaster(events.WithContext(ctx))
	deps.Recorder = broadcaster.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "kubelet", Host: nodeName})
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: deps.EventClient.Events("")})

	pods := config.NewPodConfig(deps.Recorder, deps.PodStartupLatencyTracker)
	nodeHasSynced := func() bool {
		select {
		case <-known:
			return true
		case <-ctx.Done():
			return false
		}
	}
	config.NewSourceApiserver(klog.FromContext(ctx), deps.KubeClient, types.NodeName(nodeName), nodeHasSynced,
		pods.Channel(ctx, kubetypes.ApiserverSource))
	return pods
}
