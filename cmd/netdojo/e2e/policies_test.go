//go:build linux

package e2e

import "strings"

// policyCase is one policy on a running cluster: what it is, and what each
// probe must then see. A probe that must be denied is seen to work without the
// policy first, and the datapath must report the drop.
type policyCase struct {
	name   string
	policy string // YAML documents
	probes []probe
}

// probe is one connection or request. from is NAMESPACE/POD; to is tcp://,
// udp://, icmp:// or https:// with a pod (NAMESPACE/POD), svc/NAME, world/NAME or
// api as host; get:// or post:// with a pod, a port and a path; or dns:// with a
// name that is asked for.
type probe struct {
	from, to string
	want     bool // allowed
}

const (
	client  = "default/client"
	other   = "default/other"
	foreign = "second/client"
	server  = "tcp://default/server:8080"
	alt     = "tcp://default/server:8081"
	high    = "tcp://default/server:9000"
	remote  = "tcp://second/server:8080"
	public  = "get://default/server:8080/public"
	private = "get://default/server:8080/private"
	write   = "post://default/server:8080/public"
	k8sio   = "https://world/kubernetes.io"
	cilium  = "https://world/cilium.io"
)

func cnp(spec string) string  { return object("cilium.io/v2", "CiliumNetworkPolicy", spec) }
func ccnp(spec string) string { return object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", spec) }
func np(spec string) string   { return object("networking.k8s.io/v1", "NetworkPolicy", spec) }

func object(apiVersion, kind, spec string, name ...string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + strings.Join(append(name, "under-test")[:1], "") + "}\nspec: " + spec + "\n"
}

// http8080 is toPorts with HTTP rules, and onlyDNS an egress rule for questions.
func http8080(rules string) string {
	return `toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [` + rules + `]}}]`
}

func onlyDNS(rules string) string {
	return strings.Replace(dnsRule, `{matchPattern: "*"}`, rules, 1)
}

const (
	onServer = `endpointSelector: {matchLabels: {app: server}}`
	onClient = `endpointSelector: {matchLabels: {app: client, tier: front}}`
	dnsRule  = `{toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, "k8s:k8s-app": kube-dns}}], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]}`
)

var policyCases = []policyCase{
	// Default deny, both directions, all three kinds.
	{"cnp ingress default deny", cnp(`{` + onServer + `, ingress: [{}]}`),
		[]probe{{client, server, false}, {foreign, server, false}, {client, remote, true}}},
	{"cnp egress default deny", cnp(`{` + onClient + `, egress: [{}]}`),
		[]probe{{client, server, false}, {client, "tcp://world/kubernetes.io:443", false}, {other, server, true}}},
	{"np ingress default deny", np(`{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`),
		[]probe{{client, server, false}, {other, remote, true}}},
	{"np egress default deny", np(`{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress]}`),
		[]probe{{client, server, false}, {other, server, true}}},
	{"np egress allow all", np(`{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress], egress: [{}]}`),
		[]probe{{client, server, true}}},
	{"ccnp ingress default deny", ccnp(`{` + onServer + `, ingress: [{}]}`),
		[]probe{{client, server, false}, {client, remote, false}}},
	{"default deny switched off", cnp(`{` + onServer + `, enableDefaultDeny: {ingress: false}, ingress: [{fromEndpoints: [{matchLabels: {app: nobody}}]}]}`),
		[]probe{{client, server, true}}},

	// Labels.
	{"cnp ingress from labels", cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]}`),
		[]probe{{client, server, true}, {other, server, false}, {foreign, server, false}}},
	{"cnp egress to labels", cnp(`{` + onClient + `, egress: [{toEndpoints: [{matchLabels: {app: server}}]}]}`),
		[]probe{{client, server, true}, {client, remote, false}}},
	{"cnp ingress match expressions", cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchExpressions: [{key: app, operator: NotIn, values: [other]}]}]}]}`),
		[]probe{{client, server, true}, {other, server, false}}},
	{"cnp ingress from all endpoints of the namespace", cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{}]}]}`),
		[]probe{{client, server, true}, {foreign, server, false}}},
	{"np ingress from pods", np(`{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`),
		[]probe{{client, server, true}, {other, server, false}, {foreign, server, false}}},
	{"np egress to pods", np(`{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}`),
		[]probe{{client, server, true}, {client, remote, false}}},

	// Namespaces.
	{"cnp ingress from a namespace", cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": second}}]}]}`),
		[]probe{{foreign, server, true}, {client, server, false}}},
	{"cnp egress to a namespace", cnp(`{` + onClient + `, egress: [{toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": second}}]}]}`),
		[]probe{{client, remote, true}, {client, server, false}}},
	{"cnp ingress from namespace labels", cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": blue}}]}]}`),
		[]probe{{foreign, server, true}, {client, server, false}}},
	{"np ingress from namespaces", np(`{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}`),
		[]probe{{foreign, server, true}, {client, server, false}}},
	{"np egress to namespaces", np(`{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: server}}}]}]}`),
		[]probe{{client, remote, true}, {client, server, false}}},

	// Ports.
	{"cnp ingress to a port", cnp(`{` + onServer + `, ingress: [{toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]}`),
		[]probe{{client, server, true}, {client, high, false}}},
	{"cnp egress to a port", cnp(`{` + onClient + `, egress: [{toPorts: [{ports: [{port: "9000", protocol: TCP}]}]}]}`),
		[]probe{{client, high, true}, {client, server, false}}},
	{"cnp ingress port of the other protocol", cnp(`{` + onServer + `, ingress: [{toPorts: [{ports: [{port: "8080", protocol: UDP}]}]}]}`),
		[]probe{{client, server, false}}},
	{"cnp ingress port range", cnp(`{` + onServer + `, ingress: [{toPorts: [{ports: [{port: "8080", endPort: 8090, protocol: TCP}]}]}]}`),
		[]probe{{client, server, true}, {client, alt, true}, {client, high, false}}},
	{"cnp egress port range", cnp(`{` + onClient + `, egress: [{toPorts: [{ports: [{port: "8081", endPort: 9000, protocol: TCP}]}]}]}`),
		[]probe{{client, alt, true}, {client, high, true}, {client, server, false}}},
	{"np ingress port range", np(`{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{port: 8081, endPort: 9000, protocol: TCP}]}]}`),
		[]probe{{client, alt, true}, {client, high, true}, {client, server, false}}},
	{"cnp ingress named port", cnp(`{` + onServer + `, ingress: [{toPorts: [{ports: [{port: alt, protocol: TCP}]}]}]}`),
		[]probe{{client, alt, true}, {client, server, false}}},
	{"cnp egress named port", cnp(`{` + onClient + `, egress: [{toEndpoints: [{matchLabels: {app: server}}], toPorts: [{ports: [{port: http, protocol: TCP}]}]}]}`),
		[]probe{{client, server, true}, {client, alt, false}}},
	{"np ingress named port", np(`{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{port: http}]}]}`),
		[]probe{{client, server, true}, {client, alt, false}}},
	{"cnp egress through a Service", cnp(`{` + onClient + `, egress: [{toEndpoints: [{matchLabels: {app: server}}], toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]}`),
		[]probe{{client, "tcp://svc/server:80", true}}},
	{"cnp egress through a Service, its port is not the pod's", cnp(`{` + onClient + `, egress: [{toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]}`),
		[]probe{{client, "tcp://svc/server:80", false}}},

	// CIDR.
	{"cnp egress to a CIDR", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toCIDR: ["{{world kubernetes.io}}/32"]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, false}}},
	{"cnp egress CIDR set with except", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toCIDRSet: [{cidr: 0.0.0.0/0, except: ["{{world cilium.io}}/32"]}]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, false}}},
	{"cnp egress CIDR does not select pods", cnp(`{` + onClient + `, egress: [{toCIDR: [10.244.0.0/16]}]}`),
		[]probe{{client, server, false}}},
	{"np egress ipBlock with except", np(`{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}, {to: [{ipBlock: {cidr: 0.0.0.0/0, except: ["{{world cilium.io}}/32"]}}]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, false}}},
	{"cnp egress deny CIDR", cnp(`{` + onClient + `, egress: [{toEntities: [all]}], egressDeny: [{toCIDR: ["{{world cilium.io}}/32"]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, false}}},

	// Entities.
	{"cnp egress to world", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toEntities: [world]}]}`),
		[]probe{{client, k8sio, true}, {client, server, false}}},
	{"cnp egress to cluster", cnp(`{` + onClient + `, egress: [{toEntities: [cluster]}]}`),
		[]probe{{client, server, true}, {client, k8sio, false}}},
	{"cnp egress to kube-apiserver", cnp(`{` + onClient + `, egress: [{toEntities: [kube-apiserver]}]}`),
		[]probe{{client, "tcp://api:443", true}, {client, server, false}}},
	{"cnp egress all entities", cnp(`{` + onClient + `, egress: [{toEntities: [all]}]}`),
		[]probe{{client, k8sio, true}, {client, server, true}, {client, "tcp://api:443", true}}},
	{"cnp egress default deny stops the API too", cnp(`{` + onClient + `, egress: [{toEndpoints: [{matchLabels: {app: server}}]}]}`),
		[]probe{{client, "tcp://api:443", false}, {client, server, true}}},
	{"cnp ingress from cluster", cnp(`{` + onServer + `, ingress: [{fromEntities: [cluster]}]}`),
		[]probe{{client, server, true}, {foreign, server, true}}},
	{"cnp ingress from world only", cnp(`{` + onServer + `, ingress: [{fromEntities: [world]}]}`),
		[]probe{{client, server, false}}},

	// Deny rules win over allow rules.
	{"cnp ingress deny", cnp(`{` + onServer + `, ingress: [{fromEntities: [all]}], ingressDeny: [{fromEndpoints: [{matchLabels: {app: other}}]}]}`),
		[]probe{{client, server, true}, {other, server, false}}},
	{"cnp egress deny a port", cnp(`{` + onClient + `, egress: [{toEntities: [all]}], egressDeny: [{toPorts: [{ports: [{port: "9000", protocol: TCP}]}]}]}`),
		[]probe{{client, server, true}, {client, high, false}}},
	{"ccnp egress deny an entity", ccnp(`{` + onClient + `, egress: [{toEntities: [all]}], egressDeny: [{toEntities: [world]}]}`),
		[]probe{{client, server, true}, {client, k8sio, false}}},
	{"deny without default deny", cnp(`{` + onClient + `, enableDefaultDeny: {egress: false}, egressDeny: [{toEndpoints: [{matchLabels: {app: server}}]}]}`),
		[]probe{{client, server, false}, {client, k8sio, true}}},

	// ICMP and UDP.
	{"cnp egress ICMP echo", cnp(`{` + onClient + `, egress: [{icmps: [{fields: [{family: IPv4, type: EchoRequest}]}]}]}`),
		[]probe{{client, "icmp://default/server", true}, {client, server, false}}},
	{"cnp egress without ICMP", cnp(`{` + onClient + `, egress: [{toPorts: [{ports: [{port: "8080", protocol: TCP}]}]}]}`),
		[]probe{{client, server, true}, {client, "icmp://default/server", false}}},
	{"cnp ingress ICMP echo", cnp(`{` + onServer + `, ingress: [{icmps: [{fields: [{family: IPv4, type: 8}]}]}]}`),
		[]probe{{client, "icmp://default/server", true}, {client, server, false}}},
	{"cnp egress UDP port", cnp(`{` + onClient + `, egress: [{toEntities: [world], toPorts: [{ports: [{port: "7", protocol: UDP}]}]}]}`),
		[]probe{{client, "udp://world/kubernetes.io:7", true}, {client, "tcp://world/kubernetes.io:443", false}}},
	{"cnp egress TCP only, not UDP", cnp(`{` + onClient + `, egress: [{toEntities: [world], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}]}`),
		[]probe{{client, "tcp://world/kubernetes.io:443", true}, {client, "udp://world/kubernetes.io:7", false}}},

	// Names.
	{"cnp egress to a name", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toFQDNs: [{matchName: kubernetes.io}]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, false}}},
	{"cnp egress to a pattern", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toFQDNs: [{matchPattern: "*.io"}]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, true}, {client, "https://world/example.com", false}}},
	{"cnp egress to a name and port", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toFQDNs: [{matchName: kubernetes.io}], toPorts: [{ports: [{port: "443", protocol: TCP}]}]}]}`),
		[]probe{{client, k8sio, true}, {client, "tcp://world/kubernetes.io:80", false}}},
	{"cnp egress to an alias", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toFQDNs: [{matchName: docs.cilium.io}]}]}`),
		[]probe{{client, "https://world/docs.cilium.io", true}, {client, cilium, false}}},

	// DNS questions.
	{"cnp egress DNS names alone", cnp(`{` + onClient + `, egress: [` + onlyDNS(`{matchName: kubernetes.io}`) + `, {toEntities: [world]}]}`),
		[]probe{{client, "dns://kubernetes.io", true}, {client, "dns://cilium.io", false}, {client, k8sio, true}}},
	{"cnp egress DNS pattern of one label", cnp(`{` + onClient + `, egress: [` + onlyDNS(`{matchPattern: "*.cilium.io"}`) + `]}`),
		[]probe{{client, "dns://docs.cilium.io", true}, {client, "dns://cilium.io", false}, {client, "dns://kubernetes.io", false}}},
	{"cnp egress to a name that alone may be asked for", cnp(`{` + onClient + `, egress: [` + onlyDNS(`{matchName: kubernetes.io}`) + `, {toFQDNs: [{matchName: kubernetes.io}]}]}`),
		[]probe{{client, k8sio, true}, {client, "dns://cilium.io", false}}},

	// HTTP requests.
	{"cnp ingress HTTP method and path", cnp(`{` + onServer + `, ingress: [{fromEndpoints: [{matchLabels: {app: client}}], ` + http8080(`{method: GET, path: /public}`) + `}]}`),
		[]probe{{client, public, true}, {client, private, false}, {client, write, false}, {other, public, false}, {client, high, false}}},
	{"cnp egress HTTP method", cnp(`{` + onClient + `, egress: [{toEndpoints: [{matchLabels: {app: server}}], ` + http8080(`{method: GET}`) + `}]}`),
		[]probe{{client, public, true}, {client, private, true}, {client, write, false}, {client, high, false}, {other, write, true}}},
	{"cnp HTTP at both ends", cnp(`{`+onServer+`, ingress: [{`+http8080(`{path: "/p.*"}`)+`}]}`) +
		"---\n" + object("cilium.io/v2", "CiliumNetworkPolicy", `{`+onClient+`, egress: [{`+http8080(`{path: /public}, {path: /db}`)+`}]}`, "at-the-other-end"),
		[]probe{{client, public, true}, {client, private, false}, {client, "get://default/server:8080/db", false}, {other, private, true}}},
	{"cnp HTTP beside a rule without it", cnp(`{` + onServer + `, ingress: [{` + http8080(`{method: GET}`) + `}, {fromEndpoints: [{matchLabels: {app: other}}]}]}`),
		[]probe{{client, public, true}, {client, write, false}, {other, write, true}}},
	{"cnp HTTP and a deny rule", cnp(`{` + onServer + `, ingress: [{` + http8080(`{}`) + `}], ingressDeny: [{fromEndpoints: [{matchLabels: {app: other}}]}]}`),
		[]probe{{client, write, true}, {other, public, false}}},
	{"cnp HTTP named port", cnp(`{` + onServer + `, ingress: [{toPorts: [{ports: [{port: http, protocol: TCP}], rules: {http: [{method: GET}]}}]}]}`),
		[]probe{{client, public, true}, {client, write, false}, {client, alt, false}}},
	{"ccnp ingress HTTP path", ccnp(`{` + onServer + `, ingress: [{` + http8080(`{path: /public}`) + `}]}`),
		[]probe{{client, public, true}, {client, private, false}, {client, write, true}}},

	// TLS server names.
	{"cnp egress TLS server name", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toEntities: [world], toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [kubernetes.io]}]}]}`),
		[]probe{{client, k8sio, true}, {client, cilium, false}, {other, cilium, true}}},
	{"cnp egress TLS server name pattern", cnp(`{` + onClient + `, egress: [` + dnsRule + `, {toEntities: [world], toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: ["*.cilium.io"]}]}]}`),
		[]probe{{client, "https://world/docs.cilium.io", true}, {client, cilium, false}, {client, k8sio, false}}},

	// CIDR groups.
	{"cnp egress to a CIDR group", cnp(`{`+onClient+`, egress: [`+dnsRule+`, {toCIDRSet: [{cidrGroupRef: allowed}]}]}`) +
		"---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: allowed}\nspec: {externalCIDRs: [\"{{world kubernetes.io}}/32\"]}\n",
		[]probe{{client, k8sio, true}, {client, cilium, false}}},
}

