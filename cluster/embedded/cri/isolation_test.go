//go:build linux

package cri

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestWhatAContainerSees(t *testing.T) {
	n := startNode(t)
	volume := filepath.Join(n.dir, "volume")
	if err := os.MkdirAll(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(volume, "key"), []byte("value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	security := func(change func(*runtimeapi.LinuxContainerSecurityContext)) func(*runtimeapi.ContainerConfig) {
		return func(c *runtimeapi.ContainerConfig) { change(c.Linux.SecurityContext) }
	}
	mount := func(m *runtimeapi.Mount) func(*runtimeapi.ContainerConfig) {
		return func(c *runtimeapi.ContainerConfig) { m.HostPath = volume; c.Mounts = append(c.Mounts, m) }
	}
	seccomp := func(kind runtimeapi.SecurityProfile_ProfileType) func(*runtimeapi.ContainerConfig) {
		return security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.Seccomp = &runtimeapi.SecurityProfile{ProfileType: kind}
			s.Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"SYS_PTRACE"}}
		})
	}
	const capBnd = "grep CapBnd /proc/self/status | tr -d '\\t'"
	for _, tc := range []struct {
		name, script, want string
		change             func(*runtimeapi.ContainerConfig)
	}{
		{"own processes", "tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-5; echo $$", "sh -c\n1", nil},
		{"its own root", "cat /etc/os-release | head -1; stat -c %a /tmp", "NAME=\"netdojo stand-in\"\n1777", nil},
		{"host name", "hostname; cat /etc/hostname; echo $HOSTNAME", "once\nonce\nonce", nil},
		{"resolv.conf", "cat /etc/resolv.conf", "search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5", nil},
		{"loopback only", "ls /sys/class/net", "lo", nil},
		{"ash is there", "/bin/ash -c 'echo $0'", "/bin/ash", nil},
		{"default capabilities", capBnd, "CapBnd:00000000a80425fb", nil},
		{"all dropped", capBnd, "CapBnd:0000000000000000", security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}}
		})},
		{"all dropped, one added", capBnd, "CapBnd:0000000000000400", security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
		})},
		{"one dropped", capBnd, "CapBnd:00000000a80405fb", security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"NET_RAW"}}
		})},
		{"no new privileges", "grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1", security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.NoNewPrivs = true })},
		{"root is writable", "echo x > /file && cat /file && mkdir -p /usr/share/more && rm -r /etc/os-release && echo ok", "x\nok", nil},
		{"read-only root", "touch /file 2>/dev/null || echo refused", "refused", security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.ReadonlyRootfs = true })},
		{"sys is read-only", "touch /sys/x 2>/dev/null || echo refused", "refused", nil},
		{"proc/sys is read-only", "echo x 2>/dev/null > /proc/sys/kernel/hostname || echo refused", "refused", nil},
		{"masked", "wc -c < /proc/timer_list | tr -d ' '; ls /sys/firmware | wc -l | tr -d ' '", "0\n0", nil},
		{"dev", "ls /dev | tr '\\n' ' '; echo x > /dev/null; head -c 3 /dev/zero | wc -c | tr -d ' '", "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero 3", nil},
		{"stdout by name", "echo x > /dev/stdout", "x", nil},
		{"shared memory", "echo x > /dev/shm/f && stat -c %a /dev/shm", "1777", nil},
		{"volume", "cat /vol/deep/key; echo y > /vol/deep/new; cat /vol/deep/new", "value\ny", mount(&runtimeapi.Mount{ContainerPath: "/vol/deep"})},
		{"read-only volume", "cat /vol/key; touch /vol/x 2>/dev/null || echo refused", "value\nrefused", mount(&runtimeapi.Mount{ContainerPath: "/vol", Readonly: true})},
		{"volume below a link of the image", "cat /usr/lib/netdojo-vol/key", "value", mount(&runtimeapi.Mount{ContainerPath: "/lib/netdojo-vol"})},
		{"working folder is made", "pwd", "/a/b", func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/a/b" }},
		{"environment", "echo $A-$HOME", "1-/root", func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte("1")}}
		}},
		{"unconfined", "grep Seccomp: /proc/self/status | tr -d '\\t'", "Seccomp:0", seccomp(runtimeapi.SecurityProfile_Unconfined)},
		{"default seccomp", "grep Seccomp: /proc/self/status | tr -d '\\t'; unshare -U true 2>/dev/null || echo refused; (sleep 0 & wait); echo ok", "Seccomp:2\nrefused\nok", seccomp(runtimeapi.SecurityProfile_RuntimeDefault)},
		{"privileged", "mount -t tmpfs x /mnt && touch /mnt/x && echo mounted; [ -e /proc/timer_list ] && echo seen", "mounted\nseen", security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.Privileged = true })},
		{"group of the user", "id -u; id -g", "0\n0", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n.t = t
			if got := n.shell(tc.script, tc.change); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	n.t = t
}

