// Package kube lets checks work on a Kubernetes cluster: commands in pods by the
// API's exec, and what the API knows of a probe's pod and destination.
package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/netdojo/netdojo/checks"
)

// Execer runs commands by the exec subresource, over WebSocket where the server
// speaks it and SPDY else. It is safe for concurrent use.
type Execer struct {
	config *rest.Config
	client rest.Interface
}

// NewExecer returns an Execer for the cluster that config names.
func NewExecer(config *rest.Config) (*Execer, error) {
	config = coreConfig(config)
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return &Execer{config: config, client: client}, nil
}

func coreConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return config
}

// Exec implements checks.Execer.
func (e *Execer) Exec(ctx context.Context, req checks.ExecRequest) (checks.ExecResult, error) {
	target := e.client.Get().Resource("pods").Namespace(req.Namespace).Name(req.Pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: req.Container, Command: req.Command,
			Stdin: req.Stdin != nil, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec).URL()
	executor, err := e.executor(target)
	if err != nil {
		return checks.ExecResult{}, fmt.Errorf("exec in %s/%s: %w", req.Namespace, req.Pod, err)
	}
	var stdout, stderr bytes.Buffer
	out, errs := &gate{to: &stdout}, &gate{to: &stderr}
	if req.Stderr != nil {
		errs.to = io.MultiWriter(&stderr, req.Stderr)
	}
	// client-go logs the read errors of a stream that was cancelled on purpose.
	quiet := klog.NewContext(ctx, logr.Discard())
	err = executor.StreamWithContext(quiet, remotecommand.StreamOptions{Stdin: req.Stdin, Stdout: out, Stderr: errs})
	out.close()
	errs.close()
	res := checks.ExecResult{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	return classify(ctx, res, err)
}

func (e *Execer) executor(target *url.URL) (remotecommand.Executor, error) {
	spdy, err := remotecommand.NewSPDYExecutor(e.config, http.MethodPost, target)
	if err != nil {
		return nil, err
	}
	ws, err := remotecommand.NewWebSocketExecutor(e.config, http.MethodGet, target.String())
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(ws, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}

// classify makes one of checks' errors of what the stream ended with.
func classify(ctx context.Context, res checks.ExecResult, err error) (checks.ExecResult, error) {
	if err == nil {
		return res, nil
	}
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	var code exec.CodeExitError
	if errors.As(err, &code) {
		res.ExitCode = code.Code
		return res, nil
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsNotFound(err) {
		return res, fmt.Errorf("%w: %w", checks.ErrNoContainer, err)
	}
	// The kubelet reports these only in the text of an internal error: the
	// runtime's own words for a missing program, and its own for a missing container.
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		return res, fmt.Errorf("%w: %w", checks.ErrNoCommand, err)
	case strings.Contains(text, "container not found"), strings.Contains(text, "not found in pod"),
		strings.Contains(text, "is not valid for pod"), strings.HasPrefix(text, "pods ") && strings.Contains(text, "not found"):
		return res, fmt.Errorf("%w: %w", checks.ErrNoContainer, err)
	}
	return res, fmt.Errorf("%w: %w", checks.ErrStreamLost, err)
}

// gate stops a writer: a stream whose context ended may still be copying when
// StreamWithContext has returned.
type gate struct {
	mu     sync.Mutex // guards to and closed
	to     io.Writer
	closed bool
}

func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return 0, io.ErrClosedPipe
	}
	return g.to.Write(b)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