func kcnp(tier, spec string, name ...string) string {
	return object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "{tier: "+tier+", priority: 10, "+spec+"}", name...)
}

const ofDefault = `subject: {namespaces: {matchLabels: {"kubernetes.io/metadata.name": default}}}`

// tierCases are those of ClusterNetworkPolicy, which Cilium serves on demand only.
var tierCases = []policyCase{
	{"kcnp admin denies what another allows", kcnp("Admin", ofDefault+`, ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: blue}}}]}]`) +
		"---\n" + object("networking.k8s.io/v1", "NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{}]}`, "allows-all"),
		[]probe{{client, server, true}, {foreign, server, false}}},
	{"kcnp admin accepts what another denies", kcnp("Admin", ofDefault+`, ingress: [{action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}}], protocols: [{tcp: {destinationPort: {number: 8080}}}]}]`) +
		"---\n" + object("networking.k8s.io/v1", "NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}`, "allows-nothing"),
		[]probe{{client, server, true}, {client, high, false}, {other, server, false}}},
	{"kcnp admin passes on", kcnp("Admin", ofDefault+`, ingress: [{action: Pass, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 8080, end: 8081}}}}]}, {action: Deny, from: [{namespaces: {}}]}]`),
		[]probe{{client, server, true}, {client, alt, true}, {client, high, false}}},
	{"kcnp baseline where nothing else decides", kcnp("Baseline", ofDefault+`, ingress: [{action: Deny, from: [{namespaces: {}}]}]`) +
		"---\n" + object("networking.k8s.io/v1", "NetworkPolicy", `{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}`, "allows-one"),
		[]probe{{client, server, true}, {other, server, false}, {client, remote, true}}},
	{"kcnp egress to a network", kcnp("Admin", ofDefault+`, egress: [{action: Accept, to: [{networks: ["{{world kubernetes.io}}/32"]}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]`),
		[]probe{{client, k8sio, true}, {client, cilium, false}, {client, server, true}}},
	{"kcnp egress to names", kcnp("Admin", ofDefault+`, egress: [{action: Accept, to: [{domainNames: ["*.cilium.io"]}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]`),
		[]probe{{client, "https://world/docs.cilium.io", true}, {client, cilium, false}, {client, "dns://kubernetes.io", true}}},
	{"kcnp egress to a named port", kcnp("Admin", ofDefault+`, egress: [{action: Accept, to: [{namespaces: {}}], protocols: [{destinationNamedPort: http}]}, {action: Deny, to: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: server}}}}]}]`),
		[]probe{{client, server, true}, {client, high, false}}},
}
