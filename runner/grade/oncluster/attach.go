package oncluster

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
)

// Attacher speaks with the program of a pod: in is its standard input, out its standard
// output. It returns when the program has ended, or the connection.
type Attacher func(ctx context.Context, namespace, pod string, in io.Reader, out io.Writer) error

// AttachBy attaches by the API server, over WebSocket where it speaks it and SPDY else.
func AttachBy(config *rest.Config, client kubernetes.Interface) Attacher {
	return func(ctx context.Context, namespace, pod string, in io.Reader, out io.Writer) error {
		target := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("attach").
			VersionedParams(&corev1.PodAttachOptions{Container: container, Stdin: true, Stdout: true}, scheme.ParameterCodec).URL()
		spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
		if err != nil {
			return fmt.Errorf("attach to %s: %w", pod, err)
		}
		websocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, target.String())
		if err != nil {
			return fmt.Errorf("attach to %s: %w", pod, err)
		}
		executor, err := remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", pod, err)
		}
		// client-go logs the read errors of a stream that was ended on purpose.
		quiet := klog.NewContext(ctx, logr.Discard())
		if err := executor.StreamWithContext(quiet, remotecommand.StreamOptions{Stdin: in, Stdout: out}); err != nil {
			return fmt.Errorf("attach to %s: %w", pod, err)
		}
		return nil
	}
}
