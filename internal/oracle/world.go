// Package oracle makes random policies and connections, and says what Cilium's
// own policy simulator gives for them. It knows nothing of netdojo's datapath:
// what that does with packets is held against it in tests.
package oracle

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/k8s"
	ciliumv2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	slimnet "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/networking/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/policy/testutils"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
	policyutils "github.com/cilium/cilium/pkg/policy/utils"
	"github.com/cilium/cilium/pkg/u8proto"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// Pod is a pod of the world.
type Pod struct {
	Namespace, Name string
	Labels          map[string]string
	ServiceAccount  string
	Addr            netip.Addr
	Addr6           netip.Addr // the zero Addr where there is none
	Ports           []Port
	Remote          bool // of another node: its own policies are judged there
}

// Port is a container port with a name.
type Port struct {
	Name     string
	Number   uint16
	Protocol string // TCP or UDP
}

// Group is a CiliumCIDRGroup.
type Group struct {
	Labels   map[string]string
	Prefixes []netip.Prefix
}

// World is what policies are judged in. Whether the outside is of one entity or of
// two, world-ipv4 and world-ipv6, is an option of Cilium's for the whole process.
type World struct {
	Namespaces map[string]map[string]string // name → labels
	Pods       []Pod
	Outside    []netip.Addr
	Names      map[string][]netip.Addr // DNS name with its final dot → addresses that pods were given
	Groups     map[string]Group
	Node       netip.Addr // the node and its API server
	RemoteNode netip.Addr
	// CIDRsMatchPods and CIDRsMatchNodes are Cilium's option policy-cidr-match-mode with
	// the values pods and nodes.
	CIDRsMatchPods, CIDRsMatchNodes bool
	// Node6 and RemoteNode6 are the same nodes in IPv6, which a world may be without.
	Node6, RemoteNode6 netip.Addr

	entries policytypes.PolicyEntries
}

// Conn is a connection between two addresses.
type Conn struct {
	From, To netip.Addr
	Proto    uint8
	Port     uint16 // ICMP: the type
}

func (c Conn) String() string {
	return fmt.Sprintf("%v → %v:%d/%s", c.From, c.To, c.Port, u8proto.U8proto(c.Proto))
}

// SetPolicies takes policies in force, in JSON, instead of those before. An error
// is one that Cilium's parser gives.
func (w *World) SetPolicies(docs [][]byte) error {
	w.entries = nil
	for _, doc := range docs {
		entries, err := parse(doc)
		if err != nil {
			return err
		}
		w.entries = append(w.entries, entries...)
	}
	return nil
}

func parse(doc []byte) (policytypes.PolicyEntries, error) {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(doc, &kind); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if kind.Kind == "NetworkPolicy" {
		np := &slimnet.NetworkPolicy{}
		if err := json.Unmarshal(doc, np); err != nil {
			return nil, err
		}
		return k8s.ParseNetworkPolicy(log, "default", np)
	}
	if kind.Kind == "ClusterNetworkPolicy" {
		cnp := &policyv1alpha2.ClusterNetworkPolicy{}
		if err := json.Unmarshal(doc, cnp); err != nil {
			return nil, err
		}
		return k8s.ParseClusterNetworkPolicy(log, "default", cnp)
	}
	cnp := &ciliumv2.CiliumNetworkPolicy{}
	if err := json.Unmarshal(doc, cnp); err != nil {
		return nil, err
	}
	rules, err := cnp.Parse(log, "default")
	if err != nil {
		return nil, err
	}
	return policyutils.RulesToPolicyEntries(rules), nil
}

// Allowed says what the simulator, which Cilium's own fuzz tests hold its engine
// against, gives for a connection: egress of a pod of this node and ingress of
// one both allow it. A pod reaches itself, which is not the simulator's; nor are the
// rules that Cilium's repository adds in the last tier: where no rule denies by
// default everything, and from the node to its pods in any case.
func (w *World) Allowed(c Conn) bool {
	from, fromPod := w.identity(c.From)
	to, toPod := w.identity(c.To)
	if fromPod != nil && fromPod == toPod {
		return true
	}
	flow := policytypes.Flow{From: from, To: to, Proto: u8proto.U8proto(c.Proto), Dport: c.Port}
	result, egressBy, ingressBy := testutils.IteratePolicy(w.plain(toPod), flow)
	if fromPod != nil && !fromPod.Remote && result.Egress != policytypes.DecisionAllowed &&
		(egressBy.String() != byDefault || w.deniesByDefault(from, false)) {
		return false
	}
	if toPod == nil || toPod.Remote || result.Ingress == policytypes.DecisionAllowed {
		return true
	}
	return ingressBy.String() == byDefault && (w.Host(c.From) || !w.deniesByDefault(to, true))
}

// deniesByDefault says whether a rule of a direction that selects the subject
// denies what no rule decides. Rules that only pass do not.
func (w *World) deniesByDefault(subject *identity.Identity, ingress bool) bool {
	return slices.ContainsFunc(w.entries, func(e *policytypes.PolicyEntry) bool {
		return e.DefaultDeny && e.Ingress == ingress && e.Subject.Matches(subject.LabelArray)
	})
}

// Host says whether an address is the node's.
func (w *World) Host(a netip.Addr) bool { return a == w.Node || a == w.Node6 }

// byDefault is how the simulator labels what no rule decides.
const byDefault = "[reserved:default-deny]"

