//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// StopPodSandbox ends a sandbox's containers and frees its network. It may be
// called again, also after a failure and for one that is gone.
func (s *service) StopPodSandbox(ctx context.Context, req *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	p, err := s.sandboxByID(req.PodSandboxId)
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.StopPodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.stopSandbox(ctx, p); err != nil {
		return nil, err
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (s *service) stopSandbox(ctx context.Context, p *podSandbox) error {
	p.stopping.Lock()
	defer p.stopping.Unlock()
	s.mu.Lock()
	wasReady := p.ready
	p.ready = false
	list := s.containersOf(p)
	s.mu.Unlock()

	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, c := range list {
		wg.Go(func() { errs[i] = s.stopContainer(ctx, c, 0) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the pod's containers: %w", err)
	}
	p.endPause()
	if p.attached {
		if err := s.cfg.Network.Detach(ctx, p.id); err != nil {
			return fmt.Errorf("disconnect the pod: %w", err)
		}
		p.attached = false
	}
	if p.mounted {
		if err := unix.Unmount(filepath.Join(p.dir, "shm"), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount the pod's /dev/shm: %w", err)
		}
		p.mounted = false
	}
	if err := p.ns.close(); err != nil {
		return fmt.Errorf("let the pod's namespaces go: %w", err)
	}
	if wasReady {
		s.mu.Lock()
		s.publish(p.id, p, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
		s.mu.Unlock()
	}
	return nil
}
