package builtin

import (
	_ "embed"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// CiliumVersion is the version of Cilium whose policy engine and tools netdojo
	// links; a test holds it against the module.
	CiliumVersion = "1.20.2"

	// CiliumImage has cilium-dbg and hubble; only a stand-in is called so.
	CiliumImage = "netdojo.dev/cilium:v" + CiliumVersion

	// CiliumDir is the node's folder with the datapath's sockets, which the pods
	// see as /var/run/cilium.
	CiliumDir = "/run/cilium"

	// ManagedByLabel says of the DaemonSet by ManagedBy that it is not real Cilium's.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "netdojo"

	// HubblePort is where the datapath serves Hubble's observer on each node.
	HubblePort = 4244
)

//go:embed cilium.yaml
var ciliumText string

// Cilium returns the objects by which courses reach Cilium's tools: the DaemonSet
// cilium, in whose pods `cilium-dbg` and `hubble` answer, and the Service
// hubble-relay. Nothing depends on them: the datapath is the node's own.
func Cilium() ([]*unstructured.Unstructured, error) {
	objects, err := render(ciliumText, map[string]any{"Image": CiliumImage, "Dir": CiliumDir, "Port": HubblePort})
	if err != nil {
		return nil, fmt.Errorf("the cilium pod: %w", err)
	}
	return objects, nil
}
