//go:build linux

package cri

import (
	"context"
	"encoding/json"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// standInAnnotation marks what is shown of a container that runs a stand-in.
const standInAnnotation = "netdojo.dev/stand-in-for"

// ContainerStatus describes a container.
func (s *service) ContainerStatus(_ context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := s.containerByID(req.ContainerId)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	resp := &runtimeapi.ContainerStatusResponse{Status: c.status()}
	if req.Verbose {
		info := map[string]any{"sandboxID": c.sandbox.id, "spec": c.spec, "snapshot": c.dir}
		if c.proc != nil {
			info["pid"] = c.proc.proc.Pid
		}
		if c.image.StandIn() != nil {
			info[standInAnnotation] = c.image.Ref
		}
		resp.Info = infoJSON(info)
	}
	return resp, nil
}

// status describes the container. The caller holds service.mu.
func (c *container) status() *runtimeapi.ContainerStatus {
	st := &runtimeapi.ContainerStatus{
		Id: c.id, Metadata: c.config.Metadata, State: c.state,
		CreatedAt: c.created.UnixNano(), StartedAt: nanos(c.started), FinishedAt: nanos(c.finished),
		ExitCode: c.exitCode, Reason: c.reason, Message: c.message,
		Image: c.imageSpec(), ImageRef: c.image.StatusRef(), ImageId: c.image.ID,
		Labels: c.config.Labels, Annotations: c.config.Annotations,
		Mounts: c.config.Mounts, LogPath: c.logPath, Resources: c.resources,
		User:       &runtimeapi.ContainerUser{Linux: c.user},
		StopSignal: runtimeapi.Signal(runtimeapi.Signal_value[unix.SignalName(c.stop)]),
	}
	return st
}

func (c *container) imageSpec() *runtimeapi.ImageSpec {
	spec := &runtimeapi.ImageSpec{}
	if c.config.Image != nil {
		spec = proto.Clone(c.config.Image).(*runtimeapi.ImageSpec)
	}
	spec.Image = c.image.Ref
	return spec
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func now() int64 { return time.Now().UnixNano() }

// infoJSON is the form of verbose answers: one JSON value under "info".
func infoJSON(info map[string]any) map[string]string {
	text, err := json.Marshal(info)
	if err != nil {
		text = []byte(`{}`)
	}
	return map[string]string{"info": string(text)}
}
