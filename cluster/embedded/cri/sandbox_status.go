//go:build linux

package cri

import (
	"cmp"
	"context"
	"slices"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PodSandboxStatus describes a sandbox and its containers at one moment.
func (s *service) PodSandboxStatus(_ context.Context, req *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	p, err := s.sandboxByID(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	resp := &runtimeapi.PodSandboxStatusResponse{Status: p.status()}
	resp.ContainersStatuses, resp.Timestamp = s.statusesOf(p), now()
	if req.Verbose {
		info := map[string]any{"dir": p.dir, "hostNetwork": p.hostNetwork(), "config": p.config}
		if p.ready && p.ns.net != nil {
			info["netns"] = p.ns.netPath()
		}
		resp.Info = infoJSON(info)
	}
	return resp, nil
}

func (p *podSandbox) state() runtimeapi.PodSandboxState {
	if p.ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

// status describes the sandbox. The caller holds service.mu.
func (p *podSandbox) status() *runtimeapi.PodSandboxStatus {
	st := &runtimeapi.PodSandboxStatus{
		Id: p.id, Metadata: p.config.Metadata, State: p.state(), CreatedAt: p.created.UnixNano(),
		Network: &runtimeapi.PodSandboxNetworkStatus{},
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: p.namespaceOptions(),
		}},
		Labels: p.config.Labels, Annotations: p.config.Annotations, RuntimeHandler: p.handler,
	}
	for i, ip := range p.ips {
		if i == 0 {
			st.Network.Ip = ip.String()
		} else {
			st.Network.AdditionalIps = append(st.Network.AdditionalIps, &runtimeapi.PodIP{Ip: ip.String()})
		}
	}
	return st
}

// statusesOf describes a sandbox's containers, oldest first. The caller holds mu.
func (s *service) statusesOf(p *podSandbox) []*runtimeapi.ContainerStatus {
	list := s.containersOf(p)
	slices.SortFunc(list, func(a, b *container) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id))
	})
	var out []*runtimeapi.ContainerStatus
	for _, c := range list {
		out = append(out, c.status())
	}
	return out
}
