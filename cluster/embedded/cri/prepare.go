//go:build linux

package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
	"github.com/netdojo/netdojo/cluster/image"
)

// prepare fills c.spec: everything that the helper is told.
func (s *service) prepare(ctx context.Context, c *container, root *image.Root) error {
	sec := c.config.GetLinux().GetSecurityContext()
	spec := &sandbox.Container{TTY: c.config.Tty, ReadOnly: sec.GetReadonlyRootfs()}
	if err := s.prepareRoot(ctx, c, root, spec); err != nil {
		return err
	}
	user, err := s.resolveUser(c, root)
	if err != nil {
		return err
	}
	c.user = user.cri()
	args, err := commandOf(c.config, c.image.Config)
	if err != nil {
		return err
	}
	spec.Process = sandbox.Process{
		Args: args, Dir: c.config.WorkingDir,
		UID: int(user.uid), GID: int(user.gid), Groups: user.ints(),
		NoNewPrivileges: sec.GetNoNewPrivs() && !sec.GetPrivileged(),
	}
	if spec.Dir == "" {
		spec.Dir = c.image.Config.WorkingDir
	}
	if spec.Dir == "" {
		spec.Dir = "/"
	}
	if spec.Env, err = environment(c, user.home); err != nil {
		return err
	}
	if err := s.restrict(c, spec); err != nil {
		return err
	}
	more, err := s.mountsOf(ctx, c)
	if err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, more...)
	if join, clone, err := s.pidNamespace(c); err == nil && len(join) == 0 && clone != 0 {
		spec.PIDMax = s.pidMax()
	}
	c.spec = spec
	return nil
}

// prepareRoot makes the folders of the container's root and says how they are
// laid over the image's.
func (s *service) prepareRoot(ctx context.Context, c *container, root *image.Root, spec *sandbox.Container) error {
	spec.Root = filepath.Join(c.dir, "root")
	if err := os.Mkdir(spec.Root, 0o755); err != nil {
		return fmt.Errorf("make the container's root: %w", err)
	}
	if s.overlay.works {
		o, err := s.overlayOn(c, "", "root", []string{root.Dir})
		if err != nil {
			return err
		}
		spec.Overlays = append(spec.Overlays, o)
	} else if err := copyTree(ctx, root.Dir, spec.Root); err != nil {
		return fmt.Errorf("copy the image: %w", err)
	}
	for _, sh := range root.Shadows {
		if s.overlay.works {
			o, err := s.overlayOn(c, sh.Target, strings.ReplaceAll(sh.Target, "/", "-"), sh.Lower)
			if err != nil {
				return err
			}
			spec.Overlays = append(spec.Overlays, o)
			continue
		}
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "bind", Source: sh.Lower[len(sh.Lower)-1],
			Destination: "/" + sh.Target, Options: []string{"ro"}})
	}
	for _, b := range root.Binds {
		source, err := s.attachable(b.Source)
		if err != nil {
			return err
		}
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Type: "bind", Source: source, Destination: b.Destination, Options: []string{"ro"}})
	}
	return nil
}

func (s *service) overlayOn(c *container, target, name string, lower []string) (sandbox.Overlay, error) {
	o := sandbox.Overlay{Target: target, Lower: lower, UserXattr: s.overlay.userXattr,
		Upper: filepath.Join(c.dir, "layers", name, "upper"), Work: filepath.Join(c.dir, "layers", name, "work")}
	for _, dir := range []string{o.Upper, o.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return o, fmt.Errorf("make the container's root: %w", err)
		}
	}
	// The top folder's mode is the upper one's: /root of an image may be 0700, and
	// the root itself is always open to search.
	return o, nil
}

// commandOf joins the pod's command and arguments with the image's, as the
// Kubernetes API says: a command replaces both.
func commandOf(config *runtimeapi.ContainerConfig, img image.Config) ([]string, error) {
	command, args := config.Command, config.Args
	if len(command) == 0 {
		command = img.Entrypoint
		if len(args) == 0 {
			args = img.Cmd
		}
	}
	all := append(append([]string{}, command...), args...)
	if len(all) == 0 {
		return nil, fmt.Errorf("no command specified: neither the pod nor the image %s names one", config.GetImage().GetUserSpecifiedImage())
	}
	return all, nil
}

// environment is the image's, the container's over it, and what every process
// expects.
func environment(c *container, home string) ([]string, error) {
	set := newEnv()
	for _, e := range c.image.Config.Env {
		k, v, _ := strings.Cut(e, "=")
		set.put(k, v)
	}
	hostname := c.sandbox.config.Hostname
	if c.sandbox.hostNetwork() || hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("read the host name: %w", err)
		}
	}
	set.put("HOSTNAME", hostname)
	for _, kv := range c.config.Envs {
		set.put(kv.Key, string(kv.Value))
	}
	set.fallback("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	set.fallback("HOME", home)
	if c.config.Tty {
		set.fallback("TERM", "xterm")
	}
	return set.list(), nil
}

// env is an environment in the order in which names first came.
type env struct {
	names  []string
	values map[string]string
}

func newEnv() *env { return &env{values: map[string]string{}} }

func (e *env) put(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *env) fallback(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.put(name, value)
	}
}

func (e *env) list() []string {
	list := make([]string, 0, len(e.names))
	for _, n := range e.names {
		list = append(list, n+"="+e.values[n])
	}
	return list
}
