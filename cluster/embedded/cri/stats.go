//go:build linux

package cri

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ContainerStats tells what a container uses. Without cgroups it is the sum
// over its processes: CPU time of children that nobody waited for is missing,
// shared pages count for each process, and there is no limit to compare with.
func (s *service) ContainerStats(ctx context.Context, req *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	c, err := s.containerByID(req.ContainerId)
	if err != nil {
		return nil, err
	}
	st, err := s.containerStats(ctx, c, usageByMounts())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ContainerStatsResponse{Stats: st}, nil
}

// ListContainerStats is ContainerStats of all running containers that pass.
func (s *service) ListContainerStats(ctx context.Context, req *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	list, err := s.listContainerStats(ctx, req.Filter)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ListContainerStatsResponse{Stats: list}, nil
}

// StreamContainerStats is ListContainerStats in parts.
func (s *service) StreamContainerStats(req *runtimeapi.StreamContainerStatsRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamContainerStatsResponse]) error {
	list, err := s.listContainerStats(stream.Context(), req.Filter)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, listPart) {
		if err := stream.Send(&runtimeapi.StreamContainerStatsResponse{ContainerStats: part}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) listContainerStats(ctx context.Context, f *runtimeapi.ContainerStatsFilter) ([]*runtimeapi.ContainerStats, error) {
	used := usageByMounts()
	var list []*runtimeapi.ContainerStats
	for _, c := range s.runningContainers() {
		if !strings.HasPrefix(c.id, f.GetId()) || !strings.HasPrefix(c.sandbox.id, f.GetPodSandboxId()) ||
			!hasLabels(c.config.Labels, f.GetLabelSelector()) {
			continue
		}
		st, err := s.containerStats(ctx, c, used)
		if err != nil {
			return nil, err
		}
		list = append(list, st)
	}
	return list, nil
}

func (s *service) runningContainers() []*container {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*container
	for _, c := range s.containers {
		if c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
			list = append(list, c)
		}
	}
	return list
}

func (s *service) containerStats(ctx context.Context, c *container, used map[uint64]usage) (*runtimeapi.ContainerStats, error) {
	s.mu.RLock()
	mounts := c.mounts
	s.mu.RUnlock()
	disk, err := s.diskUse(ctx, filepath.Join(c.dir, "layers"))
	if err != nil {
		return nil, fmt.Errorf("measure the container's disk: %w", err)
	}
	u := used[mounts]
	return &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{Id: c.id, Metadata: c.config.Metadata,
			Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu: u.criCPU(), Memory: u.criMemory(), WritableLayer: disk,
	}, nil
}

func (u usage) criCPU() *runtimeapi.CpuUsage {
	return &runtimeapi.CpuUsage{Timestamp: now(), UsageCoreNanoSeconds: value(u.cpu)}
}

func (u usage) criMemory() *runtimeapi.MemoryUsage {
	return &runtimeapi.MemoryUsage{Timestamp: now(), WorkingSetBytes: value(u.rss), UsageBytes: value(u.rss),
		RssBytes: value(u.rss), PageFaults: value(u.faults), MajorPageFaults: value(u.majors)}
}

// ContainerUse is what a running container's processes have used: as ContainerStats has
// it, without its disk.
type ContainerUse struct {
	ID, Namespace, Pod, Name string
	CPU                      time.Duration
	Memory                   uint64 // bytes
}

// Use is that of all running containers, measured now.
func (s *Server) Use() []ContainerUse {
	used := usageByMounts()
	var list []ContainerUse
	for _, c := range s.svc.runningContainers() {
		s.svc.mu.RLock()
		u := used[c.mounts]
		s.svc.mu.RUnlock()
		pod := c.sandbox.config.Metadata
		list = append(list, ContainerUse{
			ID: c.id, Namespace: pod.Namespace, Pod: pod.Name, Name: c.config.Metadata.Name, CPU: time.Duration(u.cpu), Memory: u.rss,
		})
	}
	return list
}

