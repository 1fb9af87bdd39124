package metricsapi

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/stat: USER_HZ is 100 everywhere.
const clockTick = 10 * time.Millisecond

// Machine reads what the machine uses from its /proc folder: all CPU time but what is
// idle, and all memory but what is available (proc_stat(5), proc_meminfo(5)).
func Machine(proc string) (Use, error) {
	var u Use
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return u, fmt.Errorf("read the machine's CPU time: %w", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	// cpu user nice system idle iowait irq softirq steal; guests are in user.
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return u, fmt.Errorf("read the machine's CPU time: %q", line)
	}
	for i, f := range fields[1:9] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("read the machine's CPU time: %w", err)
		}
		const idle, iowait, steal = 3, 4, 7
		if i != idle && i != iowait && i != steal {
			u.CPU += time.Duration(ticks) * clockTick
		}
	}
	u.Memory, err = memory(proc + "/meminfo")
	return u, err
}

func memory(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read the machine's memory: %w", err)
	}
	defer f.Close()
	kib := map[string]uint64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if name != "MemTotal" && name != "MemAvailable" {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the machine's memory: %w", err)
		}
		kib[name] = n
	}
	if kib["MemTotal"] == 0 || kib["MemAvailable"] > kib["MemTotal"] {
		return 0, fmt.Errorf("read the machine's memory: %s says %v", path, kib)
	}
	return (kib["MemTotal"] - kib["MemAvailable"]) << 10, nil
}
