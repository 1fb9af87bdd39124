//go:build linux

package cri

import (
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestContainerLife(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sh", "-c", "echo hello; echo oops >&2; printf part; trap 'exit 3' TERM; while :; do sleep 0.1; done"}, nil)
	n.eventually("output", func() bool { return strings.Contains(n.logs(id), "oops") })
	st := n.state(id)
	if st.State != runtimeapi.ContainerState_CONTAINER_RUNNING || st.StartedAt == 0 || st.FinishedAt != 0 {
		t.Errorf("status while running: %v", st)
	}
	if !strings.HasPrefix(st.ImageRef, "netdojo-stand-in/busybox@sha256:") || st.Image.Image != "docker.io/library/busybox:latest" {
		t.Errorf("image %q, ref %q", st.Image.Image, st.ImageRef)
	}
	if _, err := n.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 10}); err != nil {
		t.Fatal(err)
	}
	st = n.state(id)
	if st.ExitCode != 3 || st.Reason != "Error" || st.FinishedAt < st.StartedAt {
		t.Errorf("status after stop: %v", st)
	}
	if got, want := n.logs(id), "stdout F hello\nstderr F oops\nstdout P part\n"; got != want {
		// The streams are two pipes: their order is not fixed.
		if len(got) != len(want) {
			t.Errorf("log %q, want %q", got, want)
		}
	}
	ip, err := n.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: podID})
	if err != nil || ip.Status.Network.Ip != "10.244.0.2" || len(ip.Status.Network.AdditionalIps) != 1 || ip.Status.Network.AdditionalIps[0].Ip != "fd00:10:244::2" || len(ip.ContainersStatuses) != 1 {
		t.Errorf("sandbox %v, %v", ip, err)
	}
	if len(n.standIns) != 1 || n.standIns[0].Pod != "web" || n.standIns[0].Image != "busybox" {
		t.Errorf("announced: %v", n.standIns)
	}
}

func TestExitCodes(t *testing.T) {
	n := startNode(t)
	for _, tc := range []struct {
		script string
		code   int32
		reason string
	}{
		{"exit 0", 0, "Completed"},
		{"exit 7", 7, "Error"},
		{"sh -c 'kill -9 $$'; exit $?", 137, "Error"},
	} {
		_, st := n.output([]string{"sh", "-c", tc.script}, nil)
		if st.ExitCode != tc.code || st.Reason != tc.reason {
			t.Errorf("%q: %d %s, want %d %s", tc.script, st.ExitCode, st.Reason, tc.code, tc.reason)
		}
	}
}

func TestExec(t *testing.T) {
	n := startNode(t)
	podID, pod := n.pod("web", nil)
	id := n.run(podID, pod, "main", []string{"sleep", "1000"}, nil)
	out, errs, code := n.execSync(id, "sh", "-c", "echo out; echo err >&2; exit 28")
	if out != "out\n" || errs != "err\n" || code != 28 {
		t.Errorf("exec: %q %q %d", out, errs, code)
	}
	if out, _, _ := n.execSync(id, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '; hostname; readlink /proc/self"); !strings.HasPrefix(out, "sleep 1000 web\n") {
		t.Errorf("exec sees %q", out)
	}
	_, err := n.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"no-such-program"}})
	if err == nil || !strings.Contains(err.Error(), `exec: "no-such-program": executable file not found in $PATH`) {
		t.Errorf("missing program: %v", err)
	}
	_, err = n.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "20"}, Timeout: 1})
	if err == nil || !strings.Contains(err.Error(), "DeadlineExceeded") {
		t.Errorf("timeout: %v", err)
	}
}
