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

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

// RunPodSandbox makes a pod's namespaces and connects them. It returns when
// the pod's identity and policy are in force.
func (s *service) RunPodSandbox(ctx context.Context, req *runtimeapi.RunPodSandboxRequest) (_ *runtimeapi.RunPodSandboxResponse, err error) {
	config := req.GetConfig()
	if config.GetMetadata() == nil {
		return nil, errors.New("pod sandbox without metadata")
	}
	if req.RuntimeHandler != "" {
		return nil, fmt.Errorf("runtime handler %q is unknown: this node has only the default one", req.RuntimeHandler)
	}
	if s.cfg.BeforePod != nil {
		if err := s.cfg.BeforePod(); err != nil {
			return nil, err
		}
	}
	p := &podSandbox{id: newID(), config: config, handler: req.RuntimeHandler, created: time.Now(), resources: config.GetLinux().GetResources()}
	p.dir = filepath.Join(s.cfg.StateDir, "sandboxes", p.id)

	var done undo
	defer func() {
		if err != nil {
			err = errors.Join(err, done.run(ctx))
		}
	}()
	if err := os.Mkdir(p.dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the sandbox's folder: %w", err)
	}
	done.add(func(context.Context) error { return removeState(p.dir) })
	if dir := config.LogDirectory; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the log folder: %w", err)
		}
	}
	if err := p.writeFiles(); err != nil {
		return nil, err
	}
	if p.ns, err = newNamespaces(p.isolation()); err != nil {
		return nil, err
	}
	done.add(func(context.Context) error { return p.ns.close() })
	if err := p.makeShm(); err != nil {
		return nil, err
	}
	if p.namespaceOptions().Pid == runtimeapi.NamespaceMode_POD {
		p.pause, err = s.launch(ctx, command{role: "pause", spec: sandbox.Pause{PIDMax: s.pidMax()}, join: p.ns.join(), clone: unix.CLONE_NEWPID})
		if err != nil {
			return nil, err
		}
		done.add(func(context.Context) error { p.endPause(); return nil })
	}
	if p.ns.net != nil && s.cfg.Network != nil {
		done.add(func(ctx context.Context) error { return s.cfg.Network.Detach(ctx, p.id) })
		p.ips, err = s.cfg.Network.Attach(ctx, AttachRequest{
			SandboxID: p.id, NetNS: p.ns.netPath(),
			Namespace: config.Metadata.Namespace, Name: config.Metadata.Name, UID: config.Metadata.Uid,
		})
		if err != nil {
			return nil, fmt.Errorf("connect the pod: %w", err)
		}
		p.attached = true
	}
	p.ready = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, errors.New("the container runtime is shutting down")
	}
	s.sandboxes[p.id] = p
	s.publish(p.id, p, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	s.publish(p.id, p, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: p.id}, nil
}

func (p *podSandbox) isolation() isolation {
	opts := p.namespaceOptions()
	return isolation{
		net:      opts.Network != runtimeapi.NamespaceMode_NODE,
		uts:      opts.Network != runtimeapi.NamespaceMode_NODE,
		ipc:      opts.Ipc != runtimeapi.NamespaceMode_NODE,
		hostname: p.config.Hostname,
		sysctls:  p.config.GetLinux().GetSysctls(),
	}
}

// writeFiles writes what every container of the pod is shown in /etc.
func (p *podSandbox) writeFiles() error {
	hostname := p.config.Hostname
	if hostname == "" {
		var err error
		if hostname, err = os.Hostname(); err != nil {
			return fmt.Errorf("read the host name: %w", err)
		}
	}
	resolv, err := resolvConf(p.config.DnsConfig)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"hostname":    hostname + "\n",
		"hosts":       "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		"resolv.conf": resolv,
	} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the pod's /etc/%s: %w", name, err)
		}
	}
	return nil
}

// resolvConf renders resolv.conf(5). Without a configuration it is the node's.
func resolvConf(dns *runtimeapi.DNSConfig) (string, error) {
	if dns == nil {
		data, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("read the node's /etc/resolv.conf: %w", err)
		}
		return string(data), nil
	}
	var b strings.Builder
	if len(dns.Searches) > 0 {
		b.WriteString("search " + strings.Join(dns.Searches, " ") + "\n")
	}
	for _, server := range dns.Servers {
		b.WriteString("nameserver " + server + "\n")
	}
	if len(dns.Options) > 0 {
		b.WriteString("options " + strings.Join(dns.Options, " ") + "\n")
	}
	return b.String(), nil
}

// makeShm mounts what the pod's containers share as /dev/shm.
func (p *podSandbox) makeShm() error {
	if p.ns.ipc == nil {
		return nil // the node's
	}
	shm := filepath.Join(p.dir, "shm")
	if err := os.Mkdir(shm, 0o777|os.ModeSticky); err != nil {
		return fmt.Errorf("make the pod's /dev/shm: %w", err)
	}
	err := unix.Mount("shm", shm, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=64m")
	if err != nil {
		return fmt.Errorf("mount the pod's /dev/shm: %w", err)
	}
	p.mounted = true
	return nil
}

func (p *podSandbox) endPause() {
	if p.pause != nil {
		p.pause.kill()
		<-p.pause.exited
		p.pause.close()
	}
}
