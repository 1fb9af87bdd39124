//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// homeOf is a home of one of users, with programs that it may run.
func homeOf(t *testing.T, w who, bin string) *home {
	t.Helper()
	state, err := os.MkdirTemp("", "netdojo-limits-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	if err := os.Chown(state, w.uid, w.gid); err != nil {
		t.Fatal(err)
	}
	h := newHome(t, filepath.Join(state, "state"))
	h.bin, h.env = bin, append(h.env, "HOME="+state, "KUBECONFIG="+filepath.Join(state, "kubeconfig"))
	if w.uid != os.Getuid() {
		h.as = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.gid)}
	}
	return h
}

// apply gives a manifest to the cluster.
func (h *home) apply(manifest string) result {
	h.t.Helper()
	c := h.command("kubectl", "apply", "-f", "-")
	c.Stdin = strings.NewReader(manifest)
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	return c.wait()
}

const greedyPods = `apiVersion: v1
kind: Pod
metadata: {name: fat}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: busybox, command: [sh, -c, "head -c 400M /dev/zero | tail"], resources: {limits: {memory: 64Mi, cpu: 500m}}}
---
apiVersion: v1
kind: Pod
metadata: {name: volume}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "head -c 100M /dev/zero >/v/f; sleep 60"]
    resources: {limits: {memory: 64Mi}}
    volumeMounts: [{name: v, mountPath: /v}]
  volumes: [{name: v, emptyDir: {medium: Memory}}]
---
apiVersion: v1
kind: Pod
metadata: {name: bomb}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: busybox, command: [sh, -c, "i=0; while [ $i -lt 2500 ]; do sleep 60 & i=$((i+1)); done"]}
---
apiVersion: v1
kind: Pod
metadata: {name: thrifty}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: busybox, command: [sleep, "600"], resources: {limits: {memory: 64Mi}}}
`

// refused are manifests that a cluster of baseline refuses, and a word of why.
var refused = map[string][2]string{
	"a pod with a hostPath": {`{apiVersion: v1, kind: Pod, metadata: {name: host}, spec: {containers: [{name: c, image: busybox}],
		volumes: [{name: h, hostPath: {path: /}}]}}`, `violates PodSecurity "baseline`},
	"a Service with externalIPs": {`{apiVersion: v1, kind: Service, metadata: {name: ext}, spec: {selector: {a: b}, externalIPs: [192.0.2.1], ports: [{port: 80}]}}`,
		"externalIPs"},
	"a namespace that allows more": {`{apiVersion: v1, kind: Namespace, metadata: {name: free, labels: {pod-security.kubernetes.io/enforce: privileged}}}`,
		"allows more than the cluster does"},
	"a pod in kube-system": {`{apiVersion: v1, kind: Pod, metadata: {name: host, namespace: kube-system}, spec: {containers: [{name: c, image: busybox}]}}`,
		"netdojo's alone"},
}

// TestLimits: pods are held to their limits and to the cluster's level, in
// clusters of root and of an ordinary user.
func TestLimits(t *testing.T) {
	bin := copyPrograms(t)
	for _, w := range users(t) {
		t.Run(w.name, func(t *testing.T) {
			h := homeOf(t, w, bin)
			h.must("up", "--pod-security", "baseline")
			t.Cleanup(func() { h.must("down", "--purge") })
			if r := h.apply(greedyPods); r.code != 0 {
				t.Fatal(r.stdout + r.stderr)
			}
			for what, m := range refused {
				if r := h.apply(m[0]); r.code == 0 || !strings.Contains(r.stderr, m[1]) {
					t.Errorf("%s: exit code %d, %s%s", what, r.code, r.stdout, r.stderr)
				}
			}
			h.oomKilled(t, "fat")
			h.oomKilled(t, "volume")
			eventually(t, "the restart of fat", 30*time.Second, func() bool { return h.pod("fat").ContainerStatuses[0].RestartCount > 0 })
			describe := h.must("kubectl", "describe", "pod", "fat")
			for _, want := range []string{"OOMKilled", "137"} {
				if !strings.Contains(describe, want) {
					t.Errorf("describe does not say %s:\n%s", want, describe)
				}
			}
			h.cpuIsTold(t, "fat")
			end := h.end("bomb")
			if end.ExitCode == 0 || end.Reason != "TooManyProcesses" && !strings.Contains(h.must("kubectl", "logs", "bomb"), "fork") {
				t.Errorf("the bomb ended with %+v", end)
			}
			if got := h.pod("thrifty"); got.Phase != corev1.PodRunning || got.ContainerStatuses[0].RestartCount > 0 {
				t.Errorf("who keeps its limits is %+v", got)
			}
			h.hubbleIsClosed(t, "thrifty")
			h.dnsIsShared(t)
		})
	}
}

