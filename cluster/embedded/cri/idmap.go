//go:build linux

package cri

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// idRange is a line of /proc/PID/uid_map.
type idRange struct{ inside, outside, size int64 }

// idMaps are the ids that this process's user namespace has.
type idMaps struct {
	uids, gids []idRange
	setgroups  bool // supplementary groups may be set
}

func readIDMaps() (idMaps, error) {
	var m idMaps
	var err error
	if m.uids, err = readIDMap("/proc/self/uid_map"); err != nil {
		return m, err
	}
	if m.gids, err = readIDMap("/proc/self/gid_map"); err != nil {
		return m, err
	}
	deny, err := os.ReadFile("/proc/self/setgroups")
	m.setgroups = err != nil || !strings.HasPrefix(string(deny), "deny")
	return m, nil
}

func readIDMap(path string) ([]idRange, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the user namespace: %w", err)
	}
	defer f.Close()
	var ranges []idRange
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r idRange
		if _, err := fmt.Sscan(lines.Text(), &r.inside, &r.outside, &r.size); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func mapped(ranges []idRange, id int64) bool {
	for _, r := range ranges {
		if id >= r.inside && id < r.inside+r.size {
			return true
		}
	}
	return false
}

// inUserNamespace tells the machine's own user namespace from one of ours.
func (m idMaps) inUserNamespace() bool {
	return len(m.uids) != 1 || m.uids[0] != idRange{0, 0, 1<<32 - 1}
}

// UnmappedIDError is a user or group that the cluster's user namespace lacks.
type UnmappedIDError struct {
	Kind string // user or group
	ID   int64
}

func (e *UnmappedIDError) Error() string {
	return fmt.Sprintf("%s %d is not mapped in this cluster's user namespace", e.Kind, e.ID)
}

// Cure says how to get more ids.
func (e *UnmappedIDError) Cure() string {
	return "give your account subordinate ids (install the package uidmap and add a line USER:100000:65536 to /etc/subuid and /etc/subgid), then `netdojo down` and `netdojo up`"
}

func (m idMaps) check(uid, gid int64, groups []int64) error {
	if !mapped(m.uids, uid) {
		return &UnmappedIDError{"user", uid}
	}
	for _, g := range append([]int64{gid}, groups...) {
		if !mapped(m.gids, g) {
			return &UnmappedIDError{"group", g}
		}
	}
	return nil
}
