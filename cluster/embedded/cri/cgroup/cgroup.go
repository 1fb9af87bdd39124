//go:build linux

// Package cgroup keeps containers' limits by the kernel's control groups, where
// this node has been given some: version 1, where the node's own group can be
// written, and version 2, where its controllers are delegated and nobody but the
// node is in the group.
package cgroup

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"
)

// Controllers that are used.
const (
	Memory = "memory"
	CPU    = "cpu"
	PIDs   = "pids"
)

var controllers = []string{Memory, CPU, PIDs}

// prefix begins the names of the groups of nodes.
const prefix = "netdojo-"

// Limits are those of one container; 0 is none.
type Limits struct {
	Memory    int64 // bytes
	CPUQuota  int64 // µs of each period
	CPUPeriod uint64
	PIDs      int64
}

func (l Limits) resources() *cgroups.Resources {
	return &cgroups.Resources{Memory: l.Memory, CpuQuota: l.CPUQuota, CpuPeriod: l.CPUPeriod, PidsLimit: &l.PIDs}
}

// Groups are a node's control groups.
type Groups struct {
	dir    string            // where the hierarchies are mounted
	mounts []string          // in order
	own    map[string]string // by controller: the node's group, which holds the containers'
	two    bool              // version 2: all of own are the same folder
}

// Open mounts below dir what control groups this node has and makes its own in
// them. Without any it returns nil: limits have to be kept otherwise.
func Open(dir string) (*Groups, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("read the node's control groups: %w", err)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	name := prefix + hex.EncodeToString(random[:])
	g := &Groups{dir: dir, own: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 || parts[2] != "/" {
			continue // without a cgroup namespace of its own, other groups are not the node's business
		}
		set := strings.Split(parts[1], ",")
		if parts[0] == "0" {
			g.openTwo(name)
		} else if slices.ContainsFunc(set, func(c string) bool { return slices.Contains(controllers, c) }) {
			g.openOne(name, parts[1], set)
		}
	}
	if len(g.own) == 0 {
		return nil, g.Close()
	}
	return g, nil
}

// Has tells whether groups have a controller.
func (g *Groups) Has(controller string) bool { return g != nil && g.own[controller] != "" }

func (g *Groups) mount(kind, name, options string) (string, bool) {
	at := filepath.Join(g.dir, name)
	if os.MkdirAll(at, 0o700) != nil || unix.Mount("cgroup", at, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options) != nil {
		return "", false
	}
	g.mounts = append(g.mounts, at)
	return at, true
}

// openOne takes a hierarchy of version 1. The node's process goes into its own
// group: what sweeps sees that it is in use.
func (g *Groups) openOne(name, options string, set []string) {
	at, ok := g.mount("cgroup", strings.ReplaceAll(options, ",", "-"), options)
	if !ok {
		return
	}
	sweep(at)
	own := filepath.Join(at, name)
	if os.Mkdir(own, 0o755) != nil {
		return
	}
	if cgroups.WriteCgroupProc(own, os.Getpid()) != nil {
		_ = os.Remove(own) // it is empty
		return
	}
	for _, c := range controllers {
		if slices.Contains(set, c) && g.own[c] == "" {
			g.own[c] = own
		}
	}
}

