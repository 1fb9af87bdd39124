package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// served are the commands that the datapath answers, by their path below the root.
var served = map[string]bool{
	"completion": true, "help": true, "status": true, "version": true, "monitor": true,
	"endpoint get": true, "endpoint health": true, "endpoint labels": true, "endpoint list": true,
	"fqdn cache list": true, "fqdn names": true,
	"identity get": true, "identity list": true,
	"ip get": true, "ip list": true,
	"metrics list": true, "node list": true,
	"policy get": true, "policy selectors": true, "policy subject-selectors": true, "policy wait": true,
	"service list": true,
}

// reasons say of the others, by their path or the beginning of it, why not and what
// to use instead. The longest that fits counts.
var reasons = map[string]string{
	"":                       "netdojo's datapath does not serve it",
	"bgp":                    "netdojo's datapath speaks no BGP",
	"bpf":                    "netdojo's datapath has no BPF maps: it is nftables and a verdict for each connection",
	"bpf ct":                 "netdojo's datapath has no BPF maps: connections are in the kernel's conntrack table; what became of them is in `hubble observe`",
	"bpf endpoint":           "netdojo's datapath has no BPF maps: use `cilium-dbg endpoint list`",
	"bpf ipcache":            "netdojo's datapath has no BPF maps: use `cilium-dbg ip list`",
	"bpf lb":                 "netdojo's datapath has no BPF maps: use `cilium-dbg service list`",
	"bpf policy":             "netdojo's datapath has no BPF maps: use `cilium-dbg endpoint get ID`, or `netdojo explain` outside of the pod",
	"config":                 "netdojo's datapath has none of Cilium's options",
	"encrypt":                "netdojo's datapath encrypts nothing",
	"endpoint config":        "netdojo's endpoints have no options",
	"endpoint log":           "netdojo's datapath keeps no log of each endpoint: use `hubble observe`",
	"endpoint disconnect":    "delete the pod instead",
	"envoy":                  "netdojo judges HTTP by a proxy of its own: there is no Envoy",
	"fqdn cache clean":       "names end by their TTL here; delete the pod to forget them at once",
	"kvstore":                "netdojo's clusters have no key-value store of Cilium's",
	"map":                    "netdojo's datapath has no BPF maps",
	"post-uninstall-cleanup": "`netdojo down` leaves nothing behind",
	"preflight":              "there is no Cilium here to upgrade",
	"sysdump":                "use `netdojo doctor` outside of the pod",
}

// refuse replaces every command below root that is not served by a refusal, and
// says so in the lists of help.
func refuse(root *cobra.Command) {
	for _, c := range root.Commands() {
		refuseBelow(c, c.Name())
	}
}

// refuseBelow says whether path or anything below it is served.
func refuseBelow(c *cobra.Command, path string) (any bool) {
	any = served[path]
	for _, sub := range c.Commands() {
		if refuseBelow(sub, path+" "+sub.Name()) {
			any = true
		}
	}
	if any {
		return true // a group that only lists its commands goes on doing so
	}
	c.Short += " (not in netdojo)"
	c.DisableFlagParsing = true
	c.Args = cobra.ArbitraryArgs
	c.PersistentPreRun, c.PersistentPreRunE, c.PreRun, c.PreRunE, c.RunE = nil, nil, nil, nil, nil
	c.Run = func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "Error: %s: %s\n", cmd.CommandPath(), reason(path))
		exit(1)
	}
	return false
}

var exit = os.Exit // replaced by tests

func reason(path string) string {
	for {
		if why, ok := reasons[path]; ok {
			return why
		}
		i := strings.LastIndexByte(path, ' ')
		if i < 0 {
			return reasons[""]
		}
		path = path[:i]
	}
}
