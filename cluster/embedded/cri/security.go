//go:build linux

package cri

import (
	"fmt"
	"slices"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
	"github.com/netdojo/netdojo/cluster/embedded/cri/seccomp"
)

// defaultCapabilities are those that container runtimes leave a container.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// restrict says what the container may do.
func (s *service) restrict(c *container, spec *sandbox.Container) error {
	lin := c.config.GetLinux()
	sec := lin.GetSecurityContext()
	if sec.GetPrivileged() {
		spec.Capabilities = []string{sandbox.AllCapabilities}
	} else {
		spec.Capabilities = capabilities(sec.GetCapabilities())
		spec.MaskedPaths = sec.GetMaskedPaths()
		spec.ReadOnlyPaths = sec.GetReadonlyPaths()
		filter, err := seccompFilter(sec, spec.Capabilities)
		if err != nil {
			return fmt.Errorf("seccomp profile: %w", err)
		}
		spec.Seccomp = filter
	}
	if lin.GetResources() != nil {
		adj := oomScore(lin.Resources.OomScoreAdj)
		spec.OOMScoreAdj = &adj
	}
	return nil
}

// capabilities applies what a pod adds and drops to the default set. ALL in
// either list is the whole set; what is added by name outlives a dropped ALL.
func capabilities(asked *runtimeapi.Capability) []string {
	set := slices.Clone(defaultCapabilities)
	add, drop := capNames(asked.GetAddCapabilities()), capNames(asked.GetDropCapabilities())
	if slices.Contains(add, sandbox.AllCapabilities) {
		if len(drop) == 0 {
			return []string{sandbox.AllCapabilities}
		}
		set = slices.Clone(sandbox.Capabilities)
	}
	if slices.Contains(drop, sandbox.AllCapabilities) {
		set = nil
	}
	for _, a := range add {
		if a != sandbox.AllCapabilities && !slices.Contains(set, a) {
			set = append(set, a)
		}
	}
	return slices.DeleteFunc(set, func(c string) bool { return slices.Contains(drop, c) })
}

func capNames(list []string) []string {
	var out []string
	for _, name := range list {
		name = strings.ToUpper(name)
		if name != sandbox.AllCapabilities && !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		out = append(out, name)
	}
	return out
}

// seccompFilter assembles the container's profile; nil is unconfined.
func seccompFilter(sec *runtimeapi.LinuxContainerSecurityContext, caps []string) ([]byte, error) {
	p := sec.GetSeccomp()
	switch {
	case p == nil || p.ProfileType == runtimeapi.SecurityProfile_Unconfined:
		return nil, nil
	case p.ProfileType == runtimeapi.SecurityProfile_RuntimeDefault:
		return seccomp.Default(caps)
	default:
		return seccomp.File(p.LocalhostRef, caps)
	}
}
