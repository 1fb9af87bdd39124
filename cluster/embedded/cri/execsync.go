//go:build linux

package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// execSyncLimit is how much of each stream ExecSync keeps, as the CRI says.
const execSyncLimit = 16 << 20 / 2

// ExecSync runs a command to its end. A timeout is DeadlineExceeded.
func (s *service) ExecSync(ctx context.Context, req *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	c, err := s.containerByID(req.ContainerId)
	if err != nil {
		return nil, err
	}
	if req.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.Timeout)*time.Second)
		defer cancel()
	}
	var out, errw limited
	code, err := s.exec(ctx, c, execution{command: req.Cmd, stdout: &out, stderr: &errw})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out after %ds", req.Cmd, req.Timeout)
	}
	if err != nil {
		return nil, fmt.Errorf("exec in container %s: %w", c.config.Metadata.Name, err)
	}
	return &runtimeapi.ExecSyncResponse{Stdout: out.Bytes(), Stderr: errw.Bytes(), ExitCode: int32(code)}, nil
}

// limited keeps the first bytes and drops the rest.
type limited struct{ buf bytes.Buffer }

// Bytes is what was kept.
func (l *limited) Bytes() []byte { return l.buf.Bytes() }

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	room := max(execSyncLimit-l.buf.Len(), 0)
	l.buf.Write(p[:min(room, len(p))])
	return len(p), nil
}
