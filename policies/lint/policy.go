package lint

import (
	"cmp"
	"fmt"

	"github.com/netdojo/netdojo/manifests/object"
	"github.com/netdojo/netdojo/policies"
)

// policy is a policy object as it is judged: whom it selects, and its rules, in one
// form for all kinds.
type policy struct {
	object    object.Object
	kind      string
	root      value
	namespace string // "" of clusterwide ones
	subjects  []scope
	rules     []rule
	// sections are the parts that hold rules: spec.ingress, spec.egressDeny.
	sections []section
	specs    []value
}

// section is a list of rules.
type section struct {
	value
	egress, deny bool
}

// rule is one entry of a section.
type rule struct {
	value
	egress, deny bool
	open         bool   // its policy leaves the direction open
	subject      *scope // of the spec that it is in
	peers        []peer
	hasPeers     bool // it says who: without, it is about all
	ports        []port
	hasPorts     bool
	dns          []value // rules for DNS questions, of all its ports
	fqdns        []value // names that it lets pass
	serverNames  []value
	http         []value
}

// peer is one end of a rule's connections.
type peer struct {
	value
	pods *scope // nil for all but pods
	// what names the others: entity, cidr, fqdn, service, node, other.
	what string
}

// port is an entry of a rule's ports.
type port struct {
	value        // of the port itself, or of the entry
	number, end  int
	name         string
	protocol     string // "" is any
	withL7       bool
	wrongly      bool // it is no port at all
	protocolHere value
}

// scope is which pods a selector is about: pods of one namespace, or of those that
// a selector of namespaces names.
type scope struct {
	value
	own    string        // the one namespace; "" when spaces say
	spaces []requirement // of namespaces; none and own "" are all namespaces
	pods   []requirement
	nodes  bool // it selects nodes
}

// readPolicy reads a policy; nil for another object.
func readPolicy(o object.Object, namespace string) *policy {
	if !isPolicy(o) {
		return nil
	}
	root := value{node: o.Node.Content[0], at: o.Node.Content[0]}
	if list := root.get("items"); list.ok() && o.GetKind() != root.get("kind").text() {
		for _, item := range list.items() {
			if meta := item.get("metadata"); meta.get("name").text() == o.GetName() && meta.get("namespace").text() == o.GetNamespace() {
				root = value{node: item.node, at: item.node}
			}
		}
	}
	p := &policy{object: o, kind: o.GetKind(), root: root, namespace: cmp.Or(o.GetNamespace(), namespace)}
	if k, _ := policies.Find(p.kind); k.Clusterwide {
		p.namespace = ""
	}
	switch p.kind {
	case policies.NetworkPolicy:
		p.readKubernetes(root.get("spec"))
	case policies.ClusterNetworkPolicy:
		p.readTiers(root.get("spec"))
	default:
		if spec := root.get("spec"); spec.ok() && !spec.null() {
			p.readCilium(spec)
		}
		for _, spec := range root.get("specs").items() {
			p.readCilium(spec)
		}
	}
	return p
}

// title names the policy in messages.
func (p *policy) title() string {
	if p.namespace == "" {
		return p.kind + " " + p.object.GetName()
	}
	return p.kind + " " + p.namespace + "/" + p.object.GetName()
}

func (p *policy) problem(at value, code Code, cure, format string, args ...any) Problem {
	out := Problem{
		File: p.object.File, Message: fmt.Sprintf(format, args...), Cure: cure,
		Code: code, Object: p.title(), Field: at.path,
	}
	if at.path != "" {
		out.Message = at.path + ": " + out.Message
	}
	if at.at != nil {
		out.Line, out.Column = at.at.Line, at.at.Column
	}
	return out
}

// add adds a rule to those of the policy.
func (p *policy) add(r rule) { p.rules = append(p.rules, r) }

// selectsPod says whether the policy selects a pod.
func (p *policy) selectsPod(w *world, one *pod) bool {
	for i := range p.subjects {
		if p.subjects[i].has(w, one) {
			return true
		}
	}
	return false
}
