//go:build linux

package daemon

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"github.com/netdojo/netdojo/cluster/embedded/cri"
)

// events returns what tells an event to the API; it does not block.
func (n *node) events(config *rest.Config) (record.EventRecorder, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for events: %w", err)
	}
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	n.onStop("events", func(context.Context) error { broadcaster.Shutdown(); return nil })
	return broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "netdojo", Host: n.Name}), nil
}

// warn says on the pod what it should know of its limits.
func warn(events record.EventRecorder, m cri.Notice) {
	pod := &corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: m.Namespace, Name: m.Pod, UID: types.UID(m.UID),
		FieldPath: "spec.containers{" + m.Container + "}",
	}
	events.Event(pod, corev1.EventTypeWarning, m.Reason, m.Message)
}

// announce says on the pod that its image is not the real one.
func announce(events record.EventRecorder, use cri.StandInUse) {
	pod := &corev1.ObjectReference{
		APIVersion: "v1", Kind: "Pod", Namespace: use.Namespace, Name: use.Pod, UID: types.UID(use.UID),
		FieldPath: "spec.containers{" + use.Container + "}",
	}
	events.Eventf(pod, corev1.EventTypeNormal, "StandIn",
		"%s is not in the image store: netdojo's stand-in %s runs instead (%s). Load the real image with `netdojo image load FILE`",
		use.Image, use.StandIn.Name, use.StandIn.Summary)
}
