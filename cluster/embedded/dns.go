package embedded

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/netdojo/netdojo/manifests/builtin"
)

// DNSObjects implements cluster.DNSKeeper. What cluster DNS forwards to is in its
// configuration, which only the node knows.
func (h *handle) DNSObjects() ([]*unstructured.Unstructured, error) {
	objects, err := builtin.CoreDNS(builtin.CoreDNSConfig{Upstream: netip.AddrPortFrom(netip.IPv4Unspecified(), 53)})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(objects, func(u *unstructured.Unstructured) bool { return u.GetKind() == "ConfigMap" }), nil
}
