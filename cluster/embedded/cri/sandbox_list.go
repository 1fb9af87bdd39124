//go:build linux

package cri

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ListPodSandbox lists the sandboxes that pass the filter, newest first.
func (s *service) ListPodSandbox(_ context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{Items: s.listSandboxes(req.Filter)}, nil
}

// StreamPodSandboxes is ListPodSandbox in parts.
func (s *service) StreamPodSandboxes(req *runtimeapi.StreamPodSandboxesRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamPodSandboxesResponse]) error {
	for part := range slices.Chunk(s.listSandboxes(req.Filter), listPart) {
		if err := stream.Send(&runtimeapi.StreamPodSandboxesResponse{PodSandboxes: part}); err != nil {
			return err
		}
	}
	return nil
}

// listPart is how many items a streamed list has in one message.
const listPart = 100

func (s *service) listSandboxes(f *runtimeapi.PodSandboxFilter) []*runtimeapi.PodSandbox {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var items []*runtimeapi.PodSandbox
	for _, p := range s.sandboxes {
		if !strings.HasPrefix(p.id, f.GetId()) ||
			f.GetState() != nil && f.State.State != p.state() ||
			!hasLabels(p.config.Labels, f.GetLabelSelector()) {
			continue
		}
		items = append(items, &runtimeapi.PodSandbox{
			Id: p.id, Metadata: p.config.Metadata, State: p.state(), CreatedAt: p.created.UnixNano(),
			Labels: p.config.Labels, Annotations: p.config.Annotations, RuntimeHandler: p.handler,
		})
	}
	slices.SortFunc(items, func(a, b *runtimeapi.PodSandbox) int { return int(b.CreatedAt - a.CreatedAt) })
	return items
}

func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}