// identity gives the labels by which selectors see an address.
func (w *World) identity(a netip.Addr) (*identity.Identity, *Pod) {
	lbls := labels.Labels{}
	add := func(key, value string) {
		l := labels.NewLabel(key, value, labels.LabelSourceK8s)
		lbls[l.Key] = l
	}
	for i := range w.Pods {
		p := &w.Pods[i]
		if p.Addr != a && p.Addr6 != a {
			continue
		}
		for k, v := range p.Labels {
			add(k, v)
		}
		for k, v := range w.Namespaces[p.Namespace] {
			add("io.cilium.k8s.namespace.labels."+k, v)
		}
		add("io.kubernetes.pod.namespace", p.Namespace)
		add("io.cilium.k8s.policy.cluster", "default")
		if p.ServiceAccount != "" {
			add("io.cilium.k8s.policy.serviceaccount", p.ServiceAccount)
		}
		if w.CIDRsMatchPods {
			w.inside(lbls, a)
		}
		return identity.NewIdentity(1, lbls), p
	}
	switch a {
	case w.Node, w.Node6: // of one identity, by whichever the API server is asked
		lbls.MergeLabels(labels.LabelHost)
		lbls.MergeLabels(labels.LabelKubeAPIServer)
		if w.CIDRsMatchNodes {
			w.inside(lbls, w.Node, w.Node6)
		}
	case w.RemoteNode, w.RemoteNode6:
		lbls.MergeLabels(labels.LabelRemoteNode)
		if w.CIDRsMatchNodes {
			w.inside(lbls, a)
		}
	default:
		lbls.MergeLabels(labels.GetCIDRLabels(netip.PrefixFrom(a, a.BitLen())))
		w.outside(a, lbls)
	}
	return identity.NewIdentity(1, lbls), nil
}

// inside adds what CIDRs, DNS names and CIDR groups say of something in the cluster.
func (w *World) inside(lbls labels.Labels, addrs ...netip.Addr) {
	for _, a := range addrs {
		if !a.IsValid() {
			continue
		}
		for k, l := range labels.GetCIDRLabels(netip.PrefixFrom(a, a.BitLen())) {
			if l.Source == labels.LabelSourceCIDR {
				lbls[k] = l
			}
		}
		w.outside(a, lbls)
	}
}

// outside adds what DNS names and CIDR groups say of an address.
func (w *World) outside(a netip.Addr, lbls labels.Labels) {
	for name, addrs := range w.Names {
		for _, x := range addrs {
			if x != a {
				continue
			}
			for _, e := range w.entries {
				for _, sel := range e.L3 {
					f, ok := sel.GetFQDNSelector()
					if !ok {
						continue
					}
					if re, err := f.ToRegex(); err == nil && re.MatchString(name) {
						l := f.IdentityLabel()
						lbls[l.Key] = l
					}
				}
			}
		}
	}
	for name, g := range w.Groups {
		for _, p := range g.Prefixes {
			if !p.Contains(a) {
				continue
			}
			l := api.LabelForCIDRGroupRef(name)
			lbls[l.Key] = l
			for k, v := range g.Labels {
				one := labels.NewLabel(k, v, labels.LabelSourceCIDRGroup)
				lbls[one.Key] = one
				enc := labels.EncodedCIDRGroupLabel(k, v, labels.LabelSourceCIDRGroup)
				lbls[enc.Key] = enc
			}
		}
	}
}

// plain writes the entries as the simulator takes them. It has no named ports of
// its own choosing, takes protocol ANY for every one where Cilium's engine means
// TCP, UDP and SCTP, spells ICMPv6 in another way than rules do, and takes a rule
// without peers and ports for one that allows all, where PolicyEntry says that it
// selects nothing.
func (w *World) plain(to *Pod) policytypes.PolicyEntries {
	var out policytypes.PolicyEntries
	for _, e := range w.entries {
		one := *e
		if len(e.L3) == 0 && len(e.L4) == 0 {
			one.L3 = nil
		}
		one.L4 = nil
		for _, pr := range e.L4 {
			var ports []api.PortProtocol
			for _, p := range pr.Ports {
				ports = append(ports, numbers(p, to)...)
			}
			if len(ports) > 0 {
				one.L4 = append(one.L4, api.PortRule{Ports: ports})
			}
		}
		if len(e.L4) > 0 && len(one.L4) == 0 {
			one.L3 = nil // it names ports that the pod does not have
		}
		out = append(out, &one)
	}
	return out
}

func numbers(p api.PortProtocol, to *Pod) (out []api.PortProtocol) {
	protocols := []api.L4Proto{p.Protocol}
	if p.Protocol == api.ProtoAny || p.Protocol == "" {
		protocols = []api.L4Proto{api.ProtoTCP, api.ProtoUDP, api.ProtoSCTP}
	}
	if p.Protocol == api.ProtoICMPv6 {
		protocols = []api.L4Proto{api.L4Proto(u8proto.ICMPv6.String())}
	}
	for _, proto := range protocols {
		one := api.PortProtocol{Port: p.Port, EndPort: p.EndPort, Protocol: proto}
		if strings.ContainsAny(p.Port, "abcdefghijklmnopqrstuvwxyz") {
			one.Port = ""
			if to != nil {
				for _, named := range to.Ports {
					if named.Name == p.Port && named.Protocol == string(proto) {
						one.Port = strconv.Itoa(int(named.Number))
					}
				}
			}
			if one.Port == "" {
				continue
			}
		}
		out = append(out, one)
	}
	return out
}
