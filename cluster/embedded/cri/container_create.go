//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/image"
)

// CreateContainer prepares a container: its root, its user, its mounts. What
// the node cannot give is an error here, before anything runs.
func (s *service) CreateContainer(ctx context.Context, req *runtimeapi.CreateContainerRequest) (_ *runtimeapi.CreateContainerResponse, err error) {
	p, err := s.sandboxByID(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	config := req.GetConfig()
	if config.GetMetadata() == nil {
		return nil, errors.New("container without metadata")
	}
	img, err := s.images.Resolve(config.GetImage().GetImage())
	if err != nil {
		return nil, fmt.Errorf("find the container's image: %w", err)
	}
	root, err := s.images.Root(ctx, img)
	if err != nil {
		return nil, err
	}
	c := &container{
		id: newID(), sandbox: p, config: config, image: img, created: time.Now(),
		state: runtimeapi.ContainerState_CONTAINER_CREATED, done: make(chan struct{}),
	}
	c.dir = filepath.Join(s.cfg.StateDir, "containers", c.id)
	if p.config.LogDirectory != "" && config.LogPath != "" {
		c.logPath = filepath.Join(p.config.LogDirectory, config.LogPath)
	}
	if lin := config.GetLinux().GetResources(); lin != nil {
		c.resources = &runtimeapi.ContainerResources{Linux: lin}
	}
	if c.stop, err = stopSignal(config, img); err != nil {
		return nil, err
	}
	var done undo
	defer func() {
		if err != nil {
			err = errors.Join(err, done.run(ctx))
		}
	}()
	if err := os.Mkdir(c.dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the container's folder: %w", err)
	}
	done.add(func(context.Context) error { return removeState(c.dir) })
	if err := s.prepare(ctx, c, root); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || !p.ready {
		return nil, fmt.Errorf("pod sandbox %s is not ready", p.id)
	}
	s.containers[c.id] = c
	s.publish(c.id, p, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	s.announce(c)
	s.tellUnkept(c)
	return &runtimeapi.CreateContainerResponse{ContainerId: c.id}, nil
}

// announce tells that a stand-in runs, once for a container and its restarts.
func (s *service) announce(c *container) {
	in := c.image.StandIn()
	if in == nil || s.cfg.OnStandIn == nil || c.config.Metadata.Attempt > 0 {
		return
	}
	pod := c.sandbox.config.Metadata
	s.cfg.OnStandIn(StandInUse{
		Namespace: pod.Namespace, Pod: pod.Name, UID: pod.Uid,
		Container: c.config.Metadata.Name, Image: userImage(c), StandIn: in,
	})
}

// userImage is the image as the pod's author wrote it.
func userImage(c *container) string {
	if u := c.config.GetImage().GetUserSpecifiedImage(); u != "" {
		return u
	}
	return c.image.Ref
}

func stopSignal(config *runtimeapi.ContainerConfig, img *image.Image) (unix.Signal, error) {
	if sig := config.StopSignal; sig != runtimeapi.Signal_RUNTIME_DEFAULT {
		return signalByName(sig.String())
	}
	if img.Config.StopSignal != "" {
		return signalByName(img.Config.StopSignal)
	}
	return unix.SIGTERM, nil
}

// signalByName knows SIGTERM, TERM, 15, and SIGRTMIN+3 and its like, which
// CRI writes SIGRTMINPLUS3.
func signalByName(name string) (unix.Signal, error) {
	const rtmin, rtmax = 34, 64 // as the C library counts
	var n int
	up := strings.ToUpper(name)
	for prefix, signal := range map[string]func(int) int{
		"SIGRTMIN+":     func(n int) int { return rtmin + n },
		"SIGRTMINPLUS":  func(n int) int { return rtmin + n },
		"SIGRTMAX-":     func(n int) int { return rtmax - n },
		"SIGRTMAXMINUS": func(n int) int { return rtmax - n },
	} {
		if rest, ok := strings.CutPrefix(up, prefix); ok {
			if _, err := fmt.Sscan(rest, &n); err == nil {
				return unix.Signal(signal(n)), nil
			}
		}
	}
	switch up {
	case "SIGRTMIN":
		return rtmin, nil
	case "SIGRTMAX":
		return rtmax, nil
	}
	if _, err := fmt.Sscan(name, &n); err == nil && n > 0 && n <= rtmax {
		return unix.Signal(n), nil
	}
	if !strings.HasPrefix(up, "SIG") {
		up = "SIG" + up
	}
	if other, ok := sameSignal[up]; ok {
		return other, nil
	}
	if sig := unix.SignalNum(up); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown stop signal %q", name)
}

// sameSignal are further names that the Kubernetes API knows.
var sameSignal = map[string]unix.Signal{"SIGPOLL": unix.SIGIO, "SIGIOT": unix.SIGABRT, "SIGCLD": unix.SIGCHLD}
