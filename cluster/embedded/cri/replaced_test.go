//go:build linux

package cri

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestReplacedProgram has the file of a stand-in's program replaced on the host
// while it is bound into the node, as a build replaces it.
func TestReplacedProgram(t *testing.T) {
	needsNamespaces(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	host, bound := filepath.Join(dir, "host"), filepath.Join(dir, "bound")
	if err := copyFile(self, host); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(host, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bound, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(host, bound, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(bound, 0); err != nil {
			t.Error(err)
		}
	})
	n := startNodeWith(t, bound)
	serve := func(name string) {
		podID, pod := n.pod(name, nil)
		id := n.run(podID, pod, "main", nil, func(c *runtimeapi.ContainerConfig) {
			c.Image = &runtimeapi.ImageSpec{Image: "docker.io/cilium/json-mock:1.2"}
		})
		st, err := n.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})
		if err != nil || st.Status.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Errorf("%s: %v, %v", name, st.GetStatus(), err)
		}
	}
	serve("before")
	if err := os.Remove(host); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte("of another build"), 0o755); err != nil {
		t.Fatal(err)
	}
	serve("after")
	serve("again")
}