// openTwo takes the hierarchy of version 2. A group with processes gives its
// children no controllers: the node's move into one of their own, and where others
// are in the group, which the kernel shows as process 0, it is not the node's.
func (g *Groups) openTwo(name string) {
	at, ok := g.mount("cgroup2", "unified", "")
	if !ok {
		return
	}
	// The machine's root group has no type, and is not to be emptied.
	if _, err := os.Stat(filepath.Join(at, "cgroup.type")); err != nil {
		return
	}
	text, err := cgroups.ReadFile(at, "cgroup.controllers")
	if err != nil {
		return
	}
	var wanted []string
	for _, c := range controllers {
		if slices.Contains(strings.Fields(text), c) && g.own[c] == "" {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return
	}
	sweep(at)
	own := filepath.Join(at, name)
	leaf := filepath.Join(own, "node")
	if os.MkdirAll(leaf, 0o755) != nil {
		return
	}
	if err := errors.Join(moveAll(at, leaf), enable(at, wanted), enable(own, wanted)); err != nil {
		_ = moveAll(leaf, at) // as it was; a group that stays is swept later
		_ = removeAll(own)
		return
	}
	g.two = true
	for _, c := range wanted {
		g.own[c] = own
	}
}

// moveAll moves the processes of a group into another.
func moveAll(from, to string) error {
	pids, err := cgroups.GetPids(from)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid == 0 {
			return errors.New("the group has processes that are not the node's")
		}
		if err := cgroups.WriteCgroupProc(to, pid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func enable(dir string, list []string) error {
	return cgroups.WriteFile(dir, "cgroup.subtree_control", "+"+strings.Join(list, " +"))
}

// Group is a container's.
type Group struct {
	groups *Groups
	id     string
	dirs   []string // each once
}

// New makes a group; its limits are set by Set.
func (g *Groups) New(id string) (*Group, error) {
	group := &Group{groups: g, id: id}
	for _, own := range slices.Compact(slices.Sorted(maps.Values(g.own))) {
		dir := filepath.Join(own, id)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make a control group: %w", err), group.Close())
		}
		group.dirs = append(group.dirs, dir)
	}
	return group, nil
}

func (g *Group) dir(controller string) string {
	own := g.groups.own[controller]
	if own == "" {
		return ""
	}
	return filepath.Join(own, g.id)
}

// Set gives the group limits. It fails when more memory is in use than the limit,
// and the kernel can take nothing back.
func (g *Group) Set(l Limits) error {
	r := l.resources()
	var err error
	if g.groups.two {
		var m *fs2.Manager
		if m, err = fs2.NewManager(&cgroups.Cgroup{Resources: r}, g.dirs[0]); err == nil {
			err = m.Set(r)
		}
		if dir := g.dir(Memory); err == nil && dir != "" {
			// One process that is ended for memory ends the container, as in Kubernetes.
			err = cgroups.WriteFile(dir, "memory.oom.group", "1")
		}
	} else {
		for _, s := range []interface {
			Name() string
			Set(path string, r *cgroups.Resources) error
		}{&fs.MemoryGroup{}, &fs.CpuGroup{}, &fs.PidsGroup{}} {
			if dir := g.dir(s.Name()); dir != "" {
				err = errors.Join(err, s.Set(dir, r))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("set a control group's limits: %w", err)
	}
	return nil
}

// Enter moves the calling thread into the group, and with it what it forks. The
// thread has to end after that. In version 2 it does nothing: FD does.
func (g *Group) Enter() error {
	if g.groups.two {
		return nil
	}
	for _, dir := range g.dirs {
		if err := cgroups.WriteFile(dir, "tasks", fmt.Sprint(unix.Gettid())); err != nil {
			return fmt.Errorf("enter a control group: %w", err)
		}
	}
	return nil
}

// FD opens the group for a fork into it, in version 2; nil in version 1.
func (g *Group) FD() (*os.File, error) {
	if !g.groups.two {
		return nil, nil
	}
	return os.Open(g.dirs[0])
}

// OOMKills is how many of the group's processes the kernel ended for memory.
func (g *Group) OOMKills() uint64 {
	dir, file := g.dir(Memory), "memory.oom_control"
	if dir == "" {
		return 0
	}
	if g.groups.two {
		file = "memory.events"
	}
	text, err := cgroups.ReadFile(dir, file)
	if err != nil {
		return 0
	}
	var n uint64
	for line := range strings.Lines(text) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			_, _ = fmt.Sscan(count, &n) // no number counts nothing
		}
	}
	return n
}

// Close removes the group, whose processes have to be gone.
func (g *Group) Close() error {
	var errs []error
	for _, dir := range g.dirs {
		errs = append(errs, cgroups.RemovePath(dir))
	}
	return errors.Join(errs...)
}

// Close gives the node's groups back.
func (g *Groups) Close() error {
	var errs []error
	for _, own := range slices.Compact(slices.Sorted(maps.Values(g.own))) {
		from := own
		if g.two {
			from = filepath.Join(own, "node")
			_ = cgroups.WriteFile(own, "cgroup.subtree_control", "-"+strings.Join(controllers, " -"))
			for _, c := range controllers {
				_ = cgroups.WriteFile(filepath.Dir(own), "cgroup.subtree_control", "-"+c) // those that were on
			}
		}
		errs = append(errs, moveAll(from, filepath.Dir(own)), removeAll(own))
	}
	for _, at := range slices.Backward(g.mounts) {
		errs = append(errs, unix.Unmount(at, unix.MNT_DETACH), os.Remove(at))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("give the control groups back: %w", err)
	}
	return nil
}

// sweep removes groups that a node which was killed has left: those of nodes
// without any process.
func sweep(hierarchy string) {
	left, err := filepath.Glob(filepath.Join(hierarchy, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if pids, err := cgroups.GetAllPids(dir); err == nil && len(pids) == 0 {
			_ = removeAll(dir) // another node may be doing the same
		}
	}
}

// removeAll removes a group and the empty ones in it.
func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}
