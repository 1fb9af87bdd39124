//go:build linux

package cri

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ListContainers lists the containers that pass the filter, newest first.
func (s *service) ListContainers(_ context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	return &runtimeapi.ListContainersResponse{Containers: s.listContainers(req.Filter)}, nil
}

// StreamContainers is ListContainers in parts.
func (s *service) StreamContainers(req *runtimeapi.StreamContainersRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamContainersResponse]) error {
	for part := range slices.Chunk(s.listContainers(req.Filter), listPart) {
		if err := stream.Send(&runtimeapi.StreamContainersResponse{Containers: part}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) listContainers(f *runtimeapi.ContainerFilter) []*runtimeapi.Container {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var items []*runtimeapi.Container
	for _, c := range s.containers {
		if !strings.HasPrefix(c.id, f.GetId()) || !strings.HasPrefix(c.sandbox.id, f.GetPodSandboxId()) ||
			f.GetState() != nil && f.State.State != c.state ||
			!hasLabels(c.config.Labels, f.GetLabelSelector()) {
			continue
		}
		items = append(items, &runtimeapi.Container{
			Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.Metadata, Image: c.config.Image,
			ImageRef: c.image.ID, ImageId: c.image.ID, State: c.state, CreatedAt: c.created.UnixNano(),
			Labels: c.config.Labels, Annotations: c.config.Annotations,
		})
	}
	slices.SortFunc(items, func(a, b *runtimeapi.Container) int { return int(b.CreatedAt - a.CreatedAt) })
	return items
}
