package policy

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	ipcachetypes "github.com/cilium/cilium/pkg/ipcache/types"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/source"
)

// nodeTable is the addresses of nodes and of the API server. Guarded by
// Engine.update.
type nodeTable struct {
	remote    map[string][]netip.Addr // node → addresses
	apiserver []netip.Addr
	applied   map[netip.Addr]labels.Labels
}

var nodeResource = ipcachetypes.NewResourceID(ipcachetypes.ResourceKindNode, "", "nodes")

// SetAPIServer tells where the API server is: the entity kube-apiserver.
func (e *Engine) SetAPIServer(ctx context.Context, addrs []netip.Addr) error {
	e.update.Lock()
	defer e.update.Unlock()
	addrs = e.served(addrs)
	if slices.Equal(addrs, e.nodes.apiserver) {
		return nil
	}
	e.nodes.apiserver = addrs
	return e.applyNodes(ctx)
}

// SetNode tells the addresses of another node: the entity remote-node. No
// address forgets the node.
func (e *Engine) SetNode(ctx context.Context, name string, addrs []netip.Addr) error {
	if name == e.cfg.NodeName {
		return nil
	}
	e.update.Lock()
	defer e.update.Unlock()
	addrs = e.served(addrs)
	if slices.Equal(addrs, e.nodes.remote[name]) {
		return nil
	}
	if e.nodes.remote == nil {
		e.nodes.remote = map[string][]netip.Addr{}
	}
	if len(addrs) == 0 {
		delete(e.nodes.remote, name)
	} else {
		e.nodes.remote[name] = addrs
	}
	return e.applyNodes(ctx)
}

// applyNodes brings the IP cache to what the node table says. The caller holds
// update.
func (e *Engine) applyNodes(ctx context.Context) error {
	want := map[netip.Addr]labels.Labels{}
	set := func(addrs []netip.Addr, entity labels.Labels) {
		for _, a := range addrs {
			want[a] = labels.NewFrom(entity)
			if e.CIDRsMatchNodes() {
				want[a].MergeLabels(labels.GetCIDRLabels(netip.PrefixFrom(a, a.BitLen())))
			}
		}
	}
	for _, addrs := range e.nodes.remote {
		set(addrs, labels.LabelRemoteNode)
	}
	set(e.cfg.NodeAddrs, labels.LabelHost)
	for _, a := range e.nodes.apiserver {
		if want[a] == nil {
			want[a] = labels.Labels{}
		}
		want[a].MergeLabels(labels.LabelKubeAPIServer)
	}
	var revision uint64
	for a, lbls := range e.nodes.applied {
		if !maps.Equal(want[a], lbls) {
			revision = e.ipc.RemoveMetadataBatch(nodeUpdate(a, labels.Labels{}))
		}
	}
	for a, lbls := range want {
		if !maps.Equal(e.nodes.applied[a], lbls) {
			revision = e.ipc.UpsertMetadataBatch(nodeUpdate(a, lbls))
		}
	}
	e.nodes.applied = want
	if revision == 0 {
		return nil
	}
	if err := waitIPCache(ctx, e.ipc, revision); err != nil {
		return fmt.Errorf("set node addresses: %w", err)
	}
	if err := e.recompute(ctx, func(identity.NumericIdentity) bool { return false }); err != nil {
		return err
	}
	e.bump()
	return nil
}

func nodeUpdate(a netip.Addr, lbls labels.Labels) ipcache.MU {
	return ipcache.MU{
		Prefix: cmtypes.NewLocalPrefixCluster(netip.PrefixFrom(a, a.BitLen())),
		Source: source.CustomResource, Resource: nodeResource,
		Metadata: []ipcache.IPMetadata{lbls},
	}
}
