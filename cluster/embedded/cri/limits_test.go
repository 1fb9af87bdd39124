//go:build linux

package cri

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/netdojo/netdojo/cluster/embedded/cri/cgroup"
)

const mib = 1 << 20

// hog starts a hog under limits of a container's memory and of its pod's. The
// returned function removes its pod.
func (n *node) hog(t *testing.T, limit, podLimit int64, change func(*runtimeapi.ContainerConfig), args ...string) (id string, remove func()) {
	t.Helper()
	name := "hog-" + newID()[:8]
	podID, pod := n.pod(name, func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: podLimit}
	})
	id = n.run(podID, pod, "hog", append([]string{"/hog", "hog"}, args...), func(c *runtimeapi.ContainerConfig) {
		c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: n.helper, ContainerPath: "/hog", Readonly: true})
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: limit}
		if change != nil {
			change(c)
		}
	})
	return id, func() {
		if _, err := n.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: podID}); err != nil {
			t.Error(err)
		}
	}
}

// hogging is hog, until the hog has ended.
func (n *node) hogging(t *testing.T, limit, podLimit int64, change func(*runtimeapi.ContainerConfig), args ...string) (string, *runtimeapi.ContainerStatus) {
	t.Helper()
	id, remove := n.hog(t, limit, podLimit, change, args...)
	defer remove()
	st := n.ended(id)
	return n.logs(id), st
}

// spared waits until containers that said so have what they wanted, and until they were
// looked at: until others that are over a limit were ended, two of them one after the
// other, for a look may find such a one before these. They have to run on.
func (n *node) spared(t *testing.T, says string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		n.eventually("a container's memory", func() bool { return strings.Contains(n.logs(id), says) })
	}
	for range 2 {
		if text, st := n.hogging(t, 64*mib, 64*mib, nil, "memory", "200"); st.Reason != ReasonOOMKilled {
			t.Fatalf("one over its limit ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, text)
		}
	}
	for _, id := range ids {
		if st := n.state(id); st.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("one within its limit ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, n.logs(id))
		}
	}
}

// TestMemoryLimit: who takes more than the limit ends as OOMKilled, whatever kind of
// memory it is; who stays below is left alone. How soon is TestGrowthIsSeenAtOnce's.
func TestMemoryLimit(t *testing.T) {
	n := startNode(t)
	for name, tc := range map[string]struct {
		kind            string
		take            int
		limit, podLimit int64
	}{
		"over":           {"memory", 1000, 64 * mib, 64 * mib},
		"over the pod's": {"memory", 1000, 900 * mib, 64 * mib},
		"without a name": {"memfd", 300, 64 * mib, 64 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			text, st := n.hogging(t, tc.limit, tc.podLimit, nil, tc.kind, fmt.Sprint(tc.take))
			if st.ExitCode != 137 || st.Reason != ReasonOOMKilled || !strings.Contains(st.Message, "64 MiB") {
				t.Errorf("ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, text)
			}
		})
	}
	t.Run("within", func(t *testing.T) {
		var within []string
		for _, tc := range []struct {
			kind, take string
			limit      int64
		}{{"memory", "40", 64 * mib}, {"memory", "100", 0}, {"memfd", "20", 64 * mib}} { // without a limit the pod's is the sum of others'
			id, remove := n.hog(t, tc.limit, 64*mib, nil, tc.kind, tc.take)
			defer remove()
			within = append(within, id)
		}
		n.spared(t, "took", within...)
	})
}

// TestSharedMemoryCountsOnce: five processes with the same 40 MiB have 40 MiB.
func TestSharedMemoryCountsOnce(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("shared", nil)
	const script = `x=$(head -c 40000000 /dev/zero | tr '\0' a)
		for i in 1 2 3 4 5; do (sleep 600; : ) & done; echo up ${#x}; wait`
	id := n.run(podID, pod, "c", []string{"sh", "-c", script}, func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 150 * mib}
	})
	n.spared(t, "up 40000000", id)
}

// TestVolumeInMemoryCounts: files in an emptyDir of medium Memory are memory of
// the containers that mount it, each its part.
func TestVolumeInMemoryCounts(t *testing.T) {
	n := startNode(t)
	for name, tc := range map[string]struct {
		size, limit int64 // MiB
		killed      bool
	}{"over": {100, 64, true}, "below": {40, 64, false}} {
		t.Run(name, func(t *testing.T) {
			podID, pod := n.pod("volume-"+name, nil)
			dir := filepath.Join(n.dir, "kubelet/pods/uid-volume-"+name+"/volumes/kubernetes.io~empty-dir/v")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=150m"); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}()
			fill := fmt.Sprintf("head -c %d /dev/zero >/v/f && echo took && exec sleep 600", tc.size*mib)
			id := n.run(podID, pod, "c", []string{"sh", "-c", fill}, func(c *runtimeapi.ContainerConfig) {
				c.Mounts = append(c.Mounts, &runtimeapi.Mount{HostPath: dir, ContainerPath: "/v"})
				c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: tc.limit * mib}
			})
			if !tc.killed {
				n.spared(t, "took", id)
				return
			}
			if st := n.ended(id); st.Reason != ReasonOOMKilled {
				t.Errorf("ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, n.logs(id))
			}
		})
	}
}

