//go:build linux

package cri

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// oomScore is what a container's score for the kernel's out-of-memory killer is
// raised by. Kubernetes ranks the pods of a node by it, the small ones without
// requests first, for a node whose memory is the pods'. Here it is the user's
// machine's: whatever takes it all, be it a browser or a compiler, the kernel
// would end the lab's little pods before it, one by one, and gain nothing.
func oomScore(asked int64) int { return int(min(asked, 0)) }

// oomKills is how many processes the kernel has ended since it started because
// memory had run out; 0 where it does not tell.
func oomKills() int {
	data, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if string(name) == "oom_kill" {
			n, _ := strconv.Atoi(string(value))
			return n
		}
	}
	return 0
}

// endReason names how a container ended. Nobody but the node can kill the
// command of a container, so that a kill which the node did not ask for is the
// kernel's when that has killed for memory meanwhile.
func endReason(code int, killedByUs, memoryRanOut bool) string {
	switch {
	case code == 0:
		return "Completed"
	case code == 128+int(unix.SIGKILL) && !killedByUs && memoryRanOut:
		return "OOMKilled"
	}
	return "Error"
}
