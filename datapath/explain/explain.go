// Package explain holds the values of an explanation: what is asked about a
// connection, and what the policy engine answers without a packet being sent. It
// holds no engine, so that the client and every face can read and draw answers.
// Its JSON form is versioned by Schema; fields are added, never renamed.
package explain

// Schema names the JSON form of an Answer, and MatrixSchema that of a Matrix.
const (
	Schema       = "netdojo.dev/explain/v1"
	MatrixSchema = "netdojo.dev/matrix/v1"
)

// Request asks what would become of connections.
type Request struct {
	// From and To are what a person types: a pod ([NAMESPACE/]NAME), a workload
	// (deploy/NAME), labels (app=web,tier=front), a Service (svc/NAME), a DNS name,
	// an address, a CIDR or an entity (world, host, kube-apiserver, …).
	From string `json:"from"`
	To   string `json:"to"`
	// Namespace is that of names without one; default when empty.
	Namespace string `json:"namespace,omitempty"`
	// Port is a number or the name of a port. When it is empty the destination's
	// own ports are asked about, or else the usual one of its kind.
	Port     string `json:"port,omitempty"`
	Protocol string `json:"protocol,omitempty"` // TCP when empty; UDP, SCTP, ICMP, ICMPv6
	HTTP     *HTTP  `json:"http,omitempty"`     // a request in the connection
	DNS      string `json:"dns,omitempty"`      // a name asked for in the connection
	SNI      string `json:"sni,omitempty"`      // the server that a TLS client names in it
}

// HTTP is a request as L7 rules see it.
type HTTP struct {
	Method  string              `json:"method,omitempty"` // GET when empty
	Path    string              `json:"path,omitempty"`   // with the query; / when empty
	Host    string              `json:"host,omitempty"`
	Headers map[string][]string `json:"headers,omitempty"`
}

// Outcome is what becomes of a connection, or of several.
type Outcome string

// Outcomes. Mixed is only for several connections that differ.
const (
	Allowed Outcome = "allowed"
	Denied  Outcome = "denied"
	Mixed   Outcome = "mixed"
)

// Reason is why.
type Reason string

// Reasons.
const (
	NoPolicy    Reason = "no-policy"    // allowed: no policy selects the endpoint in this direction
	AllowRule   Reason = "allow-rule"   // allowed: a rule matches
	LocalHost   Reason = "local-host"   // allowed: the node always reaches its own pods (kubelet and its probes)
	NotJudged   Reason = "not-judged"   // allowed: this end is no pod of the node, or both ends are one pod
	DefaultDeny Reason = "default-deny" // denied: policies select the endpoint, and no rule matches
	DenyRule    Reason = "deny-rule"    // denied: a deny rule matches
	L7Rule      Reason = "l7-rule"      // denied: the connection is let to the proxy, which refuses what travels in it
	NoName      Reason = "no-name"      // denied: the pod may not ask for the destination's name
	UnknownPeer Reason = "unknown-peer" // denied: an address of the pods' range that no pod has
	NoEndpoints Reason = "no-endpoints" // denied: the Service has no endpoints, and refuses
)

// Answer is what was found.
type Answer struct {
	Schema      string       `json:"schema"`
	Request     Request      `json:"request"`
	Source      string       `json:"source"`   // "cluster", or the files that were read
	Revision    uint64       `json:"revision"` // of the policy engine
	Outcome     Outcome      `json:"outcome"`
	Summary     string       `json:"summary"`
	Connections []Connection `json:"connections"` // never empty
	Notes       []string     `json:"notes,omitempty"`
}

// Connection is one connection between two ends.
type Connection struct {
	From     End    `json:"from"`
	To       End    `json:"to"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"` // ICMP: the type
	// Families are those that this is said of, in a cluster of IPv4 and IPv6; one that
	// speaks one family says nothing here.
	Families []Family `json:"families,omitempty"`
	Dialed   *Dialed  `json:"dialed,omitempty"`
	Outcome  Outcome  `json:"outcome"`
	Reason   Reason   `json:"reason"`
	Summary  string   `json:"summary"` // one sentence
	// Lookup is the DNS question that comes first when the destination is a name.
	Lookup     *Lookup     `json:"lookup,omitempty"`
	Directions []Direction `json:"directions"` // egress of From, ingress of To: those that are judged here
	Hints      []Hint      `json:"hints,omitempty"`
	// Alike counts further connections of the request that came out the same, such
	// as those of a workload's other pods.
	Alike int `json:"alike,omitempty"`
}

// EndKind is what an end of a connection is.
type EndKind string

// Kinds of ends.
const (
	EndPod     EndKind = "pod"
	EndName    EndKind = "name"    // a DNS name outside the cluster
	EndAddress EndKind = "address" // one that is no pod's
	EndEntity  EndKind = "entity"  // one of Cilium's: world, host, …
)

// Family is an IP family.
type Family string

// IP families.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

// End is one end of a connection.
type End struct {
	Kind     EndKind  `json:"kind"`
	Name     string   `json:"name"` // NAMESPACE/POD, the DNS name, the address, the entity
	Address  string   `json:"address,omitempty"`
	Identity uint32   `json:"identity"`
	Labels   []string `json:"labels,omitempty"` // the identity's, with source, sorted
	Names    []string `json:"names,omitempty"`  // DNS names that gave the address
	// Node is where a pod's connections are judged, in a cluster of several nodes.
	// Each node numbers identities for itself.
	Node string `json:"node,omitempty"`
}

// Dialed is a Service that is translated before policies see the connection.
type Dialed struct {
	Service string `json:"service"` // NAMESPACE/NAME
	Address string `json:"address"`
	Port    uint16 `json:"port"`
}

