//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// StartContainer runs a created container's command. A command that cannot be
// started leaves the container exited, with reason StartError and code 128.
func (s *service) StartContainer(ctx context.Context, req *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	c, err := s.containerByID(req.ContainerId)
	if err != nil {
		return nil, err
	}
	c.starting.Lock()
	defer c.starting.Unlock()
	s.mu.RLock()
	state, ready := c.state, c.sandbox.ready && !s.closing
	s.mu.RUnlock()
	if state != runtimeapi.ContainerState_CONTAINER_CREATED {
		return nil, fmt.Errorf("container %s cannot be started: it is %s", c.id, state)
	}
	if !ready {
		return nil, fmt.Errorf("container %s cannot be started: its sandbox is not ready", c.id)
	}
	if err := s.startContainer(ctx, c); err != nil {
		s.startFailed(c, err)
		return nil, fmt.Errorf("start container %s: %w", c.config.Metadata.Name, err)
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

func (s *service) startContainer(ctx context.Context, c *container) error {
	join, clone, err := s.pidNamespace(c)
	if err != nil {
		return err
	}
	cio, err := newContainerIO(c.logPath, c.config.Stdin, c.config.Tty)
	if err != nil {
		return err
	}
	c.oomKills = oomKills()
	group := s.newGroup(c)
	p, err := s.launch(ctx, command{
		role: "container", spec: c.spec, stdio: cio.child, group: group,
		join: append(c.sandbox.ns.join(), join...), clone: unix.CLONE_NEWNS | clone,
	})
	if err != nil {
		s.closeGroup(c, group)
		return errors.Join(err, cio.close())
	}
	mounts, err := mountNamespace(p.proc.Pid)
	if err != nil {
		mounts = 0 // it has ended already: it has no processes to count
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cio.started(p.terminal, c.config.Stdin)
	c.proc, c.io, c.mounts, c.execs, c.group = p, cio, mounts, map[int]bool{}, group
	s.limitMemory(c)
	c.state, c.started = runtimeapi.ContainerState_CONTAINER_RUNNING, time.Now()
	s.publish(c.id, c.sandbox, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	s.wg.Go(func() { s.supervise(c) })
	return nil
}

// pidNamespace says which PID namespace a container joins or makes.
func (s *service) pidNamespace(c *container) (join []namespace, clone uintptr, err error) {
	opts := c.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	switch opts.GetPid() {
	case runtimeapi.NamespaceMode_NODE:
		return nil, 0, nil
	case runtimeapi.NamespaceMode_POD:
		if pause := c.sandbox.pause; pause != nil {
			return []namespace{{pause.pidfd, unix.CLONE_NEWPID}}, 0, nil
		}
	case runtimeapi.NamespaceMode_TARGET:
		target, err := s.containerByID(opts.TargetId)
		if err != nil {
			return nil, 0, fmt.Errorf("find the target container: %w", err)
		}
		if target.sandbox != c.sandbox {
			return nil, 0, errors.New("the target container is of another pod")
		}
		p, _, err := s.running(target)
		if err != nil {
			return nil, 0, fmt.Errorf("share processes: %w", err)
		}
		return []namespace{{p.pidfd, unix.CLONE_NEWPID}}, 0, nil
	}
	return nil, unix.CLONE_NEWPID, nil
}

// ownsProcesses tells whether the container's command is PID 1 of a namespace,
// so that all its processes end with it.
func ownsProcesses(c *container) bool {
	switch c.config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetPid() {
	case runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_TARGET:
		return false
	case runtimeapi.NamespaceMode_POD:
		return c.sandbox.pause == nil
	}
	return true
}

// startFailed records why a container never ran.
func (s *service) startFailed(c *container, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.state = runtimeapi.ContainerState_CONTAINER_EXITED
	c.started = time.Now()
	c.finished = c.started
	c.exitCode, c.reason, c.message = 128, "StartError", err.Error()
	close(c.done)
	s.publish(c.id, c.sandbox, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
}

// supervise waits for the end of a container's command and records it, after
// its last output is in the log.
func (s *service) supervise(c *container) {
	p := c.proc
	<-p.exited
	finished := time.Now()
	if !ownsProcesses(c) {
		killMountNamespace(c.mounts)
	}
	if err := c.io.finish(); err != nil {
		s.log.Warn("close a container's output", "container", c.id, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	memoryRanOut := oomKills() > c.oomKills
	if c.group != nil {
		memoryRanOut = memoryRanOut || c.group.OOMKills() > 0
		s.closeGroup(c, c.group)
		c.group = nil
	}
	c.state, c.finished, c.exitCode = runtimeapi.ContainerState_CONTAINER_EXITED, finished, int32(p.code)
	c.reason = endReason(p.code, p.wasKilled(), memoryRanOut)
	if end := c.overLimit; end != nil && p.code != 0 {
		c.reason, c.message = end.reason, end.message
	}
	p.close()
	close(c.done)
	s.publish(c.id, c.sandbox, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
}
