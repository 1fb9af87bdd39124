//go:build linux

package cri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// devices are bound from the node's /dev into every container.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// mountsOf lists a container's mounts: the kernel's file systems, the pod's
// files, and those that the kubelet asks for.
func (s *service) mountsOf(ctx context.Context, c *container) ([]sandbox.Mount, error) {
	asked := map[string]bool{}
	for _, m := range c.config.Mounts {
		asked[filepath.Clean(m.ContainerPath)] = true
	}
	list := s.kernelMounts(c)
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		list = append(list, bindMount(filepath.Join(c.sandbox.dir, name), "/etc/"+name))
	}
	for _, d := range c.config.Devices {
		m := bindMount(d.HostPath, d.ContainerPath)
		if d.Permissions == "r" {
			m.Options = []string{"ro"}
		}
		list = append(list, m)
	}
	list = slices.DeleteFunc(list, func(m sandbox.Mount) bool { return asked[m.Destination] })
	for _, m := range c.config.Mounts {
		one, err := s.askedMount(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", m.ContainerPath, err)
		}
		list = append(list, one)
	}
	return list, nil
}

func bindMount(source, destination string) sandbox.Mount {
	return sandbox.Mount{Type: "bind", Source: source, Destination: destination}
}

// kernelMounts are proc, sys and dev.
func (s *service) kernelMounts(c *container) []sandbox.Mount {
	privileged := c.config.GetLinux().GetSecurityContext().GetPrivileged()
	locked := []string{"nosuid", "nodev", "noexec"}
	sysOptions := append(slices.Clone(locked), "ro")
	if privileged {
		sysOptions = locked
	}
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if mapped(s.ids.gids, ttyGroup) {
		pts = append(pts, fmt.Sprintf("gid=%d", ttyGroup))
	}
	list := []sandbox.Mount{
		{Type: "proc", Destination: "/proc", Options: locked, Fallback: "/proc"},
		{Type: "sysfs", Destination: "/sys", Options: sysOptions, Fallback: "/sys"},
		{Type: "tmpfs", Destination: "/dev", Options: []string{"nosuid", "mode=755", "size=65536k"}},
		{Type: "devpts", Destination: "/dev/pts", Options: pts},
		{Type: "mqueue", Destination: "/dev/mqueue", Options: locked, Fallback: sandbox.FallbackNone},
	}
	shm := filepath.Join(c.sandbox.dir, "shm")
	if c.sandbox.ns.ipc == nil {
		shm = "/dev/shm"
	}
	list = append(list, bindMount(shm, "/dev/shm"))
	names := devices
	if privileged {
		names = nodeDevices()
	}
	for _, name := range names {
		list = append(list, bindMount("/dev/"+name, "/dev/"+name))
	}
	return list
}

const ttyGroup = 5

// nodeDevices are all devices at the top of the node's /dev.
func nodeDevices() []string {
	names := slices.Clone(devices)
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return names
	}
	for _, e := range entries {
		info, err := os.Stat("/dev/" + e.Name())
		if err == nil && info.Mode()&os.ModeDevice != 0 && e.Type()&os.ModeSymlink == 0 && e.Name() != "console" && e.Name() != "ptmx" && !slices.Contains(names, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// askedMount translates a mount of the kubelet's. A path of the node that is
// missing is made a folder, as runtimes do for hostPath.
func (s *service) askedMount(ctx context.Context, m *runtimeapi.Mount) (sandbox.Mount, error) {
	out := bindMount(m.HostPath, m.ContainerPath)
	if m.GetImage().GetImage() != "" {
		return s.imageMount(ctx, m)
	}
	if out.Source == "" {
		return out, errors.New("it has no source on the node")
	}
	if m.RecursiveReadOnly && !m.Readonly {
		return out, errors.New("it is to be recursively read-only, but not read-only")
	}
	if m.RecursiveReadOnly && m.Propagation != runtimeapi.MountPropagation_PROPAGATION_PRIVATE {
		return out, fmt.Errorf("a recursively read-only mount must be private, not %s", m.Propagation)
	}
	source, err := filepath.EvalSymlinks(out.Source)
	if errors.Is(err, os.ErrNotExist) {
		source, err = out.Source, os.MkdirAll(out.Source, 0o755)
	}
	if err != nil {
		return out, fmt.Errorf("find its source: %w", err)
	}
	out.Source = source
	switch {
	case m.RecursiveReadOnly:
		out.Options = []string{"rro"}
	case m.Readonly:
		out.Options = []string{"ro"}
	}
	switch m.Propagation {
	case runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		out.Propagation = sandbox.Slave
	case runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		out.Propagation = sandbox.Shared
	}
	return out, nil
}

// imageMount shows an image's files, read-only (the image volume source).
func (s *service) imageMount(ctx context.Context, m *runtimeapi.Mount) (sandbox.Mount, error) {
	img, err := s.images.Resolve(m.Image.Image)
	if err != nil {
		return sandbox.Mount{}, err
	}
	root, err := s.images.Root(ctx, img)
	if err != nil {
		return sandbox.Mount{}, err
	}
	tree, err := os.OpenRoot(root.Dir)
	if err != nil {
		return sandbox.Mount{}, err
	}
	defer tree.Close()
	sub := filepath.Clean("/" + m.ImageSubPath)[1:]
	if sub != "" {
		if _, err := tree.Stat(sub); err != nil {
			return sandbox.Mount{}, fmt.Errorf("find %s in image %s: %w", m.ImageSubPath, img.Ref, err)
		}
	}
	out := bindMount(filepath.Join(root.Dir, sub), m.ContainerPath)
	out.Options = []string{"ro"}
	return out, nil
}
