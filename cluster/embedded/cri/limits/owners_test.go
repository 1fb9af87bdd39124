package limits

import (
	"slices"
	"testing"
)

// TestOwners: whose a process is, however it hides.
func TestOwners(t *testing.T) {
	table := map[int]process{}
	for pid, parent := range map[int]int{
		1: 0, 2: 1, // the node's
		10: 2, 11: 10, 12: 11, // a container's command and below; 12 has mounts of its own
		20: 2,        // executed in it
		30: 2, 31: 2, // another container's; 31 lost its parent and is in its mounts
		40: 2, 41: 40, 42: 40, // a pod's pause and two orphans
		50: 99, // its parent has just ended
	} {
		table[pid] = process{pid: pid, parent: parent}
	}
	mounts := map[int]uint64{10: 100, 11: 100, 12: 101, 20: 100, 30: 300, 31: 300, 41: 400, 42: 999}
	got := owners(table, []Container{
		{ID: "a", Pod: "a", Roots: []int{10, 20}, Mounts: 100},
		{ID: "b", Pod: "b", Roots: []int{30}, Mounts: 300},
		{ID: "c", Pod: "c", Roots: []int{60}, Pause: 40, Mounts: 401},
		{ID: "d", Pod: "c", Roots: []int{61}, Pause: 40, Mounts: 400},
	}, func(pid int) uint64 { return mounts[pid] })
	for id, want := range map[string][]int{"a": {10, 11, 12, 20}, "b": {30, 31}, "c": {42}, "d": {41}, "": nil} {
		var pids []int
		for _, p := range got[id] {
			pids = append(pids, p.pid)
		}
		slices.Sort(pids)
		if !slices.Equal(pids, want) {
			t.Errorf("%s has %v, want %v", id, pids, want)
		}
	}
}
