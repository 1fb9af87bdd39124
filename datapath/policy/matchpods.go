package policy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/cilium/pkg/labels"
)

// What Config.CIDRMatch knows.
const (
	CIDRMatchPods  = "pods"
	CIDRMatchNodes = "nodes"
)

// CIDRsMatchPods says whether CIDRs select pods.
func (e *Engine) CIDRsMatchPods() bool { return slices.Contains(e.cfg.CIDRMatch, CIDRMatchPods) }

// CIDRsMatchNodes says whether CIDRs select the cluster's nodes.
func (e *Engine) CIDRsMatchNodes() bool { return slices.Contains(e.cfg.CIDRMatch, CIDRMatchNodes) }

// cidrLabels are the labels that a pod at these addresses has where CIDRs match pods:
// those of the CIDRs and CIDR groups that policies name and that contain it, or that
// of everything, as Cilium's endpoints have them (computeCIDRLabelsRLocked in its
// pkg/endpoint).
func (e *Engine) cidrLabels(addrs []netip.Addr) labels.Labels {
	out := labels.Labels{}
	for _, a := range addrs {
		within := false
		for _, l := range e.ipc.GetMetadataLabels(a) {
			if l.Source == labels.LabelSourceCIDR || l.Source == labels.LabelSourceCIDRGroup {
				out[l.GetExtendedKey()] = l
				within = within || l.Source == labels.LabelSourceCIDR
			}
		}
		if !within {
			everything := labels.ParseLabel("cidr:0.0.0.0/0")
			if a.Is6() {
				everything = labels.ParseLabel("cidr:::/0")
			}
			out[everything.GetExtendedKey()] = everything
		}
	}
	return out
}

// matchPods numbers pods anew after CIDRs came or went, where those match pods. The
// caller holds update.
func (e *Engine) matchPods(ctx context.Context) error {
	if !e.CIDRsMatchPods() {
		return nil
	}
	for uid, ep := range e.pods.all() {
		if err := e.identify(ctx, uid, ep); err != nil {
			return fmt.Errorf("label pod %s/%s by CIDRs: %w", ep.pod.Namespace, ep.pod.Name, err)
		}
	}
	return nil
}
