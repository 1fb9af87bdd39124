package kubelet

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	cadvisorapi "github.com/google/cadvisor/info/v1"
	cadvisorv2 "github.com/google/cadvisor/info/v2"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/volume"
)

// machine tells the kubelet what cadvisor would: the machine's capacity and its
// file systems. It watches no cgroups; containers' usage comes over CRI.
type machine struct {
	root string // the file system that counts as the node's disk
	info cadvisorapi.MachineInfo
	os   cadvisorapi.VersionInfo
}

var _ cadvisor.Interface = (*machine)(nil)

func newMachine(root string) (*machine, error) {
	memory, swap, err := memoryBytes()
	if err != nil {
		return nil, err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("uname: %w", err)
	}
	m := &machine{root: root}
	m.info = cadvisorapi.MachineInfo{
		Timestamp:        time.Now(),
		NumCores:         runtime.NumCPU(),
		NumPhysicalCores: runtime.NumCPU(),
		NumSockets:       1,
		MemoryCapacity:   memory,
		SwapCapacity:     swap,
		MachineID:        firstLine("/etc/machine-id"),
		SystemUUID:       firstLine("/sys/class/dmi/id/product_uuid"),
		BootID:           firstLine("/proc/sys/kernel/random/boot_id"),
	}
	m.os = cadvisorapi.VersionInfo{
		KernelVersion:      unix.ByteSliceToString(u.Release[:]),
		ContainerOsVersion: osName(),
	}
	return m, nil
}

func (m *machine) Start() error { return nil }

// MachineInfo returns a copy: the kubelet writes into it.
func (m *machine) MachineInfo() (*cadvisorapi.MachineInfo, error) {
	return m.info.Clone(), nil
}

func (m *machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	v := m.os
	return &v, nil
}

// ContainerInfoV2 knows the root container only, as one without statistics: the
// node's summary is built on it.
func (m *machine) ContainerInfoV2(name string, _ cadvisorv2.RequestOptions) (map[string]cadvisorv2.ContainerInfo, error) {
	if name != "/" {
		return map[string]cadvisorv2.ContainerInfo{}, nil
	}
	return map[string]cadvisorv2.ContainerInfo{"/": {
		Spec:  cadvisorv2.ContainerSpec{CreationTime: m.info.Timestamp},
		Stats: []*cadvisorv2.ContainerStats{{Timestamp: time.Now()}},
	}}, nil
}

func (m *machine) GetRequestedContainersInfo(string, cadvisorv2.RequestOptions) (map[string]*cadvisorapi.ContainerInfo, error) {
	return map[string]*cadvisorapi.ContainerInfo{}, nil
}

func (m *machine) ImagesFsInfo(context.Context) (cadvisorv2.FsInfo, error)    { return fsInfo(m.root) }
func (m *machine) RootFsInfo() (cadvisorv2.FsInfo, error)                     { return fsInfo(m.root) }
func (m *machine) ContainerFsInfo(context.Context) (cadvisorv2.FsInfo, error) { return fsInfo(m.root) }
func (m *machine) GetDirFsInfo(path string) (cadvisorv2.FsInfo, error)        { return fsInfo(path) }

func fsInfo(path string) (cadvisorv2.FsInfo, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return cadvisorv2.FsInfo{}, fmt.Errorf("stat file system of %s: %w", path, err)
	}
	block := uint64(s.Bsize)
	inodes, free := s.Files, s.Ffree
	return cadvisorv2.FsInfo{
		Timestamp:  time.Now(),
		Device:     "disk",
		Mountpoint: path,
		Capacity:   s.Blocks * block,
		Available:  s.Bavail * block,
		Usage:      (s.Blocks - s.Bfree) * block,
		Inodes:     &inodes,
		InodesFree: &free,
	}, nil
}

// memoryBytes reads the machine's memory and swap.
func memoryBytes() (memory, swap uint64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	found := map[string]uint64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if kb, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
			found[strings.TrimSuffix(fields[0], ":")] = kb << 10
		}
	}
	if found["MemTotal"] == 0 {
		return 0, 0, fmt.Errorf("/proc/meminfo has no MemTotal")
	}
	return found["MemTotal"], found["SwapTotal"], nil
}

// firstLine is empty when the file cannot be read: the node's identifiers are
// optional, and some are readable by root only.
func firstLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

func osName() string {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "Linux"
}

// containerManager manages no cgroups. It only knows how large the disk is.
type containerManager struct {
	cm.ContainerManager
	machine *machine
}

func newContainerManager(m *machine) cm.ContainerManager {
	return &containerManager{ContainerManager: cm.NewStubContainerManager(), machine: m}
}

// GetCapacity is the disk as ephemeral storage, so that pods may ask for some.
func (c *containerManager) GetCapacity(bool) corev1.ResourceList {
	fs, err := c.machine.RootFsInfo()
	if err != nil {
		return corev1.ResourceList{}
	}
	return corev1.ResourceList{
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(fs.Capacity), resource.BinarySI),
	}
}

// noDynamicPlugins finds no volume plugin on disk.
type noDynamicPlugins struct{}

func (noDynamicPlugins) Init() error                                  { return nil }
func (noDynamicPlugins) Probe() (events []volume.ProbeEvent, _ error) { return nil, nil }
