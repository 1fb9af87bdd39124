package policy

import (
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/monitor/api"
	cpolicy "github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/u8proto"

	"github.com/netdojo/netdojo/datapath/verdict"
)

// aggregates stand for several peers in an endpoint's policy, the first for all.
var aggregates = []identity.NumericIdentity{
	identity.IdentityUnknown, identity.ReservedIdentityAggregateCluster, identity.ReservedIdentityAggregateClusterMesh,
	identity.ReservedIdentityAggregateWorld, identity.ReservedIdentityAggregateRemoteNode,
}

// Match tells by what the policy of a connection's side matches it, as Cilium's
// datapath does in its policy verdicts (bpf/lib/policy.h). It looks the connection up
// anew, in the policy of this moment.
func (e *Engine) Match(q verdict.Query, dir verdict.Direction) api.PolicyMatchType {
	src, dst := e.lookup(q.Src, q.FromHost), e.lookup(q.Dst, q.ToHost)
	ep, peer, key := src.ep, dst.id, cpolicy.EgressKey()
	if dir == verdict.Ingress {
		ep, peer, key = dst.ep, src.id, cpolicy.IngressKey()
	}
	port, known := keyPort(q)
	if ep == nil || !known {
		return api.PolicyMatchNone
	}
	ep.mu.RLock()
	defer ep.mu.RUnlock()
	if ep.policy == nil {
		return api.PolicyMatchNone
	}
	enforced := ep.policy.SelectorPolicy.EgressPolicyEnabled
	if dir == verdict.Ingress {
		enforced = ep.policy.SelectorPolicy.IngressPolicyEnabled
	}
	if !enforced {
		return api.PolicyMatchAll
	}
	proto := u8proto.U8proto(q.Proto)
	entry, _, found := ep.policy.Lookup(key.WithIdentity(peer).WithPortProto(proto, port))
	if !found {
		return api.PolicyMatchNone
	}
	// Which of the two entries it was that may match, the peer's or the aggregate's: the
	// one of the higher precedence, then of the longer prefix, then the peer's.
	own, bits := longest(ep.policy, key.WithIdentity(peer), proto, port, entry)
	if own && bits == protoBits+portBits {
		return api.PolicyMatchL3L4 // no other's can be longer
	}
	for _, id := range aggregates {
		if found, n := longest(ep.policy, key.WithIdentity(id), proto, port, entry); found && (!own || n > bits) {
			switch {
			case n == 0:
				return api.PolicyMatchAll
			case n <= protoBits:
				return api.PolicyMatchProtoOnly
			}
			return api.PolicyMatchL4Only
		}
	}
	switch {
	case !own:
		return api.PolicyMatchNone
	case bits == 0:
		return api.PolicyMatchL3Only
	case bits <= protoBits:
		return api.PolicyMatchL3Proto
	}
	return api.PolicyMatchL3L4
}

// protoBits are those of a key's prefix that the protocol takes, and portBits the port.
const (
	protoBits = 8
	portBits  = 16
)

// longest finds the entry for an identity that has the longest prefix of protocol and
// port, and says whether it is of the precedence that was found.
func longest(p *cpolicy.EndpointPolicy, key cpolicy.Key, proto u8proto.U8proto, port uint16, want cpolicy.MapStateEntry) (found bool, bits int) {
	for n := portBits; n > 0; n-- {
		at := port & uint16(0xffff<<(portBits-n))
		if at == 0 {
			continue // no entry is for port 0
		}
		if entry, ok := p.Get(key.WithPortProtoPrefix(proto, at, uint8(n))); ok && entry.IsValid() {
			return entry.Precedence == want.Precedence, protoBits + n
		}
	}
	if entry, ok := p.Get(key.WithProto(proto)); ok && entry.IsValid() {
		return entry.Precedence == want.Precedence, protoBits
	}
	entry, ok := p.Get(key)
	return ok && entry.IsValid() && entry.Precedence == want.Precedence, 0
}
