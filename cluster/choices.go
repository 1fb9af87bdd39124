package cluster

import "cmp"

// Datapath is what enforces a cluster's policies. Of a cluster that exists it may be
// another's name.
type Datapath string

// Datapaths that netdojo brings.
const (
	DatapathNetdojo Datapath = "netdojo"
	DatapathCilium  Datapath = "cilium"
)

// Datapaths are all that a Spec may ask for, the default first.
func Datapaths() []Datapath { return []Datapath{DatapathNetdojo, DatapathCilium} }

// World is what pods find outside the cluster.
type World string

// Worlds.
const (
	WorldSimulated World = "simulated" // netdojo's own, with names and certificates
	WorldInternet  World = "internet"  // what the host reaches
)

// Worlds are all that there are, the default first.
func Worlds() []World { return []World{WorldSimulated, WorldInternet} }

// IPFamily is which addresses pods and Services have, by kind's words.
type IPFamily string

// IP families of a cluster.
const (
	FamilyIPv4 IPFamily = "ipv4"
	FamilyDual IPFamily = "dual" // IPv6 beside IPv4
)

// IPFamilies are all that a Spec may ask for, the default first.
func IPFamilies() []IPFamily { return []IPFamily{FamilyIPv4, FamilyDual} }

// Dual says whether the cluster has IPv6 beside IPv4.
func (s Spec) Dual() bool { return s.IPFamily == FamilyDual }

// FeatureIPv6 is the name by which labs need IPv6 beside IPv4.
const FeatureIPv6 = "ipv6"

// NoIPv6 is the lack of a cluster of IPv4 alone. Its cure leaves that cluster as it is.
func NoIPv6(why string) Lack {
	return Lack{
		Feature: FeatureIPv6, Why: why,
		Fix: "bring up one that has both, netdojo up --ip-family dual --name dual, and give --name dual with the lab",
	}
}

// FeatureNodes is the name by which labs need more than one node, and LabNodes how many
// they have brought up.
const (
	FeatureNodes = "nodes"
	LabNodes     = 2
)

// OneNode is the lack of a cluster of one node. Its cure leaves that cluster as it is.
func OneNode(why string) Lack {
	return Lack{
		Feature: FeatureNodes, Why: why,
		Fix: "bring up one that has two, netdojo up --nodes 2 --name two, and give --name two with the lab",
	}
}

// Having words a feature that a cluster has, where others are what a datapath enforces;
// of these it is "".
func Having(feature string) string {
	return map[string]string{FeatureIPv6: "IPv6 beside IPv4", FeatureNodes: "two nodes"}[feature]
}

// PodSecurity is a level of Kubernetes' Pod Security Standards.
type PodSecurity string

// Levels of pod security, each stricter than the one before.
const (
	PodsPrivileged PodSecurity = "privileged" // pods may ask for everything
	PodsBaseline   PodSecurity = "baseline"   // nothing by which a pod takes its node
	PodsRestricted PodSecurity = "restricted" // only what is good practice
)

// PodSecurities are all levels, the default first.
func PodSecurities() []PodSecurity {
	return []PodSecurity{PodsPrivileged, PodsBaseline, PodsRestricted}
}

// PodLevel is the cluster's pod security, PodsPrivileged where none was given.
func (s Spec) PodLevel() PodSecurity { return cmp.Or(s.PodSecurity, PodsPrivileged) }

// MaxNodes is more than a lab needs, and about what a machine can have.
const MaxNodes = 9

// What CIDRs in policies can be let select by its addresses: the words of Cilium's option.
const (
	CIDRMatchPods  = "pods"
	CIDRMatchNodes = "nodes"
)

// DNSReject is the answer to a DNS question that no rule allows, by the words of Cilium's
// option tofqdns-dns-reject-response-code.
type DNSReject string

// Answers that reject.
const (
	RejectRefused   DNSReject = "refused"
	RejectNameError DNSReject = "nameError" // that there is no such name
)

// DNSRejects are all answers, the default first.
func DNSRejects() []DNSReject { return []DNSReject{RejectRefused, RejectNameError} }

// DNSRejectCode is the DNS response code that DNSReject means (RFC 1035).
func (s Spec) DNSRejectCode() int {
	if s.DNSReject == RejectNameError {
		return 3
	}
	return 5
}
