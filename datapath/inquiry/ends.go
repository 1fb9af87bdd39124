package inquiry

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/identity"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/netdojo/netdojo/datapath/explain"
	"github.com/netdojo/netdojo/datapath/policy"
)

// IP protocol numbers.
const (
	protoICMP uint8 = 1
	protoTCP  uint8 = 6
	protoUDP  uint8 = 17
	protoSCTP uint8 = 132

	protoICMPv6 uint8 = 58
)

// kinds are the words before a slash that name a kind of object, as kubectl
// takes them.
var kinds = map[string]string{
	"pod": "pod", "pods": "pod", "po": "pod",
	"deploy": "deployment", "deployment": "deployment", "deployments": "deployment",
	"sts": "statefulset", "statefulset": "statefulset",
	"ds": "daemonset", "daemonset": "daemonset",
	"rs": "replicaset", "replicaset": "replicaset", "job": "job",
	"svc": "service", "service": "service", "services": "service",
}

// entities are ends of their own, by Cilium's names. The others of Cilium's are
// sets of these.
var entities = []string{"world", "host", "remote-node", "kube-apiserver", "health", "ingress", "init", "unmanaged"}

// find finds the ends that a word names; dst says that it is the destination.
func (v *View) find(word, namespace string, dst bool) ([]place, error) {
	if word == "" {
		return nil, &UsageError{"an end of the connection is empty", "name a pod, deploy/NAME, labels, svc/NAME, a DNS name, an address, a CIDR or an entity"}
	}
	first, rest, slashed := strings.Cut(word, "/")
	kind := kinds[first]
	switch {
	case strings.Contains(word, "="):
		return v.labelled(word, namespace)
	case slashed && kind == "service":
		return v.serviceEnds(word, rest, namespace, dst)
	case slashed && kind == "pod":
		return v.podEnds(rest, namespace)
	case slashed && kind != "":
		return v.workload(word, kind, rest, namespace)
	}
	if a, err := netip.ParseAddr(word); err == nil {
		a = a.Unmap()
		return []place{v.address(a)}, v.spoken(word, a)
	}
	if p, err := netip.ParsePrefix(word); err == nil {
		return v.prefix(p.Masked()), v.spoken(word, p.Addr())
	}
	if places, ok := v.entity(word); ok {
		return places, nil
	}
	if slashed {
		return v.named(word, first, rest, dst)
	}
	if places, err := v.named(word, namespace, word, dst); err == nil {
		return places, nil
	}
	if strings.Contains(word, ".") {
		if places, ok := v.dns(word, dst); ok {
			return places, nil
		}
	}
	return nil, v.notFound(word, namespace)
}

// named finds a pod, a workload or a Service of that name.
func (v *View) named(word, namespace, name string, dst bool) ([]place, error) {
	var workload []place
	for _, p := range v.Pods {
		if p.Namespace != namespace {
			continue
		}
		if p.Name == name {
			return []place{podPlace(p)}, nil
		}
		if _, owner, _ := strings.Cut(p.Owner, "/"); owner == name {
			workload = append(workload, podPlace(p))
		}
	}
	if len(workload) > 0 {
		return workload, nil
	}
	if slices.ContainsFunc(v.Services, func(s Service) bool { return s.Namespace == namespace && s.Name == name }) {
		return v.serviceEnds(word, name, namespace, dst)
	}
	return nil, v.notFound(word, namespace)
}

func (v *View) podEnds(name, namespace string) ([]place, error) {
	if ns, bare, ok := strings.Cut(name, "/"); ok {
		namespace, name = ns, bare
	}
	for _, p := range v.Pods {
		if p.Namespace == namespace && p.Name == name {
			return []place{podPlace(p)}, nil
		}
	}
	var names []string
	for _, p := range v.Pods {
		if p.Namespace == namespace {
			names = append(names, p.Name)
		}
	}
	suggest := closest(name, names)
	if suggest != "" {
		suggest = "pod/" + suggest
	}
	return nil, &NotFoundError{Word: namespace + "/" + name, What: "pod", Suggest: suggest, Advice: "see netdojo kubectl get pods -A"}
}

