package ruleset

import (
	"fmt"
	"os"
	"strings"
)

// PrepareNode sets the sysctls that the table counts on, in the calling
// thread's network namespace, with those of IPv6 where pods have it. /proc/sys has
// to be writable.
func PrepareNode(ipv6 bool) error {
	sysctls := []struct{ name, value string }{
		{"net.ipv4.ip_forward", "1"},
		// The table binds a pod's source address to its link. The kernel's own
		// check would drop replies that a transparent proxy waits for.
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
	}
	if ipv6 {
		sysctls = append(sysctls, struct{ name, value string }{"net.ipv6.conf.all.forwarding", "1"})
	}
	for _, s := range sysctls {
		if err := SetSysctl(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

// SetSysctl writes a sysctl unless it has the value already.
func SetSysctl(name, value string) error {
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set sysctl %s: %w", name, err)
	}
	return nil
}
