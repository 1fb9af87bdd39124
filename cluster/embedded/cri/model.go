//go:build linux

package cri

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
	"github.com/netdojo/netdojo/cluster/image"
)

// podSandbox is a pod's shared part. Fields without a remark never change
// after the sandbox is in service.sandboxes.
type podSandbox struct {
	id      string
	config  *runtimeapi.PodSandboxConfig
	handler string
	created time.Time
	dir     string
	ns      *namespaces
	pause   *process // PID 1 of a shared PID namespace; else nil

	ready     bool                                // guarded by service.mu
	ips       []netip.Addr                        // guarded by service.mu; none on the node's network
	resources *runtimeapi.LinuxContainerResources // the pod's, guarded by service.mu
	// told are the limits that the pod's owner was told are not kept; guarded by service.mu.
	told map[string]bool

	stopping sync.Mutex // one StopPodSandbox at a time
	attached bool       // guarded by stopping
	mounted  bool       // guarded by stopping: /dev/shm is
}

func (p *podSandbox) namespaceOptions() *runtimeapi.NamespaceOption {
	if o := p.config.GetLinux().GetSecurityContext().GetNamespaceOptions(); o != nil {
		return o
	}
	return &runtimeapi.NamespaceOption{}
}

func (p *podSandbox) hostNetwork() bool {
	return p.namespaceOptions().Network == runtimeapi.NamespaceMode_NODE
}

// container is one container. Fields without a remark never change after the
// container is in service.containers.
type container struct {
	id      string
	sandbox *podSandbox
	config  *runtimeapi.ContainerConfig
	image   *image.Image
	spec    *sandbox.Container
	user    *runtimeapi.LinuxContainerUser
	dir     string
	logPath string
	created time.Time
	stop    unix.Signal

	starting sync.Mutex    // one StartContainer or RemoveContainer at a time
	oomKills int           // the kernel's count before the start; read by supervise only
	done     chan struct{} // closed when the container has ended, its log written

	// Guarded by service.mu:
	state             runtimeapi.ContainerState
	started, finished time.Time
	exitCode          int32
	reason, message   string
	proc              *process
	io                *containerIO
	mounts            uint64 // the mount namespace's inode: whose process is whose
	resources         *runtimeapi.ContainerResources
	group             *cgroup.Group // nil without control groups
	execs             map[int]bool  // processes run in it since its start
	overLimit         *ending       // why the node ended it, when it was over a limit
}

// ending is how a container's end is told.
type ending struct{ reason, message string }

// sandboxByID finds a sandbox by its identifier or an unambiguous prefix.
func (s *service) sandboxByID(id string) (*podSandbox, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return byPrefix(s.sandboxes, "pod sandbox", id)
}

func (s *service) containerByID(id string) (*container, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return byPrefix(s.containers, "container", id)
}

func byPrefix[T any](all map[string]T, kind, id string) (T, error) {
	var found T
	if v, ok := all[id]; ok {
		return v, nil
	}
	n := 0
	for have, v := range all {
		if id != "" && strings.HasPrefix(have, id) {
			found, n = v, n+1
		}
	}
	if n != 1 {
		var none T
		return none, notFound(kind, id)
	}
	return found, nil
}

// containersOf lists a sandbox's containers. The caller holds mu.
func (s *service) containersOf(p *podSandbox) []*container {
	var list []*container
	for _, c := range s.containers {
		if c.sandbox == p {
			list = append(list, c)
		}
	}
	return list
}

// running returns the main process of a running container.
func (s *service) running(c *container) (*process, *containerIO, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c.state != runtimeapi.ContainerState_CONTAINER_RUNNING {
		return nil, nil, fmt.Errorf("container %s is not running: it is %s", c.config.GetMetadata().GetName(),
			strings.ToLower(strings.TrimPrefix(c.state.String(), "CONTAINER_")))
	}
	return c.proc, c.io, nil
}

// removeState removes a state folder and what may still be mounted in it.
func removeState(dir string) error {
	_ = unix.Unmount(dir+"/shm", unix.MNT_DETACH) // not mounted in most
	return os.RemoveAll(dir)
}