func TestUsers(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	as := func(uid int64, groups ...int64) func(*runtimeapi.ContainerConfig) {
		return func(c *runtimeapi.ContainerConfig) {
			c.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: uid}
			c.Linux.SecurityContext.SupplementalGroups = groups
		}
	}
	if len(n.server.svc.ids.uids) == 1 && n.server.svc.ids.uids[0].size == 1 {
		_, err := n.create(podID, pod, "main", []string{"id"}, as(1000))
		if err == nil || !strings.Contains(err.Error(), "user 1000 is not mapped") || !strings.Contains(err.Error(), "/etc/subuid") {
			t.Errorf("an unmapped user: %v", err)
		}
		_, err = n.create(podID, pod, "main", []string{"id"}, as(0, 2000))
		if err == nil || !strings.Contains(err.Error(), "group 2000 is not mapped") {
			t.Errorf("an unmapped group: %v", err)
		}
		return
	}
	got := n.shell("id -u; id -g; id -G; cat /proc/self/status | grep CapEff | tr -d '\\t'", as(1000, 2000))
	if got != "1000\n0\n0 2000\nCapEff:0000000000000000" {
		t.Errorf("as a user: %q", got)
	}
	got = n.shell("id -un; echo $HOME", func(c *runtimeapi.ContainerConfig) { c.Linux.SecurityContext.RunAsUsername = "curl_user" })
	if got != "curl_user\n/home/curl_user" {
		t.Errorf("by name: %q", got)
	}
	id := n.run(podID, pod, "sleeper", []string{"sleep", "100"}, as(1000, 2000))
	if out, _, _ := n.execSync(id, "id", "-u"); out != "1000\n" {
		t.Errorf("exec runs as %q", out)
	}
	if u := n.state(id).User.Linux; u.Uid != 1000 || u.Gid != 0 || len(u.SupplementalGroups) != 2 {
		t.Errorf("status tells %v", u)
	}
}

func TestCommandsThatCannotStart(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	for name, tc := range map[string]struct {
		command []string
		want    string
	}{
		"missing":  {[]string{"no-such-program"}, `exec: "no-such-program": executable file not found in $PATH`},
		"path":     {[]string{"/no/such"}, `exec: "/no/such": no such file or directory`},
		"folder":   {[]string{"/etc"}, `exec: "/etc": is a directory`},
		"not exec": {[]string{"/etc/passwd"}, `exec: "/etc/passwd": permission denied`},
	} {
		id, err := n.create(podID, pod, strings.ReplaceAll(name, " ", "-"), tc.command, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		st := n.state(id)
		if st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.ExitCode != 128 || st.Reason != "StartError" {
			t.Errorf("%s: %v", name, st)
		}
	}
	_, err := n.create(podID, pod, "unknown", nil, func(c *runtimeapi.ContainerConfig) { c.Image.Image = "example.invalid/none:1" })
	if status.Code(err) != codes.NotFound {
		t.Errorf("unknown image: %v", err)
	}
}

func TestPodNamespaces(t *testing.T) {
	n := startNode(t)
	shared := func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
	}
	podID, pod := n.pod("shared", shared)
	a := n.run(podID, pod, "a", []string{"sh", "-c", "echo x > /dev/shm/both; sleep 1001 & exec sleep 1000"}, nil)
	b := n.run(podID, pod, "b", []string{"sleep", "1002"}, nil)
	n.eventually("both to see each other", func() bool {
		out, _, _ := n.execSync(b, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /dev/shm/both")
		return strings.Contains(out, "sleep 1001") && strings.Contains(out, "sleep 1002") && strings.Contains(out, "pause") && strings.HasSuffix(out, "x\n")
	})
	if _, err := n.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: a}); err != nil {
		t.Fatal(err)
	}
	out, _, _ := n.execSync(b, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
	if strings.Contains(out, "sleep 1001") {
		t.Errorf("a stopped container left processes: %s", out)
	}

	targetPod, cfg := n.pod("debugged", nil)
	target := n.run(targetPod, cfg, "main", []string{"sleep", "1003"}, nil)
	debug := n.run(targetPod, cfg, "debugger", []string{"sleep", "1004"}, func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: target}
	})
	if out, _, _ := n.execSync(debug, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"); out != "sleep 1003 " {
		t.Errorf("a debugger sees %q as the first process", out)
	}

	hostPod, cfg := n.pod("host", func(c *runtimeapi.PodSandboxConfig) {
		c.Hostname = ""
		c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE}
	})
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	host := n.run(hostPod, cfg, "main", []string{"sleep", "1005"}, nil)
	if out, _, _ := n.execSync(host, "readlink", "/proc/self/ns/net"); strings.TrimSpace(out) != own {
		t.Errorf("a pod on the node's network is in %s, not in %s", out, own)
	}
	st, err := n.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: hostPod})
	if err != nil || st.Status.Network.Ip != "" {
		t.Errorf("address of a pod on the node's network: %v, %v", st, err)
	}
}
