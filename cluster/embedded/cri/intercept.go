//go:build linux

package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/netdojo/netdojo/cluster/image"
)

// undoTimeout bounds what is undone after a failure or at the end.
const undoTimeout = 20 * time.Second

// intercept logs calls and writes an error's cure beside it: the kubelet shows
// a pod's owner the message and nothing else.
func (s *service) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	start := time.Now()
	resp, err := handle(ctx, req)
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	if err != nil {
		s.log.Info("CRI call", "method", method, "took", time.Since(start), "err", err)
		return nil, toStatus(err)
	}
	s.log.Debug("CRI call", "method", method, "took", time.Since(start))
	return resp, nil
}

func toStatus(err error) error {
	if st, ok := status.FromError(err); ok && st.Code() != codes.Unknown {
		return err
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, image.ErrNotFound):
		code = codes.NotFound
	}
	msg := err.Error()
	var cured interface{ Cure() string }
	if errors.As(err, &cured) {
		msg += ". Cure: " + cured.Cure()
	}
	return status.Error(code, msg)
}

func notFound(kind, id string) error {
	return status.Errorf(codes.NotFound, "%s %q does not exist", kind, id)
}

// newID returns 32 random bytes in hex, as other runtimes name things.
func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// undo is what to give back, last first, when a call fails.
type undo []func(context.Context) error

func (u *undo) add(f func(context.Context) error) { *u = append(*u, f) }

// run gives everything back on a context of its own.
func (u undo) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var errs []error
	for i := len(u) - 1; i >= 0; i-- {
		errs = append(errs, u[i](ctx))
	}
	return errors.Join(errs...)
}
