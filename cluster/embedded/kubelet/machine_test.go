package kubelet

import (
	"runtime"
	"testing"
	"time"

	cadvisorv2 "github.com/google/cadvisor/info/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMachine(t *testing.T) {
	m, err := newMachine(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.MachineInfo()
	if err != nil {
		t.Fatal(err)
	}
	if info.NumCores != runtime.NumCPU() || info.MemoryCapacity < 1<<20 || info.BootID == "" {
		t.Errorf("the machine has %d cores, %d bytes, boot %q", info.NumCores, info.MemoryCapacity, info.BootID)
	}
	info.NumCores = 0
	if again, err := m.MachineInfo(); err != nil || again.NumCores == 0 {
		t.Error("what the kubelet writes into its copy is seen by others")
	}
	version, err := m.VersionInfo()
	if err != nil || version.KernelVersion == "" || version.ContainerOsVersion == "" {
		t.Errorf("the system is %+v, %v", version, err)
	}
	root, err := m.ContainerInfoV2("/", cadvisorv2.RequestOptions{})
	if err != nil || len(root["/"].Stats) == 0 {
		t.Errorf("the root container is %+v, %v", root, err)
	}
	disk := newContainerManager(m).GetCapacity(true)[corev1.ResourceEphemeralStorage]
	fs, err := m.RootFsInfo()
	if err != nil {
		t.Fatal(err)
	}
	if uint64(disk.Value()) != fs.Capacity || fs.Capacity == 0 || fs.Available > fs.Capacity {
		t.Errorf("ephemeral storage is %v of %+v", disk.Value(), fs)
	}
	if _, err := m.GetDirFsInfo("/does/not/exist"); err == nil {
		t.Error("a folder that does not exist has a file system")
	}
}

func TestIsReady(t *testing.T) {
	start := time.Date(2030, 1, 2, 3, 4, 5, 600e6, time.UTC)
	cond := func(status corev1.ConditionStatus, at time.Time) []corev1.NodeCondition {
		return []corev1.NodeCondition{
			{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, LastHeartbeatTime: metav1.NewTime(at)},
			{Type: corev1.NodeReady, Status: status, LastHeartbeatTime: metav1.NewTime(at)},
		}
	}
	for _, test := range []struct {
		name  string
		conds []corev1.NodeCondition
		want  bool
	}{
		{"a node that says nothing", nil, false},
		{"ready in the same second", cond(corev1.ConditionTrue, start.Truncate(time.Second)), true},
		{"ready from the last run", cond(corev1.ConditionTrue, start.Add(-time.Minute)), false},
		{"not ready", cond(corev1.ConditionFalse, start.Add(time.Second)), false},
		{"unknown", cond(corev1.ConditionUnknown, start.Add(time.Second)), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := &corev1.Node{Status: corev1.NodeStatus{Conditions: test.conds}}
			if got := isReady(n, start); got != test.want {
				t.Errorf("ready is %v", got)
			}
		})
	}
}
