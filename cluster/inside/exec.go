package inside

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
)

// exec runs a command in a container of a pod of kube-system, and gives what it
// printed. The error has what it complained of.
func (c *Cluster) exec(ctx context.Context, pod, container string, command ...string) ([]byte, error) {
	var out bytes.Buffer
	err := c.stream(ctx, &out, pod, container, command...)
	return out.Bytes(), err
}

// stream is exec with the output as it comes.
func (c *Cluster) stream(ctx context.Context, out io.Writer, pod, container string, command ...string) error {
	target := c.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(metav1.NamespaceSystem).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	fail := func(err error) error { return fmt.Errorf("run %s in %s: %w", command[0], pod, err) }
	spdy, err := remotecommand.NewSPDYExecutor(c.REST, http.MethodPost, target)
	if err != nil {
		return fail(err)
	}
	websocket, err := remotecommand.NewWebSocketExecutor(c.REST, http.MethodGet, target.String())
	if err != nil {
		return fail(err)
	}
	executor, err := remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return fail(err)
	}
	var said bytes.Buffer
	// client-go logs the read errors of a stream that was ended on purpose.
	quiet := klog.NewContext(ctx, logr.Discard())
	if err := executor.StreamWithContext(quiet, remotecommand.StreamOptions{Stdout: out, Stderr: &said}); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if line := lastLine(said.String()); line != "" {
			err = fmt.Errorf("%w: %s", err, line)
		}
		return fail(err)
	}
	return nil
}
