//go:build linux

package cri

import (
	"context"
	"io"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// Attach prepares a URL under which a container's own streams are.
func (s *service) Attach(_ context.Context, req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	c, err := s.containerByID(req.ContainerId)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.running(c); err != nil {
		return nil, err
	}
	return s.streams.GetAttach(req)
}

// Attach implements streaming.Runtime: it returns when the container has ended
// or the client has gone.
func (r streamRuntime) Attach(ctx context.Context, id string, in io.Reader, out, errw io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	c, err := r.s.containerByID(id)
	if err != nil {
		return err
	}
	p, cio, err := r.s.running(c)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	defer close(stop)
	if p.terminal != nil && resize != nil {
		go followSize(p.terminal, resize, stop)
	}
	if out != nil {
		cio.out.attach(out)
		defer cio.out.detach(out)
	}
	if errw != nil && !cio.tty {
		cio.err.attach(errw)
		defer cio.err.detach(errw)
	}
	inputEnded := make(chan struct{})
	if in != nil && cio.hasStdin() {
		// Like an execution's, its end comes with the client's connection.
		go func() {
			defer close(inputEnded)
			_, _ = io.Copy(cio.stdin, in) // ends with the client or the container
			if c.config.StdinOnce {
				cio.closeStdin()
			}
		}()
	}
	nothingElse := inputEnded
	if out != nil || errw != nil {
		nothingElse = nil // there are outputs to carry after it
	}
	select {
	case <-c.done:
	case <-ctx.Done():
	case <-nothingElse:
	}
	return nil
}
