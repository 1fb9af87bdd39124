//go:build conformance

// Command agnhost is the part of Kubernetes' test image that the suites run in
// their pods, from the image's own code.
package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/kubernetes/test/images/agnhost/connect"
	"k8s.io/kubernetes/test/images/agnhost/dns"
	"k8s.io/kubernetes/test/images/agnhost/netexec"
	"k8s.io/kubernetes/test/images/agnhost/pause"
	"k8s.io/kubernetes/test/images/agnhost/porter"
	servehostname "k8s.io/kubernetes/test/images/agnhost/serve-hostname"
	testwebserver "k8s.io/kubernetes/test/images/agnhost/test-webserver"
)

func main() {
	root := &cobra.Command{Use: "agnhost"}
	root.AddCommand(connect.CmdConnect, netexec.CmdNetexec, pause.CmdPause, porter.CmdPorter,
		servehostname.CmdServeHostname, testwebserver.CmdTestWebserver,
		dns.CmdDNSSuffix, dns.CmdDNSServerList, dns.CmdEtcHosts)
	if root.Execute() != nil {
		os.Exit(1)
	}
}
