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

// notice is an event on a pod.
type notice struct {
	pod             corev1.ObjectReference
	reason, message string
}

// events returns what tells an event to the API; it does not block.
func (n *node) events(config *rest.Config) (tell func(notice), err error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for events: %w", err)
	}
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	n.onStop("events", func(context.Context) error { broadcaster.Shutdown(); return nil })
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "netdojo", Host: nodeName})
	return func(e notice) { recorder.Event(&e.pod, corev1.EventTypeNormal, e.reason, e.message) }, nil
}

// announce says on the pod that its image is not the real one.
func announce(use cri.StandInUse) notice {
	return notice{
		pod: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: use.Namespace, Name: use.Pod, UID: types.UID(use.UID),
			FieldPath: "spec.containers{" + use.Container + "}",
		},
		reason: "StandIn",
		message: fmt.Sprintf("%s is not in the image store: netdojo's stand-in %s runs instead (%s). Load the real image with `netdojo image load FILE`",
			use.Image, use.StandIn.Name, use.StandIn.Summary),
	}
}
