//go:build linux

package cri

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// RemovePodSandbox removes a sandbox and its containers. One that is gone is
// no error.
func (s *service) RemovePodSandbox(ctx context.Context, req *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	p, err := s.sandboxByID(req.PodSandboxId)
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.RemovePodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.removeSandbox(ctx, p); err != nil {
		return nil, err
	}
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

func (s *service) removeSandbox(ctx context.Context, p *podSandbox) error {
	if err := s.stopSandbox(ctx, p); err != nil {
		return err
	}
	s.mu.RLock()
	list := s.containersOf(p)
	s.mu.RUnlock()
	for _, c := range list {
		if err := s.removeContainer(ctx, c); err != nil {
			return err
		}
	}
	if err := removeState(p.dir); err != nil {
		return fmt.Errorf("remove the sandbox's folder: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sandboxes[p.id]; ok {
		s.publish(p.id, p, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
		delete(s.sandboxes, p.id)
	}
	return nil
}
