package builtin

import (
	"cmp"
	_ "embed"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo"
)

// CiliumVersion is the version of Cilium whose policy engine and tools netdojo
// links, without its v.
var CiliumVersion = strings.TrimPrefix(netdojo.Cilium, "v")

// CiliumImage has cilium-dbg and hubble; only a stand-in is called so.
var CiliumImage = "netdojo.dev/cilium:" + netdojo.Cilium

const (
	// CiliumDir is the node's folder with the datapath's sockets, which the pods
	// see as /var/run/cilium.
	CiliumDir = "/run/cilium"

	// ManagedByLabel says of the DaemonSet by ManagedBy that it is not real Cilium's.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "netdojo"

	// HubblePort is where the datapath serves Hubble's observer, on the loopback of
	// each node.
	HubblePort = 4244
	// MetricsPort is where the datapath serves Prometheus, on the loopback of each node.
	MetricsPort = 9962
)

//go:embed cilium.yaml
var ciliumText string

// CiliumSettings are those of a cluster's settings that Cilium's tools ask for.
type CiliumSettings struct {
	IPv6      bool   // beside IPv4
	CIDRMatch string // what CIDRs select beside the outside: pods, nodes, with a comma between
	DNSReject string // refused or nameError
	// Node is where the relay runs: the node whose log has all nodes' flows. Empty is
	// wherever the scheduler puts it.
	Node string
}

// Cilium returns the objects by which courses reach Cilium's tools, and the tools find
// out about the cluster: the DaemonSet cilium, in whose pods `cilium-dbg` and `hubble`
// answer, the Deployment and the Service hubble-relay, the ConfigMap cilium-config and the
// ClusterRole cilium. Nothing depends on them: the datapath is the node's own.
func Cilium(s CiliumSettings) ([]*unstructured.Unstructured, error) {
	objects, err := render(ciliumText, map[string]any{
		"Image": CiliumImage, "Dir": CiliumDir, "Port": HubblePort, "Metrics": MetricsPort,
		"IPv6": s.IPv6, "Node": s.Node, "CIDRMatch": s.CIDRMatch, "DNSReject": cmp.Or(s.DNSReject, "refused"),
	})
	if err != nil {
		return nil, fmt.Errorf("the cilium pod: %w", err)
	}
	return objects, nil
}
