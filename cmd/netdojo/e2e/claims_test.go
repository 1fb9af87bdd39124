//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestClaims: a claim without a class gets a volume that outlives its pod, and goes with
// the claim.
func TestClaims(t *testing.T) {
	h, _ := sharedCluster(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	claim := write("claim.yaml", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data},
  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`)
	pod := write("pod.yaml", `{apiVersion: v1, kind: Pod, metadata: {name: writer}, spec: {containers: [{name: c, image: curlimages/curl, command: [sleep, "1000"],
  volumeMounts: [{name: data, mountPath: /data}]}], volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]}}`)
	defer h.run("kubectl", "delete", "--ignore-not-found", "--now", "pod/writer", "pvc/data")
	run := func(command string) string {
		h.must("kubectl", "apply", "-f", pod)
		h.must("kubectl", "wait", "--for=condition=Ready", "pod/writer", "--timeout=120s")
		out := h.must("kubectl", "exec", "writer", "--", "sh", "-c", command)
		h.must("kubectl", "delete", "pod", "writer", "--now")
		return out
	}
	h.must("kubectl", "apply", "-f", claim)
	run("id -u; echo kept > /data/file")
	if got := run("cat /data/file"); got != "kept\n" {
		t.Errorf("the next pod reads %q", got)
	}
	h.must("kubectl", "delete", "pvc", "data")
	eventually(t, "the volume is gone with its claim", 30*time.Second, func() bool {
		return h.must("kubectl", "get", "pv", "-o", "name") == ""
	})
}