// pod is a pod's status; it has a container's once the kubelet has seen it.
func (h *home) pod(name string) corev1.PodStatus {
	h.t.Helper()
	var pod corev1.Pod
	if err := json.Unmarshal([]byte(h.must("kubectl", "get", "pod", name, "-o", "json")), &pod); err != nil {
		h.t.Fatal(err)
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		pod.Status.ContainerStatuses = make([]corev1.ContainerStatus, 1)
	}
	return pod.Status
}

// end is how a pod's container ended last.
func (h *home) end(name string) *corev1.ContainerStateTerminated {
	h.t.Helper()
	var end *corev1.ContainerStateTerminated
	eventually(h.t, name+" ends", 60*time.Second, func() bool {
		st := h.pod(name).ContainerStatuses[0]
		if end = st.State.Terminated; end == nil {
			end = st.LastTerminationState.Terminated
		}
		return end != nil
	})
	return end
}

func (h *home) oomKilled(t *testing.T, name string) {
	t.Helper()
	if end := h.end(name); end.Reason != "OOMKilled" || end.ExitCode != 137 {
		t.Errorf("%s ended with %+v", name, end)
	}
}

// cpuIsTold: no control group was given to this cluster, and an event says what
// that means.
func (h *home) cpuIsTold(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the event of "+name, 20*time.Second, func() bool {
		return strings.Contains(h.must("kubectl", "get", "events", "--field-selector", "involvedObject.name="+name), "CPULimitNotEnforced")
	})
}

const dnsPods = `apiVersion: v1
kind: Pod
metadata: {name: crowd, labels: {app: backend}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, command: [sleep, "600"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: asker, labels: {app: backend}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, command: [sleep, "600"]}]}
`

// dnsIsShared: a pod that holds 740 connections of the DNS proxy leaves some to others.
func (h *home) dnsIsShared(t *testing.T) {
	t.Helper()
	policy, err := filepath.Abs(solution)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	if r := h.apply(dnsPods + "---\n" + string(b)); r.code != 0 {
		t.Fatal(r.stdout + r.stderr)
	}
	h.must("kubectl", "wait", "--for=condition=Ready", "pod/crowd", "pod/asker", "--timeout=120s")
	// The question is for kubernetes.io, of 31 bytes; the answer's length is read.
	const ask = `exec 3<>/dev/tcp/10.96.0.10/53; printf '\0\37\1\2\1\0\0\1\0\0\0\0\0\0\12kubernetes\2io\0\0\1\0\1' >&3; timeout 5 head -c 2 <&3 | wc -c`
	asked := func(pod string) string {
		return strings.TrimSpace(h.run("kubectl", "exec", pod, "--", "bash", "-c", ask).stdout)
	}
	eventually(t, "an answer by TCP", 30*time.Second, func() bool { return asked("asker") == "2" })
	h.must("kubectl", "exec", "crowd", "--", "bash", "-c",
		`(for i in $(seq 740); do exec {fd}<>/dev/tcp/10.96.0.10/53; done; touch /tmp/held; sleep 60) >/dev/null 2>&1 &
		while ! [ -e /tmp/held ]; do sleep .1; done`)
	if got := asked("asker"); got != "2" {
		t.Errorf("while another pod holds 740 connections: %s bytes of an answer's length", got)
	}
	if got := asked("crowd"); got == "2" {
		t.Error("the crowd gets one more: the test holds none of its connections")
	}
}

// hubbleIsClosed: a pod reaches the node's API, and not the flows of all pods.
func (h *home) hubbleIsClosed(t *testing.T, name string) {
	t.Helper()
	dial := func(port int) result {
		return h.run("kubectl", "exec", name, "--", "timeout", "5", "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/192.168.77.2/%d", port))
	}
	if r := dial(6443); r.code != 0 {
		t.Errorf("the API: %s", r.stderr)
	}
	if r := dial(9962); r.code == 0 || !strings.Contains(r.stderr, "refused") {
		t.Errorf("a pod reads the agent's metrics: exit code %d %s", r.code, r.stderr)
	}
	if r := dial(4244); r.code == 0 || !strings.Contains(r.stderr, "refused") {
		t.Errorf("Hubble's port: exit code %d, %s", r.code, r.stderr)
	}
}