// Lookup is a pod's question to the cluster's DNS.
type Lookup struct {
	Name    string  `json:"name"`
	Server  string  `json:"server"`
	Outcome Outcome `json:"outcome"`
	Reason  Reason  `json:"reason"`
	// Seen says that the DNS proxy sees the answer, so that toFQDNs rules learn its
	// addresses.
	Seen       bool        `json:"seen"`
	Addresses  []string    `json:"addresses,omitempty"` // that the name has given so far
	Directions []Direction `json:"directions,omitempty"`
}

// Direction is what the policies of one endpoint say.
type Direction struct {
	Direction string   `json:"direction"` // egress or ingress
	Endpoint  string   `json:"endpoint"`  // NAMESPACE/POD
	Enforced  bool     `json:"enforced"`  // what no rule allows is denied
	Outcome   Outcome  `json:"outcome"`
	Reason    Reason   `json:"reason"`
	Proxy     string   `json:"proxy,omitempty"` // dns, http or tls: the proxy that the connection goes through
	Policies  []Policy `json:"policies,omitempty"`
}

// Policy is a policy that selects the endpoint in this direction.
type Policy struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Decided   bool   `json:"decided"`            // it allowed or denied the connection
	Rejected  string `json:"rejected,omitempty"` // why it is not enforced as written
	Rules     []Rule `json:"rules,omitempty"`
}

// Rule is one rule of a policy.
type Rule struct {
	Path   string `json:"path"`   // in the object: spec.egress[0]
	Action string `json:"action"` // allow, deny or pass
	// Tier is admin or baseline for a rule of a ClusterNetworkPolicy: above or below
	// all other policies. In a tier the smallest Priority comes first; the places of
	// a policy's own rules are its hundredths.
	Tier     string   `json:"tier,omitempty"`
	Priority float64  `json:"priority,omitempty"`
	Matches  bool     `json:"matches"`
	Decides  bool     `json:"decides"`
	L7       []string `json:"l7,omitempty"`     // what its L7 rules let pass
	Misses   []Miss   `json:"misses,omitempty"` // why it does not match
	Hint     *Hint    `json:"hint,omitempty"`   // what was perhaps meant
}

// RulePart is what of a rule a connection does not match.
type RulePart string

// Parts of a rule.
const (
	PartPeer   RulePart = "peer"   // labels of the other end
	PartName   RulePart = "name"   // its DNS name
	PartCIDR   RulePart = "cidr"   // its address
	PartEntity RulePart = "entity" // its entity
	PartPort   RulePart = "port"   // port or protocol
	PartL7     RulePart = "l7"     // the request within the connection
	PartNobody RulePart = "nobody" // nothing: the rule selects nobody
	PartNoRule RulePart = "none"   // nothing: the policy closes the direction, and has no rule in it
)

// Miss is one thing about a connection that a rule does not match.
type Miss struct {
	Part  RulePart `json:"part"`
	Wants string   `json:"wants"`
	Has   string   `json:"has,omitempty"`
	Unmet []Label  `json:"unmet,omitempty"` // what a label selector asks and the peer has not
}

// Label is a requirement of a label selector.
type Label struct {
	Key      string   `json:"key"` // with its source: k8s:app
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
	Has      string   `json:"has,omitempty"` // the peer's value of the key
}

// Hint is advice.
type Hint struct {
	Code    string `json:"code"`
	Text    string `json:"text"`
	Suggest string `json:"suggest,omitempty"` // what to write instead
}

// Codes of hints.
const (
	HintLabel          = "no-such-label"
	HintNamespace      = "other-namespace"
	HintServicePort    = "service-port"
	HintPortName       = "no-such-port-name"
	HintProtocol       = "other-protocol"
	HintCIDR           = "cidr-selects-no-pod"
	HintName           = "name-not-matched"
	HintNoDNSRule      = "dns-rule-missing"
	HintDNSDenied      = "dns-denied"
	HintDNSName        = "dns-name-refused"
	HintOtherDirection = "other-direction"
	HintDenyWins       = "deny-wins"
	HintUnusedPolicy   = "policy-selects-no-pod"
	HintNotServed      = "not-served"
	HintEmptyRule      = "rule-allows-nobody"
)

// Matrix is the outcome for all pairs.
type Matrix struct {
	Schema   string   `json:"schema"`
	Source   string   `json:"source"`
	Revision uint64   `json:"revision"`
	From     []string `json:"from"` // names of the rows
	To       []string `json:"to"`   // names of the columns
	Cells    []Cell   `json:"cells"`
	// Services are those that lead to pods of the rows, a port each.
	Services []ServicePort `json:"services,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
}

// ServicePort is a port of a Service, which is translated before policies see a
// connection.
type ServicePort struct {
	Name     string   `json:"name"` // NAMESPACE/NAME
	Protocol string   `json:"protocol"`
	Port     uint16   `json:"port"`
	To       []string `json:"to"` // names of rows, in their order
}

// Cell is one pair of ends at one port.
type Cell struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	Protocol string  `json:"protocol"`
	Port     uint16  `json:"port"`
	Outcome  Outcome `json:"outcome"`
	Reason   Reason  `json:"reason"`
	// Direction and Policies are of the side that decided.
	Direction string   `json:"direction,omitempty"`
	Policies  []string `json:"policies,omitempty"` // KIND NAMESPACE/NAME
}

// MatrixRequest asks for a Matrix.
type MatrixRequest struct {
	Namespace string `json:"namespace,omitempty"` // only its pods; all when empty
	Port      string `json:"port,omitempty"`      // as in Request
	Protocol  string `json:"protocol,omitempty"`
}
