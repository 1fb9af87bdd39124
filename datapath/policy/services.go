package policy

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"

	k8sconst "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	slimmeta "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"

	"github.com/netdojo/netdojo/policies"
)

// Service is what toServices rules need to know of one.
type Service struct {
	Namespace, Name string
	Labels          map[string]string
	Selector        map[string]string // its pods; empty for one with endpoints of its own
	Addrs           []netip.Addr      // the endpoints of a Service without selector
}

func (s Service) equal(o Service) bool {
	return maps.Equal(s.Labels, o.Labels) && maps.Equal(s.Selector, o.Selector) && slices.Equal(s.Addrs, o.Addrs)
}

// SetService tells a Service, by which toServices rules select. Policies that
// name Services are in force anew when it returns.
func (e *Engine) SetService(ctx context.Context, s Service) error {
	e.update.Lock()
	defer e.update.Unlock()
	key := Key{"Service", s.Namespace, s.Name}
	s.Addrs = e.served(s.Addrs)
	if len(s.Selector) > 0 {
		s.Addrs = nil
	}
	if old, ok := e.services[key]; ok && old.equal(s) {
		return nil
	}
	e.services[key] = s
	return e.refreshServices(ctx)
}

// DeleteService forgets a Service.
func (e *Engine) DeleteService(ctx context.Context, namespace, name string) error {
	e.update.Lock()
	defer e.update.Unlock()
	key := Key{"Service", namespace, name}
	if _, ok := e.services[key]; !ok {
		return nil
	}
	delete(e.services, key)
	return e.refreshServices(ctx)
}

func (e *Engine) refreshServices(ctx context.Context) error {
	var errs []error
	for key, o := range e.policies {
		if o.source == nil {
			continue
		}
		err := e.setCilium(ctx, key, o.source)
		if rejection, ok := errors.AsType[*policies.Rejection](err); err != nil && (!ok || rejection.Whole()) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// NamesServices says whether a policy has toServices rules: only then does the
// engine ask for SetService.
func NamesServices(cnp *ciliumv2.CiliumNetworkPolicy) bool {
	for _, r := range specsOf(cnp) {
		for i := range r.Egress {
			if len(r.Egress[i].ToServices) > 0 {
				return true
			}
		}
		for i := range r.EgressDeny {
			if len(r.EgressDeny[i].ToServices) > 0 {
				return true
			}
		}
	}
	return false
}

// resolveServices writes what toServices selects now into the rules: the pods
// of Services with a selector, else the addresses of their endpoints. A rule whose
// Services are not there selects nobody: without a peer at all, Cilium's parser
// takes the rule's ports for those of every destination.
func (e *Engine) resolveServices(cnp *ciliumv2.CiliumNetworkPolicy) {
	keys := slices.SortedFunc(maps.Keys(e.services), func(a, b Key) int {
		return cmpStrings(a.Namespace, b.Namespace, a.Name, b.Name)
	})
	resolve := func(c *api.EgressCommonRule) {
		for _, ref := range c.ToServices {
			for _, k := range keys {
				s := e.services[k]
				if !selects(ref, s) {
					continue
				}
				if len(s.Selector) == 0 {
					for _, a := range s.Addrs {
						c.ToCIDRSet = append(c.ToCIDRSet, api.CIDRRule{Cidr: api.CIDR(netip.PrefixFrom(a, a.BitLen()).String()), Generated: true})
					}
					continue
				}
				match := maps.Clone(s.Selector)
				match[k8sconst.PodNamespaceLabel] = s.Namespace
				es := api.NewESFromK8sLabelSelector(labels.LabelSourceK8sKeyPrefix, &slimmeta.LabelSelector{MatchLabels: match})
				es.Generated = true
				c.ToEndpoints = append(c.ToEndpoints, es)
			}
		}
		if len(c.ToServices) > 0 && len(c.ToCIDRSet) == 0 && len(c.ToEndpoints) == 0 {
			c.ToEndpoints = []api.EndpointSelector{}
		}
	}
	for _, r := range specsOf(cnp) {
		for i := range r.Egress {
			resolve(&r.Egress[i].EgressCommonRule)
		}
		for i := range r.EgressDeny {
			resolve(&r.EgressDeny[i].EgressCommonRule)
		}
	}
}

func selects(ref api.Service, s Service) bool {
	if sel := ref.K8sServiceSelector; sel != nil {
		if sel.Namespace != "" && sel.Namespace != s.Namespace {
			return false
		}
		ls := policytypes.NewLabelSelector(api.EndpointSelector(sel.Selector))
		return policytypes.Matches(ls, anySource(s.Labels))
	}
	if k := ref.K8sService; k != nil {
		return (k.Namespace == "" || k.Namespace == s.Namespace) && k.ServiceName == s.Name
	}
	return false
}

// anySource matches labels whatever source a selector names.
type anySource map[string]string

func (m anySource) GetLabel(l *labels.Label) string            { return m[l.Key] }
func (m anySource) HasLabel(l *labels.Label) bool              { _, ok := m[l.Key]; return ok }
func (m anySource) LookupLabel(l *labels.Label) (string, bool) { v, ok := m[l.Key]; return v, ok }