// PodSandboxStats tells what a pod uses.
func (s *service) PodSandboxStats(ctx context.Context, req *runtimeapi.PodSandboxStatsRequest) (*runtimeapi.PodSandboxStatsResponse, error) {
	p, err := s.sandboxByID(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	st, err := s.sandboxStats(ctx, p, usageByMounts())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PodSandboxStatsResponse{Stats: st}, nil
}

// ListPodSandboxStats is PodSandboxStats of all ready sandboxes that pass.
func (s *service) ListPodSandboxStats(ctx context.Context, req *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	list, err := s.listSandboxStats(ctx, req.Filter)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ListPodSandboxStatsResponse{Stats: list}, nil
}

// StreamPodSandboxStats is ListPodSandboxStats in parts.
func (s *service) StreamPodSandboxStats(req *runtimeapi.StreamPodSandboxStatsRequest, stream grpc.ServerStreamingServer[runtimeapi.StreamPodSandboxStatsResponse]) error {
	list, err := s.listSandboxStats(stream.Context(), req.Filter)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, listPart) {
		if err := stream.Send(&runtimeapi.StreamPodSandboxStatsResponse{PodSandboxStats: part}); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) listSandboxStats(ctx context.Context, f *runtimeapi.PodSandboxStatsFilter) ([]*runtimeapi.PodSandboxStats, error) {
	s.mu.RLock()
	var pods []*podSandbox
	for _, p := range s.sandboxes {
		if p.ready && strings.HasPrefix(p.id, f.GetId()) && hasLabels(p.config.Labels, f.GetLabelSelector()) {
			pods = append(pods, p)
		}
	}
	s.mu.RUnlock()
	used := usageByMounts()
	var list []*runtimeapi.PodSandboxStats
	for _, p := range pods {
		st, err := s.sandboxStats(ctx, p, used)
		if err != nil {
			return nil, err
		}
		list = append(list, st)
	}
	return list, nil
}

func (s *service) sandboxStats(ctx context.Context, p *podSandbox, used map[uint64]usage) (*runtimeapi.PodSandboxStats, error) {
	var sum usage
	lin := &runtimeapi.LinuxPodSandboxStats{}
	for _, c := range s.runningContainers() {
		if c.sandbox != p {
			continue
		}
		st, err := s.containerStats(ctx, c, used)
		if err != nil {
			return nil, err
		}
		lin.Containers = append(lin.Containers, st)
		s.mu.RLock()
		sum.add(used[c.mounts])
		s.mu.RUnlock()
	}
	lin.Cpu, lin.Memory = sum.criCPU(), sum.criMemory()
	lin.Process = &runtimeapi.ProcessUsage{Timestamp: now(), ProcessCount: value(sum.processes)}
	lin.Network = p.networkUsage()
	return &runtimeapi.PodSandboxStats{
		Attributes: &runtimeapi.PodSandboxAttributes{Id: p.id, Metadata: p.config.Metadata,
			Labels: p.config.Labels, Annotations: p.config.Annotations},
		Linux: lin,
	}, nil
}

// networkUsage reads the counters of the pod's devices; nil on the node's
// network, or when the pod has just gone.
func (p *podSandbox) networkUsage() *runtimeapi.NetworkUsage {
	if p.ns.net == nil {
		return nil
	}
	var text []byte
	err := onThread(p.ns.join()[:1], func() error {
		var err error
		text, err = os.ReadFile("/proc/thread-self/net/dev")
		return err
	})
	if err != nil {
		return nil
	}
	out := &runtimeapi.NetworkUsage{Timestamp: now()}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		name = strings.TrimSpace(name)
		if !ok || name == "lo" {
			continue
		}
		var n [16]uint64
		for i, f := range strings.Fields(rest) {
			if i < len(n) {
				_, _ = fmt.Sscan(f, &n[i]) // a counter that is no number counts nothing
			}
		}
		use := &runtimeapi.NetworkInterfaceUsage{Name: name, RxBytes: value(n[0]), RxErrors: value(n[2]), TxBytes: value(n[8]), TxErrors: value(n[10])}
		if out.DefaultInterface == nil {
			out.DefaultInterface = use
		} else {
			out.Interfaces = append(out.Interfaces, use)
		}
	}
	return out
}
