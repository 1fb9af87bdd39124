// Package inquiry answers questions about connections that are put in people's
// words: it finds the ends they name, puts each connection to the policy engine,
// the DNS lookup before it included, and adds what was perhaps meant where a rule
// narrowly misses. It decides nothing itself, and sends no packet.
package inquiry

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy"
	"github.com/netdojo/netdojo/internal/ipfamily"
)

// View is what is known beside the engine: by it names are found.
type View struct {
	Source   string // as explain.Answer has it
	Pods     []Pod
	Services []Service
	// Node has this node's addresses; none of IPv6 where pods have IPv4 only.
	Node      ipfamily.Pair[netip.Addr]
	APIServer netip.AddrPort // the zero value where it is not known
	// Resolve gives the addresses that a DNS name would have; nil knows none.
	Resolve func(name string) []netip.Addr
	Notes   []string // told with each answer
}

// Pod is a pod with an address.
type Pod struct {
	Namespace, Name string
	Owner           string       // KIND/NAME in lower case: deployment/web; empty for none
	Addrs           []netip.Addr // one of each family
	HostNetwork     bool
	Node            string // where it runs, in a cluster of several nodes; else empty
	Away            bool   // on another node than the engine's
	Labels          map[string]string
	Ports           []corev1.ContainerPort
}

// addr is the pod's first address: its labels, not its addresses, say what pods
// may do.
func (p Pod) addr() netip.Addr {
	if len(p.Addrs) == 0 {
		return netip.Addr{}
	}
	return p.Addrs[0]
}

func (p Pod) full() string { return p.Namespace + "/" + p.Name }

// Service is one port of a Service.
type Service struct {
	Namespace, Name, PortName string
	Addr                      netip.AddrPort
	Proto                     uint8
	Backends                  []netip.AddrPort
}

// Owner tells which workload a pod belongs to, from the pod alone. The
// ReplicaSet of a Deployment is named after it and the template's hash.
func Owner(p *corev1.Pod) string {
	if len(p.OwnerReferences) == 0 {
		return ""
	}
	kind, name := strings.ToLower(p.OwnerReferences[0].Kind), p.OwnerReferences[0].Name
	if hash := p.Labels["pod-template-hash"]; kind == "replicaset" && hash != "" {
		if deployment, ok := strings.CutSuffix(name, "-"+hash); ok {
			return "deployment/" + deployment
		}
	}
	return kind + "/" + name
}

// PodOf takes from a pod what a View needs.
func PodOf(p *corev1.Pod, addrs ...netip.Addr) Pod {
	out := Pod{
		Namespace: p.Namespace, Name: p.Name, Owner: Owner(p), Addrs: addrs,
		HostNetwork: p.Spec.HostNetwork, Labels: p.Labels,
	}
	for _, c := range p.Spec.Containers {
		out.Ports = append(out.Ports, c.Ports...)
	}
	return out
}

// sorted puts pods and Services in the order that answers list them.
func (v *View) sorted() {
	slices.SortFunc(v.Pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(v.Services, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), a.Addr.Compare(b.Addr), cmp.Compare(a.Proto, b.Proto))
	})
}

// podAt finds the pod that has an address.
func (v *View) podAt(a netip.Addr) (Pod, bool) {
	for _, p := range v.Pods {
		if slices.Contains(p.Addrs, a) && !p.HostNetwork {
			return p, true
		}
	}
	return Pod{}, false
}

// dialed finds the Service that answers on an address.
func (v *View) dialed(a netip.Addr, port uint16, proto uint8) *Service {
	for i, s := range v.Services {
		if s.Addr.Addr() == a && s.Addr.Port() == port && s.Proto == proto {
			return &v.Services[i]
		}
	}
	return nil
}

// dnsServers are the addresses that answer for the cluster's DNS.
func (v *View) dnsServers() []netip.AddrPort {
	for _, s := range v.Services {
		if s.Namespace == "kube-system" && s.Name == "kube-dns" && s.Proto == protoUDP {
			return s.Backends
		}
	}
	return nil
}

// NotFoundError is a word that names no end.
type NotFoundError struct {
	Word    string
	What    string // what it was taken for: pod, deployment, Service, label
	Suggest string // perhaps meant; may be empty
	Advice  string
}

func (e *NotFoundError) Error() string { return "there is no " + e.What + " " + e.Word }

// Cure says what to write instead.
func (e *NotFoundError) Cure() string {
	if e.Suggest != "" {
		return "did you mean " + e.Suggest + "?"
	}
	return e.Advice
}

// UsageError is a question that makes no sense as it is put.
type UsageError struct{ Message, Advice string }

func (e *UsageError) Error() string { return e.Message }

// Cure says how to put it.
func (e *UsageError) Cure() string { return e.Advice }

// place is one end, found.
type place struct {
	end   policy.End
	addrs []netip.Addr // of one that has an address of each family; end has one of them
	kind  explain.EndKind
	name  string
	pod   *Pod
	group string // the workload that stands for several pods; else name
	// dialed is set for a Service, with its backend as end.
	dialed *Service
	// ipv6 says which of a name's addresses is meant, in a cluster of both families.
	ipv6  bool
	port  uint16 // of the backend; 0 leaves the port to the question
	proto uint8
}

func podPlace(p Pod) place {
	out := place{end: policy.End{Addr: p.addr()}, addrs: p.Addrs, kind: explain.EndPod, name: p.full(), group: p.full(), pod: &p}
	if p.HostNetwork {
		out.end.Host = !p.Away
	}
	if p.Owner != "" {
		_, name, _ := strings.Cut(p.Owner, "/")
		out.group = p.Namespace + "/" + name
	}
	return out
}
