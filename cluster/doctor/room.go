package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
)

// Demand is what a lab asks of the machine that an embedded cluster runs on.
type Demand struct {
	Lab  string // its id
	Pods int
}

// What an embedded cluster takes, measured with 2 to 54 pods: some 500 MB of memory while
// it comes up, of which it gives back more than pods take; 27 MB of disk, and 0.3 MB a
// pod.
const (
	clusterMemory = 512 << 20
	podMemory     = 4 << 20
	clusterDisk   = 64 << 20
	podDisk       = 1 << 20
)

// Room says whether the machine has memory and disk for a cluster with a lab. What
// cannot be found out here is left out.
func Room(_ context.Context, cfg Config, d Demand) []Result {
	var results []Result
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if have, ok := available(text); ok {
			results = append(results, demanded("course-memory", "There is memory for the largest lab, "+d.Lab, have, clusterMemory+uint64(d.Pods)*podMemory,
				"end programs that take much of it, or use a machine with more"))
		}
	}
	if have, err := cfg.system().free(cfg.StateDir); err == nil {
		results = append(results, demanded("course-disk", "There is room on the disk for the largest lab, "+d.Lab, have, clusterDisk+uint64(d.Pods)*podDisk,
			"make room, or set NETDOJO_STATE_DIR to a folder on another disk"))
	}
	return results
}

// demanded compares what there is with what is needed: less is a failure, less than twice
// as much a warning.
func demanded(id, requirement string, have, need uint64, cure string) Result {
	r := Result{ID: id, Requirement: requirement, State: OK}
	if have >= 2*need {
		return r
	}
	r.State, r.Cure = Warning, cure
	if have < need {
		r.State = Failed
	}
	r.Cause = fmt.Sprintf("%d MB are free, of which the cluster takes some %d", have>>20, need>>20)
	return r
}

// available is the memory that programs may still take, in bytes, by the text of
// /proc/meminfo (proc_meminfo(5)).
func available(meminfo []byte) (uint64, bool) {
	for line := range bytes.Lines(meminfo) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(string(fields[1]), 10, 64)
		return kib << 10, err == nil
	}
	return 0, false
}
