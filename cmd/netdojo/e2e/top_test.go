//go:build linux

package e2e

import (
	"regexp"
	"testing"
	"time"
)

// TestTop: `kubectl top` tells what the node, and a pod that works, use.
func TestTop(t *testing.T) {
	h, _ := sharedCluster(t)
	if r := h.apply(`{apiVersion: v1, kind: Pod, metadata: {name: works, namespace: default}, spec: {terminationGracePeriodSeconds: 0,
		containers: [{name: c, image: busybox, command: [sh, -c, "while :; do :; done"]}]}}`); r.code != 0 {
		t.Fatal(r.stderr)
	}
	defer h.must("kubectl", "-n", "default", "delete", "pod", "works", "--now")
	h.must("kubectl", "-n", "default", "wait", "--for=condition=Ready", "pod/works", "--timeout=120s")
	for _, tc := range []struct {
		what string
		args []string
		want string
	}{
		{"the node's use", []string{"node"}, `netdojo +[1-9]\d*m +\d+% +[1-9]\d*Mi +\d+%`},
		{"the pod's", []string{"pod", "works", "-n", "default", "--containers"}, `works +c +[1-9]\d*m +\d+Mi`},
	} {
		eventually(t, tc.what, 30*time.Second, func() bool {
			r := h.run(append([]string{"kubectl", "top"}, tc.args...)...)
			return r.code == 0 && regexp.MustCompile(tc.want).MatchString(r.stdout)
		})
	}
}
