package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	"github.com/cilium/cilium/pkg/identity"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	ctypes "github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/netdojo/netdojo/datapath/policy/l7"
	"github.com/netdojo/netdojo/datapath/verdict"
)

// These mark entries that proxies serve: that of DNS, and those that stand in
// for Envoy. Nothing listens on them: the packet path knows where its proxies are.
const (
	dnsPort uint16 = iota + 1
	envoyPort
)

// proxyPorts says which proxy serves a parser. Other redirects find no port,
// which leaves their entries out: closed.
var proxyPorts = map[cpolicy.L7ParserType]uint16{
	cpolicy.ParserTypeDNS:  dnsPort,
	cpolicy.ParserTypeHTTP: envoyPort,
	cpolicy.ParserTypeTLS:  envoyPort,
}

// redirects gives the entries of an endpoint's policy that proxies serve their
// ports. byName says that some depend on ports that peers have named.
func (ep *endpoint) redirects(selector cpolicy.SelectorPolicy) (ports map[string]uint16, byName bool) {
	ports = map[string]uint16{}
	snapshot := selector.GetSelectorSnapshot()
	for filter, ps := range selector.RedirectFilters() {
		proxy := proxyPorts[ps.Policy.GetL7Parser()]
		if proxy == 0 || ps.Policy.GetListener() != "" {
			continue
		}
		add := func(port uint16) {
			ports[cpolicy.ProxyID(uint16(ep.id), filter.GetIngress(), string(filter.Protocol), port, "")] = proxy
		}
		switch {
		case filter.PortName == "" || filter.Port != 0:
			add(filter.Port)
		case filter.Ingress:
			if port, err := ep.named.GetNamedPort(filter.PortName, filter.U8Proto); err == nil {
				add(port)
			}
		default:
			byName = true
			for _, port := range selector.GetEgressNamedPorts(filter.PortName, filter.U8Proto, filter.Identities(snapshot)) {
				add(port)
			}
		}
	}
	return ports, byName
}

// compute resolves an endpoint's policy anew and puts it in place. The caller
// holds update.
func (e *Engine) compute(ep *endpoint) error {
	engineMu.Lock()
	selector, revision, err := e.repo.ComputeSelectorPolicy(ep.ident)
	engineMu.Unlock()
	ep.behind = err != nil
	if err != nil {
		return fmt.Errorf("resolve policy of identity %d: %w", ep.ident.ID, err)
	}
	redirects, byName := ep.redirects(selector)
	fresh := selector.DistillPolicy(e.logger, &owner{id: uint64(ep.id), named: ep.named}, redirects)
	if err := fresh.Ready(); err != nil {
		e.logger.Debug("selector snapshot of an endpoint's policy", "error", err)
	}
	dns := l7.CompileDNS(fresh)
	incoming := l7.Compile(&fresh.SelectorPolicy.L4Policy.Ingress, &e.secrets)
	outgoing := l7.Compile(&fresh.SelectorPolicy.L4Policy.Egress, &e.secrets)
	ingress, egress := e.selecting(ep.ident)

	ep.mu.Lock()
	old, oldSelector := ep.policy, ep.selector
	ep.policy, ep.selector = fresh, selector
	ep.dns, ep.incoming, ep.outgoing = dns, incoming, outgoing
	ep.ingress, ep.egress, ep.revision = ingress, egress, revision
	ep.byName = byName
	done, _ := fresh.ConsumeMapChanges()
	done()
	ep.mu.Unlock()
	e.detach(old, oldSelector)
	e.endpointsChanged()
	return nil
}

// reach has an endpoint tell a later revision, which changes nothing for it. One whose
// policy could not be computed stays where it is. The caller holds Engine.update.
func (ep *endpoint) reach(revision uint64) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if !ep.behind {
		ep.revision = max(ep.revision, revision)
	}
}

func (e *Engine) detach(old *cpolicy.EndpointPolicy, selector cpolicy.SelectorPolicy) {
	if old == nil {
		return
	}
	old.Detach(e.logger)
	selector.Supersede()
}

// recompute brings the endpoints of these identities, or all, up to date and
// returns when names and CIDRs that their policies ask for are in place too. What the
// others enforce is right at the new revision too, and they tell it, as Cilium's do:
// `cilium-dbg policy wait` waits for all endpoints of a node.
func (e *Engine) recompute(ctx context.Context, affected func(identity.NumericIdentity) bool) error {
	all := e.mutated.Swap(false)
	var errs []error
	for _, ep := range e.pods.all() {
		switch {
		case ep.id == 0:
		case !all && !affected(ep.ident.ID):
			ep.reach(e.Revision())
		default:
			if err := e.compute(ep); err != nil {
				errs = append(errs, err) // it keeps the policy it had; the others go on
			}
		}
	}
	return errors.Join(append(errs, e.names.settle(ctx))...)
}

// selecting lists the policies that select an identity, by direction.
func (e *Engine) selecting(id *identity.Identity) (ingress, egress []verdict.Rule) {
	for _, o := range e.policies {
		in, out := false, false
		for _, entry := range o.entries {
			if (in && entry.Ingress) || (out && !entry.Ingress) || !entry.Subject.Matches(id.LabelArray) {
				continue
			}
			in, out = in || entry.Ingress, out || !entry.Ingress
		}
		if in {
			ingress = append(ingress, o.rule)
		}
		if out {
			egress = append(egress, o.rule)
		}
	}
	slices.SortFunc(ingress, compareRules)
	slices.SortFunc(egress, compareRules)
	return ingress, egress
}

func compareRules(a, b verdict.Rule) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
}

// owner is what Cilium asks about the endpoint that a policy is for.
type owner struct {
	id    uint64
	named ctypes.NamedPortMap
}

func (o *owner) GetID() uint64 { return o.id }
func (o *owner) GetIngressNamedPort(name string, proto u8proto.U8proto) uint16 {
	port, err := o.named.GetNamedPort(name, proto)
	if err != nil {
		return 0 // the pod has no such port: the rule selects none
	}
	return port
}
func (o *owner) PolicyDebug(string, ...any)                   {}
func (o *owner) IsHost() bool                                 { return false }
func (o *owner) PreviousMapStateSizes() cpolicy.MapStateSizes { return cpolicy.MapStateSizes{} }
func (o *owner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	c := make(chan bool)
	close(c)
	return c
}
