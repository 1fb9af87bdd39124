//go:build linux

package cri

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
	"github.com/netdojo/netdojo/cluster/embedded/cri/limits"
)

// podProcesses is how many processes, threads counted, a container may have: what
// clusters commonly set as the kubelet's podPidsLimit. Kubernetes has none by
// default, but there a pod can take a node; here the node is the user's machine.
const podProcesses = 1024

// reservedPIDs are numbers that the kernel gives only once after a namespace's
// start, so that pid_max has to be larger than the limit by as many.
const reservedPIDs = 300

// Reasons of a container's end, beside Kubernetes' own, and of notices.
const (
	ReasonOOMKilled       = "OOMKilled"
	ReasonTooManyProcs    = "TooManyProcesses"
	ReasonCPULimitNotKept = "CPULimitNotEnforced"
)

// Notice is what a pod's owner should know of a container's limits.
type Notice struct {
	Namespace, Pod, UID string
	Container           string
	Reason, Message     string
}

func (s *service) notify(c *container, reason, message string) {
	if s.cfg.OnNotice == nil {
		return
	}
	pod := c.sandbox.config.Metadata
	s.cfg.OnNotice(Notice{
		Namespace: pod.Namespace, Pod: pod.Name, UID: pod.Uid,
		Container: c.config.Metadata.Name, Reason: reason, Message: message,
	})
}

// tellUnkept says, once for a pod, which of its limits nothing keeps. The caller
// holds mu.
func (s *service) tellUnkept(c *container) {
	res := c.config.GetLinux().GetResources()
	if res.GetCpuQuota() <= 0 || s.cfg.Groups.Has(cgroup.CPU) || c.sandbox.told[ReasonCPULimitNotKept] {
		return
	}
	if c.sandbox.told == nil {
		c.sandbox.told = map[string]bool{}
	}
	c.sandbox.told[ReasonCPULimitNotKept] = true
	s.notify(c, ReasonCPULimitNotKept, "This node has no control groups of its own: the pod may use more CPU than its limit says. Limits of memory are kept")
}

// pidMax is the limit of a PID namespace that a container begins; 0 for none.
func (s *service) pidMax() int {
	if s.cfg.sharedPIDMax || !pidMaxPerNamespace() {
		return 0
	}
	return podProcesses + reservedPIDs
}

// pidMaxPerNamespace tells whether kernel.pid_max is a limit of each PID
// namespace, as from Linux 6.14 on. Before it is the machine's, which a cluster
// of root could change by mistake: so the version is asked, and nothing tried.
func pidMaxPerNamespace() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return atLeast(unix.ByteSliceToString(u.Release[:]), 6, 14)
}

// atLeast compares a kernel's release with a version.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

// executes notes a further process of a container until the returned function
// is called.
func (s *service) executes(c *container, p *process) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.execs[p.proc.Pid] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(c.execs, p.proc.Pid)
	}
}

// limited lists the running containers with their limits.
func (s *service) limited() []limits.Container {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []limits.Container
	unlimited := map[string]bool{} // pods with a container that has no limit of memory
	sums := map[string]int64{}     // of the limits of a pod's containers
	for _, c := range s.containers {
		if c.state != runtimeapi.ContainerState_CONTAINER_RUNNING {
			continue
		}
		one := limits.Container{
			ID: c.id, Pod: c.sandbox.id, Mounts: c.mounts, Processes: podProcesses,
			Roots:     append(slices.Collect(maps.Keys(c.execs)), c.proc.proc.Pid),
			Memory:    c.resources.GetLinux().GetMemoryLimitInBytes(),
			PodMemory: c.sandbox.resources.GetMemoryLimitInBytes(),
			Tmpfs:     c.ownFolders(),
		}
		if c.sandbox.pause != nil {
			one.Pause = c.sandbox.pause.proc.Pid
		}
		sums[one.Pod] += one.Memory
		if c.group != nil && s.cfg.Groups.Has(cgroup.Memory) {
			one.Memory = 0 // the kernel's to keep
		}
		unlimited[one.Pod] = unlimited[one.Pod] || c.resources.GetLinux().GetMemoryLimitInBytes() <= 0
		list = append(list, one)
	}
	// Of a pod without a limit of its own the kubelet gives the sum of its
	// containers' limits, which is none when one of them has none. Where a pod has
	// one, a container without gets the pod's. A sum of limits that are kept is kept.
	for i := range list {
		if pod := list[i].Pod; unlimited[pod] || list[i].PodMemory >= sums[pod] {
			list[i].PodMemory = 0
		}
	}
	return list
}

