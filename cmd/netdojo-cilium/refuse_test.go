package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	dbg "github.com/cilium/cilium/cilium-dbg/cmd"
)

// runnable maps the path of every command that does something to itself.
func runnable(root *cobra.Command) map[string]*cobra.Command {
	out := map[string]*cobra.Command{}
	var walk func(c *cobra.Command, path string)
	walk = func(c *cobra.Command, path string) {
		for _, sub := range c.Commands() {
			p := strings.TrimSpace(path + " " + sub.Name())
			if sub.Runnable() {
				out[p] = sub
			}
			walk(sub, p)
		}
	}
	walk(root, "")
	return out
}

// TestRefuse: of Cilium's own commands, those that are served are left as they are,
// and every other one ends with a refusal that names it.
func TestRefuse(t *testing.T) {
	status := 0
	exit = func(code int) { status = code }
	before := runnable(dbg.RootCmd)
	for path := range served {
		if before[path] == nil && path != "help" { // cobra adds that one late
			t.Errorf("cilium-dbg has no command %q", path)
		}
	}
	for path := range reasons {
		if c, rest, err := dbg.RootCmd.Find(strings.Fields(path)); path != "" && (err != nil || len(rest) > 0 || c == dbg.RootCmd) {
			t.Errorf("cilium-dbg has no command %q to refuse", path)
		}
	}
	refuse(dbg.RootCmd)
	for path, words := range map[string]string{
		"bpf lb list --frontends": "cilium-dbg bpf lb list: netdojo's datapath has no BPF maps: use `cilium-dbg service list`",
		"config":                  "cilium-dbg config: netdojo's datapath has none of Cilium's options",
		"envoy admin clusters":    "there is no Envoy",
		"cgroups list":            "does not serve it",
	} {
		status = 0
		var out bytes.Buffer
		dbg.RootCmd.SetErr(&out)
		dbg.RootCmd.SetArgs(strings.Fields(path))
		if err := dbg.RootCmd.Execute(); err != nil || status != 1 || !strings.Contains(out.String(), words) {
			t.Errorf("%s: exit %d, %v: %s", path, status, err, out.String())
		}
	}
	for path, c := range runnable(dbg.RootCmd) {
		if group := strings.HasPrefix(path, "fqdn") && c.HasSubCommands(); !served[path] && !group && !strings.HasSuffix(c.Short, "(not in netdojo)") {
			t.Errorf("%s is neither served nor refused", path)
		}
	}
}
