//go:build linux

// Command runcfit runs runc for a host that cannot grant all that container
// managers ask for, such as one without CAP_SYS_RESOURCE. It takes out of a
// container's configuration what the host lacks, and adds nothing: capabilities
// outside the bounding set and, without CAP_SYS_RESOURCE, a negative OOM score
// and limits above the present ones. On an ordinary host it changes nothing.
//
// $RUNCFIT_RUNC names the runc; without it, it is looked for in the usual places.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/netdojo/netdojo/cluster/embedded/cri/sandbox"
)

func main() {
	host, err := examine()
	if err == nil {
		for _, f := range configurations(os.Args[1:]) {
			err = fit(f, host)
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		// runc says better than this program what is wrong with a configuration.
		fmt.Fprintln(os.Stderr, "runcfit:", err)
	}
	runc, err := find()
	if err == nil {
		err = syscall.Exec(runc, append([]string{runc}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "runcfit:", err)
	os.Exit(1)
}

// find is the real runc: never this program under its name.
func find() (string, error) {
	if runc := os.Getenv("RUNCFIT_RUNC"); runc != "" {
		return runc, nil
	}
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	for _, path := range []string{"/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"} {
		if info, err := os.Stat(path); err == nil && !os.SameFile(info, self) {
			return path, nil
		}
	}
	return "", fmt.Errorf("find runc: it is in none of the usual folders")
}

// limits are what the host can grant.
type limits struct {
	bounding uint64 // a bit a capability
	resource bool   // CAP_SYS_RESOURCE is among them
}

func examine() (limits, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return limits{}, fmt.Errorf("read the bounding set: %w", err)
	}
	_, rest, found := strings.Cut(string(status), "\nCapBnd:")
	line, _, _ := strings.Cut(rest, "\n")
	bounding, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if !found || err != nil {
		return limits{}, fmt.Errorf("read the bounding set: /proc/self/status has none")
	}
	l := limits{bounding: bounding}
	l.resource = l.has("CAP_SYS_RESOURCE")
	return l, nil
}

// has says whether a capability can be granted. One that this program does not
// know is left to runc.
func (l limits) has(capability string) bool {
	i := slices.Index(sandbox.Capabilities, strings.ToUpper(capability))
	return i < 0 || l.bounding&(1<<uint(i)) != 0
}

// configuration is a file that tells runc what to start.
type configuration struct {
	path    string
	process bool // it is a process alone, not a bundle's config.json
}

// configurations are the files that a command line of runc's refers to.
func configurations(args []string) []configuration {
	creates, execs := false, false
	bundle, process := "", ""
	for i, arg := range args {
		next := ""
		if i+1 < len(args) {
			next = args[i+1]
		}
		flag, value, inOne := strings.Cut(arg, "=")
		if !inOne {
			value = next
		}
		switch flag {
		case "create", "run", "restore":
			creates = creates || !execs
		case "exec":
			execs = execs || !creates
		case "--bundle", "-b":
			bundle = value
		case "--process", "-p":
			process = value
		}
	}
	switch {
	case creates:
		return []configuration{{path: filepath.Join(bundle, "config.json")}}
	case execs && process != "":
		return []configuration{{path: process, process: true}}
	}
	return nil
}

// fit rewrites a configuration, fields that it does not know included.
func fit(c configuration, host limits) error {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("read a container's configuration: %w", err)
	}
	var whole map[string]any
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber() // 64-bit limits are no float64
	if err := in.Decode(&whole); err != nil {
		return fmt.Errorf("read %s: %w", c.path, err)
	}
	process := whole
	if !c.process {
		process, _ = whole["process"].(map[string]any)
	}
	host.fit(process)
	if data, err = json.Marshal(whole); err != nil {
		return fmt.Errorf("write %s: %w", c.path, err)
	}
	return os.WriteFile(c.path, data, 0o600)
}

func (l limits) fit(process map[string]any) {
	sets, _ := process["capabilities"].(map[string]any)
	for name, set := range sets {
		list, _ := set.([]any)
		sets[name] = slices.DeleteFunc(list, func(c any) bool {
			capability, isText := c.(string)
			return isText && !l.has(capability)
		})
	}
	if l.resource {
		return
	}
	if score, ok := process["oomScoreAdj"].(json.Number); ok && strings.HasPrefix(score.String(), "-") {
		process["oomScoreAdj"] = 0
	}
	rlimits, _ := process["rlimits"].([]any)
	for _, entry := range rlimits {
		if limit, ok := entry.(map[string]any); ok {
			lower(limit)
		}
	}
}

// resources are the numbers of limits on x86 and ARM, see getrlimit(2).
var resources = []string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
	"RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
	"RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

// lower brings a limit down to what this process has.
func lower(limit map[string]any) {
	kind, _ := limit["type"].(string)
	var have syscall.Rlimit
	if i := slices.Index(resources, kind); i < 0 || syscall.Getrlimit(i, &have) != nil {
		return
	}
	for _, key := range []string{"soft", "hard"} {
		n, _ := limit[key].(json.Number)
		if want, err := strconv.ParseUint(n.String(), 10, 64); err == nil && want > have.Max {
			limit[key] = json.Number(strconv.FormatUint(have.Max, 10))
		}
	}
}