// ownFolders are folders of the node that only this pod writes: its volumes and
// what its containers share as /dev/shm.
func (c *container) ownFolders() []string {
	var list []string
	if c.sandbox.ns.ipc != nil {
		list = append(list, filepath.Join(c.sandbox.dir, "shm"))
	}
	volumes := "/pods/" + c.sandbox.config.GetMetadata().GetUid() + "/volumes/"
	for _, m := range c.config.Mounts {
		if strings.Contains(m.HostPath, volumes) && !m.Readonly {
			list = append(list, m.HostPath)
		}
	}
	return list
}

// overLimit ends a container that is over a limit.
func (s *service) overLimit(b limits.Breach) {
	s.mu.Lock()
	c := s.containers[b.Container]
	if c == nil || c.state != runtimeapi.ContainerState_CONTAINER_RUNNING || c.overLimit != nil {
		s.mu.Unlock()
		return
	}
	end := endingOf(b)
	c.overLimit = &end
	p := c.proc
	s.mu.Unlock()
	s.log.Info("a container is over its limit and is ended", "container", c.id, "pod", c.sandbox.config.GetMetadata().GetName(), "why", end.message)
	p.kill()
	if !ownsProcesses(c) {
		for _, pid := range b.PIDs {
			if pid != p.proc.Pid {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by now
			}
		}
	}
	if end.reason != ReasonOOMKilled {
		s.notify(c, end.reason, end.message)
	}
}

func endingOf(b limits.Breach) ending {
	if b.What == limits.Processes {
		return ending{ReasonTooManyProcs, fmt.Sprintf("it had %d processes, and may have %d", b.Used, b.Limit)}
	}
	return ending{ReasonOOMKilled, fmt.Sprintf("it used %d MiB of memory, and the limit of %s is %d MiB", b.Used>>20, owner(b.What), b.Limit>>20)}
}

func owner(r limits.Resource) string {
	if r == limits.PodMemory {
		return "the pod"
	}
	return "the container"
}

// newGroup makes a container's control group with all limits but that of memory.
// Without one the limits are kept by looking.
func (s *service) newGroup(c *container) *cgroup.Group {
	if s.cfg.Groups == nil {
		return nil
	}
	group, err := s.cfg.Groups.New(c.id)
	if err == nil {
		res := c.resources.GetLinux()
		err = group.Set(cgroup.Limits{CPUQuota: res.GetCpuQuota(), CPUPeriod: uint64(res.GetCpuPeriod()), PIDs: podProcesses})
	}
	if err != nil {
		s.log.Warn("a container has no control group", "container", c.id, "err", err)
		s.closeGroup(c, group)
		return nil
	}
	return group
}

// limitMemory limits a container's memory once its command runs: the helper that
// became it may have needed more. The caller holds mu.
func (s *service) limitMemory(c *container) {
	res := c.resources.GetLinux()
	if c.group == nil || res.GetMemoryLimitInBytes() <= 0 {
		return
	}
	err := c.group.Set(cgroup.Limits{Memory: res.GetMemoryLimitInBytes(), CPUQuota: res.GetCpuQuota(), CPUPeriod: uint64(res.GetCpuPeriod()), PIDs: podProcesses})
	if err != nil {
		s.log.Info("a container cannot be held to its limit of memory and is ended", "container", c.id, "err", err)
		c.overLimit = &ending{ReasonOOMKilled, fmt.Sprintf("it used more memory than the %d MiB that the container may have", res.GetMemoryLimitInBytes()>>20)}
		c.proc.kill()
	}
}

func (s *service) closeGroup(c *container, group *cgroup.Group) {
	if group == nil {
		return
	}
	if err := group.Close(); err != nil {
		s.log.Warn("remove a container's control group", "container", c.id, "err", err)
	}
}

func (s *service) groupOf(c *container) *cgroup.Group {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return c.group
}