// TestUpdatedLimit: a container is held to a limit that it is given later.
func TestUpdatedLimit(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("later", nil)
	id := n.run(podID, pod, "c", []string{"sh", "-c", `x=$(head -c 50000000 /dev/zero | tr '\0' a); echo up; sleep 600`}, func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 400 * mib}
	})
	n.eventually("the container's memory", func() bool { return strings.Contains(n.logs(id), "up") })
	_, err := n.UpdateContainerResources(t.Context(), &runtimeapi.UpdateContainerResourcesRequest{
		ContainerId: id, Linux: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 20 * mib}})
	if err != nil {
		t.Fatal(err)
	}
	if st := n.ended(id); st.Reason != "OOMKilled" {
		t.Errorf("ended with %d %s", st.ExitCode, st.Reason)
	}
}

// TestForkBomb: a pod has so many processes and no more, by its PID namespace's
// own bound, or by being ended where the kernel has no such bound.
func TestForkBomb(t *testing.T) {
	shared := func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
	}
	t.Run("bounded", func(t *testing.T) {
		if !pidMaxPerNamespace() {
			return // the others are about such a kernel
		}
		n := startNode(t)
		podID, pod := n.pod("numbers", nil)
		id := n.run(podID, pod, "c", []string{"cat", "/proc/sys/kernel/pid_max"}, nil)
		if st, got := n.ended(id), strings.TrimSpace(n.logs(id)); !strings.HasSuffix(got, strconv.Itoa(podProcesses+reservedPIDs)) {
			t.Errorf("the pod's processes have numbers up to %q (%d %s)", got, st.ExitCode, st.Reason)
		}
		// The kernel refuses one too many, unless who counts was faster.
		text, st := n.hogging(t, 0, 0, nil, "processes", "20000")
		var had int
		_, refused, _ := strings.Cut(text, "refused after ")
		if _, err := fmt.Sscanf(refused, "%d", &had); st.Reason != ReasonTooManyProcs && (err != nil || had > podProcesses+reservedPIDs || had < 500) {
			t.Errorf("ended with %d %s: %s", st.ExitCode, st.Reason, text)
		}
	})
	for name, change := range map[string]func(*runtimeapi.ContainerConfig){"counted": nil, "in the node's PID namespace": shared} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(reapOrphans) // after the node has ended
			n := startNodeWithConfig(t, func(c *Config) { c.sharedPIDMax = true })
			text, st := n.hogging(t, 0, 0, change, "processes", "2000")
			if st.ExitCode != 137 || st.Reason != ReasonTooManyProcs || !strings.Contains(st.Message, "may have 1024") {
				t.Errorf("ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, text)
			}
			if len(n.told()) != 1 || n.told()[0].Reason != ReasonTooManyProcs {
				t.Errorf("told: %+v", n.told())
			}
		})
	}
}

// reapOrphans does what PID 1 of a node does: with their parent killed, the
// processes of a hog are these tests' children.
func reapOrphans() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			return
		}
	}
}

// TestUnkeptLimitIsTold: once for a pod, however many containers it has.
func TestUnkeptLimitIsTold(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("cpu", nil)
	for _, name := range []string{"a", "b"} {
		_, err := n.create(podID, pod, name, []string{"true"}, func(c *runtimeapi.ContainerConfig) {
			c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuQuota: 50000, CpuPeriod: 100000}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if told := n.told(); len(told) != 1 || told[0].Reason != ReasonCPULimitNotKept || told[0].Pod != "cpu" || told[0].Container != "a" {
		t.Errorf("told: %+v", told)
	}
	other, pod := n.pod("nocpu", nil)
	n.run(other, pod, "c", []string{"true"}, nil)
	if told := n.told(); len(told) != 1 {
		t.Errorf("told of a pod without a limit: %+v", told)
	}
}

// TestKernelKeepsLimits: where there are control groups they keep the limits, and
// nothing of them is left.
func TestKernelKeepsLimits(t *testing.T) {
	groups, err := cgroup.Open(filepath.Join(t.TempDir(), "groups"))
	if err != nil {
		t.Fatal(err)
	}
	if groups == nil {
		return // nobody gave this node any: TestMemoryLimit and TestForkBomb are about that
	}
	t.Cleanup(func() { // after the node has ended
		if err := groups.Close(); err != nil {
			t.Error(err)
		}
	})
	n := startNodeWithConfig(t, func(c *Config) { c.Groups, c.sharedPIDMax = groups, true })
	text, st := n.hogging(t, 64*mib, 64*mib, func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources.CpuQuota, c.Linux.Resources.CpuPeriod = 50000, 100000
	}, "memory", "400")
	if st.ExitCode != 137 || st.Reason != "OOMKilled" || groups.Has(cgroup.Memory) && st.Message != "" {
		t.Errorf("ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, text)
	}
	text, st = n.hogging(t, 0, 0, nil, "processes", "3000")
	if groups.Has(cgroup.PIDs) && (st.ExitCode != 0 || !strings.Contains(text, "refused")) {
		t.Errorf("ended with %d %s (%s): %s", st.ExitCode, st.Reason, st.Message, text)
	}
	if told := n.told(); groups.Has(cgroup.CPU) && len(told) != 0 {
		t.Errorf("told: %+v", told)
	}
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.14.0-27-generic": true, "6.18.44-fc": true, "7.0": true,
		"6.13.9": false, "5.15.0-1": false, "odd": false, "": false,
	} {
		if got := atLeast(release, 6, 14); got != want {
			t.Errorf("%q: %t", release, got)
		}
	}
}