func (v *View) workload(word, kind, name, namespace string) ([]place, error) {
	if ns, bare, ok := strings.Cut(name, "/"); ok {
		namespace, name = ns, bare
	}
	var out []place
	var names []string
	for _, p := range v.Pods {
		k, owner, _ := strings.Cut(p.Owner, "/")
		if p.Namespace != namespace || k != kind {
			continue
		}
		names = append(names, owner)
		if owner == name {
			out = append(out, podPlace(p))
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	suggest := closest(name, names)
	if suggest != "" {
		prefix, _, _ := strings.Cut(word, "/")
		suggest = prefix + "/" + suggest
	}
	return nil, &NotFoundError{Word: namespace + "/" + name, What: kind + " with a pod that runs:", Suggest: suggest, Advice: "see netdojo kubectl get pods -A"}
}

// labelled finds the pods of a namespace that a Kubernetes label selector
// selects, or of the one that is written before it. The source that Cilium writes before a key is taken off.
func (v *View) labelled(word, namespace string) ([]place, error) {
	selector, err := labels.Parse(strings.ReplaceAll(strings.ReplaceAll(word, "k8s:", ""), "any:", ""))
	if err != nil {
		return nil, &UsageError{"read the labels " + word + ": " + err.Error(), "write them as kubectl does: app=web,tier=front"}
	}
	if out := v.selected(selector, namespace); len(out) > 0 {
		return out, nil
	}
	// A key may begin with a domain and a slash: NAMESPACE/LABELS is what is left.
	if first, rest, ok := strings.Cut(word, "/"); ok && strings.Contains(rest, "=") &&
		slices.ContainsFunc(v.Pods, func(p Pod) bool { return p.Namespace == first }) {
		return v.labelled(rest, first)
	}
	missing := &NotFoundError{Word: word, What: "pod in namespace " + namespace + " with the labels", Advice: "see netdojo kubectl get pods -A --show-labels"}
	var have []string
	for _, p := range v.Pods {
		for k, value := range p.Labels {
			have = append(have, k+"="+value)
		}
	}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		for value := range r.Values() {
			if pair := r.Key() + "=" + value; !slices.Contains(have, pair) {
				missing.Suggest = closest(pair, have)
			}
		}
	}
	return nil, missing
}

// selected are the pods of a namespace that a selector selects.
func (v *View) selected(selector labels.Selector, namespace string) []place {
	var out []place
	for _, p := range v.Pods {
		if p.Namespace == namespace && selector.Matches(labels.Set(p.Labels)) {
			out = append(out, podPlace(p))
		}
	}
	return out
}

// serviceEnds finds the backends of a Service, which may be written with its
// namespace as in DNS.
func (v *View) serviceEnds(word, name, namespace string, dst bool) ([]place, error) {
	if ns, bare, ok := strings.Cut(name, "/"); ok {
		namespace, name = ns, bare
	}
	if bare, ns, ok := strings.Cut(name, "."); ok {
		name = bare
		namespace, _, _ = strings.Cut(ns, ".")
	}
	if !dst {
		return nil, &UsageError{word + " is a Service, which opens no connection", "name the pod that does: a pod, deploy/NAME or labels"}
	}
	var out []place
	found := false
	var names []string
	for i, s := range v.Services {
		names = append(names, s.Name)
		if s.Namespace != namespace || s.Name != name {
			continue
		}
		found = true
		out = append(out, v.backends(&v.Services[i])...)
	}
	if !found {
		suggest := closest(name, names)
		if suggest != "" {
			suggest = "svc/" + suggest
		}
		return nil, &NotFoundError{Word: namespace + "/" + name, What: "Service with a cluster address", Suggest: suggest, Advice: "see netdojo kubectl get services -A; of a headless one, name the pods"}
	}
	return out, nil
}

// backends are the places that a Service's port leads to. Without endpoints it is
// one place that says so.
func (v *View) backends(s *Service) []place {
	var out []place
	for _, b := range s.Backends {
		p := v.address(b.Addr())
		p.dialed, p.port, p.proto = s, b.Port(), s.Proto
		out = append(out, p)
	}
	if len(out) == 0 {
		out = append(out, place{kind: explain.EndAddress, name: s.Addr.Addr().String(), dialed: s, proto: s.Proto})
	}
	return out
}

// address is whoever has an address.
func (v *View) address(a netip.Addr) place {
	if p, ok := v.podAt(a); ok {
		out := podPlace(p)
		out.end.Addr, out.addrs = a, nil
		return out
	}
	if a.IsValid() && (a == v.Node.V4 || a == v.Node.V6) {
		return place{end: policy.End{Addr: a, Host: true}, kind: explain.EndEntity, name: "host", group: "host"}
	}
	return place{end: policy.End{Addr: a}, kind: explain.EndAddress, name: a.String(), group: a.String()}
}

// prefix stands for a range by the pods in it and its first address.
func (v *View) prefix(p netip.Prefix) []place {
	var out []place
	for _, pod := range v.Pods {
		if i := slices.IndexFunc(pod.Addrs, p.Contains); i >= 0 && !pod.HostNetwork {
			out = append(out, v.address(pod.Addrs[i]))
		}
	}
	if len(out) == 0 || p.Bits() == p.Addr().BitLen() {
		first := p.Addr()
		if p.Bits() < p.Addr().BitLen()-1 {
			first = first.Next() // the first is the network's own
		}
		one := v.address(first)
		one.name, one.group = p.String(), p.String()
		return []place{one}
	}
	return out
}

// entity finds Cilium's entities. all and cluster are sets, told one by one.
func (v *View) entity(word string) ([]place, bool) {
	switch word {
	case "world":
		if v.Node.V6.IsValid() { // no address has the identity world itself
			four, _ := v.entity("world-ipv4")
			six, _ := v.entity("world-ipv6")
			return append(four, six...), true
		}
	case "world-ipv4", "world-ipv6":
		if !v.Node.V6.IsValid() {
			return nil, false
		}
		return []place{{end: policy.End{Entity: word}, kind: explain.EndEntity, name: word, group: word}}, true
	case "host":
		one := place{end: policy.End{Addr: v.Node.V4, Host: true}, kind: explain.EndEntity, name: word, group: word}
		if v.Node.V6.IsValid() {
			one.addrs = []netip.Addr{v.Node.V4, v.Node.V6}
		}
		return []place{one}, true
	case "kube-apiserver":
		if a := v.APIServer.Addr(); a.IsValid() {
			return []place{{end: policy.End{Addr: a, Host: a == v.Node.V4}, kind: explain.EndEntity, name: word, group: word, port: v.APIServer.Port(), proto: protoTCP}}, true
		}
	case "cluster", "all":
		var out []place
		for _, p := range v.Pods {
			out = append(out, podPlace(p))
		}
		host, _ := v.entity("host")
		out = append(out, host...)
		if word == "all" {
			world, _ := v.entity("world")
			out = append(out, world...)
		}
		return out, true
	}
	if !slices.Contains(entities, word) || identity.GetReservedID(word) == identity.IdentityUnknown {
		return nil, false
	}
	return []place{{end: policy.End{Entity: word}, kind: explain.EndEntity, name: word, group: word}}, true
}

// dns finds what a DNS name leads to: a Service by its name in the cluster, or
// addresses outside.
func (v *View) dns(word string, dst bool) ([]place, bool) {
	name := strings.TrimSuffix(strings.ToLower(word), ".")
	labels := strings.Split(name, ".")
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil, false
	}
	inCluster := len(labels) == 2 || labels[2] == "svc"
	if inCluster && slices.ContainsFunc(v.Services, func(s Service) bool { return s.Name == labels[0] && s.Namespace == labels[1] }) {
		places, err := v.serviceEnds(word, labels[0], labels[1], dst)
		return places, err == nil
	}
	if strings.HasSuffix(name, ".cluster.local") || !dst {
		return nil, false
	}
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return nil, false // a mistyped address
	}
	one := place{end: policy.End{Name: name}, kind: explain.EndName, name: name, group: name}
	if !v.Node.V6.IsValid() {
		return []place{one}, true
	}
	six := one
	six.ipv6 = true
	return []place{one, six}, true
}

func (v *View) notFound(word, namespace string) error {
	var names []string
	for _, p := range v.Pods {
		if p.Namespace == namespace {
			names = append(names, p.Name)
			if _, owner, ok := strings.Cut(p.Owner, "/"); ok {
				names = append(names, owner)
			}
		}
	}
	for _, s := range v.Services {
		if s.Namespace == namespace {
			names = append(names, s.Name)
		}
	}
	names = append(names, entities...)
	_, bare, slashed := strings.Cut(word, "/")
	if !slashed {
		bare = word
	}
	return &NotFoundError{
		Word: word, What: "pod, workload, Service, DNS name, address or entity", Suggest: closest(bare, names),
		Advice: "see netdojo kubectl get pods,services -A; --namespace says where names are looked for",
	}
}
