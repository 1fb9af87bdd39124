package policy

import (
	"context"
	"fmt"
	"maps"
	"net/netip"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/k8s/utils"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/source"

	"github.com/netdojo/netdojo/policies"
)

// SetCIDRGroup tells the prefixes and labels of a CiliumCIDRGroup and returns
// when policies that name it judge by them. Prefixes that do not parse are left
// out and named in the error.
func (e *Engine) SetCIDRGroup(ctx context.Context, g *ciliumv2.CiliumCIDRGroup) error {
	prefixes := map[netip.Prefix]struct{}{}
	var bad error
	for i, c := range g.Spec.ExternalCIDRs {
		p, err := netip.ParsePrefix(string(c))
		if err != nil {
			bad = policies.Invalid(fmt.Errorf("CiliumCIDRGroup %s: spec.externalCIDRs[%d]: %w", g.Name, i, err))
			continue
		}
		prefixes[p.Masked()] = struct{}{}
	}
	lbls := labels.Labels{}
	for k, v := range utils.RemoveCiliumLabels(g.Labels) {
		l := labels.NewLabel(k, v, labels.LabelSourceCIDRGroup)
		lbls[l.Key] = l
		enc := labels.EncodedCIDRGroupLabel(l.Key, l.Value, l.Source)
		lbls[enc.Key] = enc
	}
	ref := api.LabelForCIDRGroupRef(g.Name)
	lbls[ref.Key] = ref
	if err := e.setGroup(ctx, g.Name, prefixes, lbls); err != nil {
		return err
	}
	return bad
}

// DeleteCIDRGroup forgets a CIDR group: it selects nothing from then on.
func (e *Engine) DeleteCIDRGroup(ctx context.Context, name string) error {
	return e.setGroup(ctx, name, nil, nil)
}

func (e *Engine) setGroup(ctx context.Context, name string, prefixes map[netip.Prefix]struct{}, lbls labels.Labels) error {
	e.update.Lock()
	defer e.update.Unlock()
	resource := ipcachetypes.NewResourceID(ipcachetypes.ResourceKindCIDRGroup, "", name)
	update := func(p netip.Prefix, l labels.Labels) ipcache.MU {
		return ipcache.MU{
			Prefix: cmtypes.NewLocalPrefixCluster(p), Source: source.Generated, Resource: resource,
			Metadata: []ipcache.IPMetadata{l},
		}
	}
	var drop, add []ipcache.MU
	for p := range e.groups[name] {
		if !has(prefixes, p) {
			drop = append(drop, update(p, labels.Labels{}))
		}
	}
	for p := range prefixes {
		l := maps.Clone(lbls)
		l.AddWorldLabel(p.Addr())
		add = append(add, update(p, l))
	}
	if len(prefixes) == 0 {
		delete(e.groups, name)
	} else {
		e.groups[name] = prefixes
	}
	var revision uint64
	if len(drop) > 0 {
		revision = e.ipc.RemoveMetadataBatch(drop...)
	}
	if len(add) > 0 {
		revision = e.ipc.UpsertMetadataBatch(add...)
	}
	if revision == 0 {
		return nil
	}
	if err := waitIPCache(ctx, e.ipc, revision); err != nil {
		return fmt.Errorf("apply CIDR group %s: %w", name, err)
	}
	if err := e.matchPods(ctx); err != nil {
		return err
	}
	e.bump()
	return nil
}
